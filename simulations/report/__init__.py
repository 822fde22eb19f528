"""What a run looked like: numbers over time, charts of them, one page that needs no network, and tables."""

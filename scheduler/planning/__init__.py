"""The stages of a planning run, one a file; ``scheduler.planner.plan`` walks them."""

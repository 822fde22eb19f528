"""A soak: works of every controller's habit on a real API server for half an hour, judged as courses are."""

"""One file a trace format; ``simulations.loads.registry`` lists them."""

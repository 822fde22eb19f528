"""A ``libnvidia-ml.so.1`` that plays any set of GPUs, by scenarios that tests change while it runs."""

"""Devices inside the cluster's state: who holds what (``book``),
and where node labels say something else than the inventory (``labels``)."""

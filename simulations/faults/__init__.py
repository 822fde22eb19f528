"""Seeded storms around the live shell itself: ``python -m simulations.faults SEED``.

The whole of ``scheduler.live`` runs on an API server in memory and in virtual time. One seed decides what
users, nodes and the network do; everything that happens follows from it.
"""

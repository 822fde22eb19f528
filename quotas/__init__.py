"""Who goes first and who is owed what: tree and numbers in, order and entitlements out.

A library of its own: it knows neither Kubernetes nor packing, and names no clock, thread or file.
"""

"""Whole gangs onto nodes, exactly: arrays in, placement and certificate out.

A library of its own: it knows neither Kubernetes nor teams, and names no clock, thread or file.
"""

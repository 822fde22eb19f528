"""Frozen types of the domain: what the planner reads and what it answers.

Nothing here knows HTTP, JSON or a clock. Units: milli-CPU, bytes and whole devices, always exact
integers; times are seconds since the epoch as the API server wrote them.
"""

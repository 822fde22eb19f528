"""Amounts as people read them."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """Two units at most: ``45 s``, ``12 min``, ``3 h 20 min``, ``12 d 4 h``."""
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    if hours < 48:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    days, hours = divmod(hours, 24)
    return f"{days:,} d {hours} h" if hours else f"{days:,} d"


def percent(share: float) -> str:
    return f"{100 * share:.1f} %"

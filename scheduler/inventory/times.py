"""Times as the API writes them. Pure: nothing here asks a clock."""

from __future__ import annotations

import math
from datetime import UTC, datetime

_TIME_LENGTH_MAX = 40
#: The last second of the year 9999.
_SECONDS_MAX = 253_402_300_799


def written(time_s: float | None) -> str | None:
    """RFC 3339 in whole seconds, rounded down; None where there is none or it cannot be written."""
    if time_s is None or not math.isfinite(time_s) or not 0 <= time_s <= _SECONDS_MAX:
        return None
    return datetime.fromtimestamp(math.floor(time_s), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def read(text: str | None) -> float | None:
    """Seconds since the epoch, or None for what is no time with a zone."""
    if not text or len(text) > _TIME_LENGTH_MAX:
        return None
    try:
        told = datetime.fromisoformat(text)
    except ValueError:
        return None
    if told.tzinfo is None:
        return None
    try:
        seconds = (told - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    except OverflowError:
        return None
    return seconds if 0 <= seconds <= _SECONDS_MAX else None

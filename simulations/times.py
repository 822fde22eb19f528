"""Times as people write them: seconds, or a number with its unit."""

from __future__ import annotations

import math
import re

from simulations.workload import SECONDS_MAX

UNITS_S = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3_600.0, "d": 86_400.0}
EXPECTED = f"a time such as 90, 90s, 15min, 2h or 1.5d, from 0 to {SECONDS_MAX:,.0f} s"
_TEXT = re.compile(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*(s|min|m|h|d)?\s*", re.ASCII)


class BadTime(ValueError):
    """Not a time; the message says what was expected and what is there."""


def seconds_of(said: float | str) -> float:
    """A time in seconds. Raises: BadTime."""
    if isinstance(said, str):
        found = _TEXT.fullmatch(said)
        value = math.nan if found is None else float(found[1]) * UNITS_S[found[2] or "s"]
    else:
        value = float(said)
    if not 0.0 <= value <= SECONDS_MAX:
        raise BadTime(f"expected {EXPECTED}, found {ascii(said)[:40]}")
    return value

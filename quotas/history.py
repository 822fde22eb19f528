"""Past use that fades: after one half-life it weighs half as much. Exact integers, so that replays agree.

The figure kept is an average, in the unit of the use itself: with constant use it tends to that use, and
it is never more than the most that was ever in use. Advancing in one step or in several comes to the same,
up to one unit a step.
"""

from __future__ import annotations

from math import isqrt

from quotas.amounts import Amounts

_BITS = 64
_ONE = 1 << _BITS


def decayed(average: Amounts, used: Amounts, *, elapsed_s: int, half_life_s: int) -> dict[str, int]:
    """The average after ``elapsed_s`` during which ``used`` was in use. Without half-life: ``used``."""
    kept = kept_part(elapsed_s, half_life_s)
    return {
        name: _rounded(average.get(name, 0) * kept + used.get(name, 0) * (_ONE - kept))
        for name in sorted(average.keys() | used.keys())
    }


def kept_part(elapsed_s: int, half_life_s: int) -> int:
    """2^(-elapsed / half-life) in units of 2^-64; 0 where the past does not count."""
    if half_life_s <= 0:
        return 0
    halvings, rest = divmod(max(0, elapsed_s), half_life_s)
    if halvings >= _BITS:
        return 0
    part, fraction = _ONE, (rest << _BITS) // half_life_s
    for bit, root in enumerate(_ROOTS, start=1):
        if fraction >> (_BITS - bit) & 1:
            part = part * root >> _BITS
    return part >> halvings


def _rounded(scaled: int) -> int:
    return (scaled + (_ONE >> 1)) >> _BITS


def _roots() -> tuple[int, ...]:
    """2^(-1/2), 2^(-1/4), 2^(-1/8) ... in units of 2^-64: one for each bit of a fraction."""
    roots, part = [], _ONE >> 1
    for _ in range(_BITS):
        part = isqrt(part << _BITS)
        roots.append(part)
    return tuple(roots)


_ROOTS = _roots()

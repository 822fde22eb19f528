"""Kubernetes quantities as exact integers: every text gives a bounded number or a reason.

Grammar and rounding of ``apimachinery/pkg/api/resource/quantity.go`` (1.37): decimal suffixes n to E,
binary suffixes Ki to Ei, exponents e3 and E3; finer than a nano is rounded away from zero. Stricter in
one thing: a text without a digit, such as ``m``, is no zero.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal

from scheduler.model.objects import Rejected
from scheduler.parse.refusal import reject, shown

#: ``milli`` and ``unit`` round up, as Kubernetes does; ``whole`` refuses a fraction.
Scale = Literal["milli", "unit", "whole"]

NANO = 1
MILLI = 10**6
UNIT = 10**9
#: 64 TiB of memory, 70 billion CPUs: more in one object is a mistake or an attack. 130,000 pods of
#: this size still add up within an int64.
AMOUNT_MAX = 2**46
#: Where readings saturate, so that no text makes a number that is costly to compute with.
NANOS_MAX = 2**63 * UNIT
TEXT_MAX = 64

_GRAMMAR = re.compile(
    r"([+-]?)(?=\.?[0-9])([0-9]*)(?:\.([0-9]*))?(?:([numkMGTPE]?)|([KMGTPE]i)|[eE]([+-]?[0-9]{1,10}))",
    re.ASCII,
)
_TENS = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_TWOS = {"Ki": 10, "Mi": 20, "Gi": 30, "Ti": 40, "Pi": 50, "Ei": 60}
_REMEDY = "write a number such as 500m, 1.5 or 64Gi"


def parse_quantity(value: str | int | float, *, scale: Scale) -> int | Rejected:
    """The amount in thousandths (``milli``) or ones (``unit``, ``whole``), 0 <= amount <= 2^46.

    Rejected: not a quantity, negative, more than the bound, or a fraction where ``whole`` is asked.
    """
    nanos = read_nanos(value)
    if isinstance(nanos, Rejected):
        return nanos
    if nanos < 0:
        return reject(shown(value), "is negative: use 0 or more")
    if scale == "whole" and nanos % UNIT:
        return reject(shown(value), "is not whole: ask for whole units")
    amount = ceil_to(nanos, MILLI if scale == "milli" else UNIT)
    return (
        amount if amount <= AMOUNT_MAX else reject(shown(value), f"is more than {AMOUNT_MAX:,}: ask for less")
    )


def read_nanos(value: str | int | float) -> int | Rejected:
    """The quantity in billionths, any sign, saturated at 2^63 ones; Rejected if it is no quantity."""
    if isinstance(value, str):
        return _nanos_of_text(value) if 0 < len(value) <= TEXT_MAX else _malformed(value)
    if isinstance(value, int):
        return max(-NANOS_MAX, min(NANOS_MAX, value * UNIT))
    return _nanos_of_text(repr(value))


def ceil_to(nanos: int, unit: int) -> int:
    """Nanos in units, rounded up."""
    return -(-nanos // unit)


@lru_cache(maxsize=8192)
def _nanos_of_text(text: str) -> int | Rejected:
    match = _GRAMMAR.fullmatch(text)
    if match is None:
        return _malformed(text)
    sign, whole, fraction, decimal, binary, exponent = match.groups(default="")
    digits = int(whole + fraction or "0")
    if binary:
        magnitude = _scaled(digits << _TWOS[binary], 9 - len(fraction))
    else:
        tens = int(exponent) if exponent else _TENS[decimal]
        magnitude = _scaled(digits, 9 + tens - len(fraction))
    return -magnitude if sign == "-" else magnitude


def _scaled(digits: int, tens: int) -> int:
    """digits x 10^tens, rounded up, saturated."""
    if digits == 0:
        return 0
    if tens > 40:
        return NANOS_MAX
    if tens < -TEXT_MAX - 40:
        return NANO
    return min(NANOS_MAX, digits * 10**tens if tens >= 0 else ceil_to(digits, 10**-tens))


def _malformed(value: str) -> Rejected:
    return reject(shown(value), f"is not a quantity: {_REMEDY}")

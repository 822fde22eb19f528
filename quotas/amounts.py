"""Amounts of resources: exact integers by resource name, of which this library knows no more.

A caller chooses the names and the units (stowplan: ``cpu`` in milli-CPU, ``memory`` in bytes, ``gpu`` in
thousandths of a normalised GPU, ``gpu/<model>`` in thousandths of a GPU of that model).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType

Amounts = Mapping[str, int]
#: Amounts of the resources that count, in the order of a list of their names.
Row = list[int]

NOTHING: Amounts = MappingProxyType({})
#: 4 EiB of memory. More is a mistake in a file, and the fixed-point levels of ``quotas.filling`` rely on it.
AMOUNT_MAX = 2**62


def row_of(amounts: Amounts, resources: Sequence[str]) -> Row:
    """The amounts as a row, 0 where there is none; each brought into 0 .. AMOUNT_MAX."""
    return [min(max(amounts.get(name, 0), 0), AMOUNT_MAX) for name in resources]


def amounts_of(row: Iterable[int], resources: Sequence[str]) -> dict[str, int]:
    """The row as amounts, without the zeros."""
    return {name: amount for name, amount in zip(resources, row, strict=True) if amount}


def add_to(row: Row, other: Iterable[int]) -> None:
    """Add in place."""
    for r, amount in enumerate(other):
        row[r] += amount


def add_amounts(total: dict[str, int], other: Amounts) -> None:
    """Add in place."""
    for name, amount in other.items():
        total[name] = total.get(name, 0) + amount

"""Cheaper nodes first, by the prices of the policy."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node
from scheduler.model.plan import Prices


def dearness(prices: Sequence[Prices], nodes: Sequence[Node]) -> NDArray[np.int64] | None:
    """int64[N]: 0 for the cheapest nodes, 1 for the next; None where no node is cheaper than another.

    Only the order of prices counts. A node whose price nobody gave comes after all others, so that a
    forgotten one is never filled by mistake.
    """
    tables = [(each.label, dict(each.values)) for each in prices]
    if not tables or not nodes:
        return None
    found = np.array([_price(tables, node.labels) for node in nodes], dtype=np.float64)
    ranks: NDArray[np.int64] = np.unique(found, return_inverse=True)[1].astype(np.int64)
    return ranks if ranks.any() else None


def _price(tables: Sequence[tuple[str, Mapping[str, float]]], labels: Mapping[str, str]) -> float:
    """By the first table that knows the node."""
    for label, values in tables:
        price = values.get(labels.get(label, ""))
        if price is not None:
            return price
    return math.inf

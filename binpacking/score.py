"""Where a pod costs least: the strategies that order the nodes.

A score is a pure function of node states, so two nodes in the same state always cost the same:
neither a node's name nor its place in the arrays decides anything.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import Supply


class Score(Protocol):
    """How dear it is to put pods of one role on each node; lower is better."""

    @property
    def fills(self) -> bool:
        """Whether a node once chosen is filled, rather than every pod choosing anew."""

    def weigh(self, free: NDArray[np.int64], supply: Supply, request: NDArray[np.int64]) -> tuple[float, ...]:
        """What the cost depends on beyond the node itself, fixed while one role is placed."""

    def cost(
        self,
        free: NDArray[np.int64],
        total: NDArray[np.int64],
        request: NDArray[np.int64],
        pods: NDArray[np.int64],
        weights: tuple[float, ...],
    ) -> NDArray[np.float64]:
        """float64[N]: cost of ``pods[i]`` pods of ``request`` on node i, at least 0.

        free, total: int64[N, R]. request: int64[R]. pods: int64[N], as many as fit or fewer.
        """


@dataclass(frozen=True, slots=True)
class Pack:
    """Best fit: what is left on the node once its pods are there, in shares of an average node.

    A resource weighs by how much of all that is free one pod asks, so that what is scarce for such pods
    counts most; what the pod does not ask for weighs fully, which keeps pods without GPUs off GPU nodes.
    """

    fills: bool = True

    def weigh(self, free: NDArray[np.int64], supply: Supply, request: NDArray[np.int64]) -> tuple[float, ...]:
        """One weight per unit of each resource. Sums are of integers, so row order cannot change them."""
        left = np.maximum(free, 0).sum(axis=0).tolist()
        asked = request.tolist()
        shares = [a / max(have, 1) for a, have in zip(asked, left, strict=True)]
        largest = max(shares, default=0.0) or 1.0
        return tuple(
            (share / largest if amount else 1.0) * holding / whole if whole else 0.0
            for share, amount, holding, whole in zip(shares, asked, supply.holders, supply.whole, strict=True)
        )

    def cost(
        self,
        free: NDArray[np.int64],
        total: NDArray[np.int64],
        request: NDArray[np.int64],
        pods: NDArray[np.int64],
        weights: tuple[float, ...],
    ) -> NDArray[np.float64]:
        """See ``Score``."""
        left = np.maximum(free - pods[:, None] * request, 0) * np.array(weights, dtype=np.float64)
        cost = np.zeros(len(free), dtype=np.float64)
        # One after the other: a sum along an axis may add in another order, and rounds otherwise.
        for column, weight in enumerate(weights):
            if weight:
                cost += left[:, column]
        return cost


@dataclass(frozen=True, slots=True)
class Spread:
    """Least loaded first: the fullest requested resource of the node once one more pod is there."""

    fills: bool = False

    def weigh(self, free: NDArray[np.int64], supply: Supply, request: NDArray[np.int64]) -> tuple[float, ...]:
        """Nothing: a node's load is its own."""
        return ()

    def cost(
        self,
        free: NDArray[np.int64],
        total: NDArray[np.int64],
        request: NDArray[np.int64],
        pods: NDArray[np.int64],
        weights: tuple[float, ...],
    ) -> NDArray[np.float64]:
        """See ``Score``."""
        cost = np.zeros(len(free), dtype=np.float64)
        for column in np.flatnonzero(request > 0).tolist():
            used = total[:, column] - free[:, column] + pods * request[column]
            np.maximum(cost, used / np.maximum(total[:, column], 1), out=cost)
        return np.maximum(cost, 0.0)


PACK = Pack()
SPREAD = Spread()

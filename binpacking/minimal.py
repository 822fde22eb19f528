"""Whether a gang still stands as room is taken away bit by bit: counted where that is exact, else planned."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import RolePlacement
from binpacking.capacity import ceiling, slots, unpinned
from binpacking.greedy import Packing, place_greedy
from binpacking.groups import spans_nodes
from binpacking.problem import Gang
from binpacking.prove import prove_unfit
from binpacking.solve import solve_gang


class Standing:
    """A gang that stands in a packing, which this changes. budget: the solver's for all questions."""

    def __init__(self, packing: Packing, gang: Gang, *, budget: float, seed: int) -> None:
        self._packing = packing
        self._gang = gang
        self._budget = budget
        self._seed = seed
        self.spent = 0.0
        role = gang.roles[0]
        spanning = [limit for limit in role.limits if spans_nodes(limit)]
        self._is_counted = len(gang.roles) == 1 and not role.skews and not spanning
        if self._is_counted:
            levels = gang.required_levels
            inside = unpinned(packing.nodes, gang, levels)
            self._codes = packing.codes(levels) if levels else np.zeros(len(packing.nodes), dtype=np.int64)
            self._most = np.where(inside, ceiling(role, len(packing.nodes)), 0)
            self._holds = np.minimum(slots(packing.free, role), self._most)
            self._sums = np.zeros(int(self._codes.max(initial=0)) + 1, dtype=np.int64)
            np.add.at(self._sums, self._codes, self._holds)

    def without(self, nodes: NDArray[np.int64], amounts: NDArray[np.int64]) -> bool:
        """Take this room away, int64[K, R] on K distinct nodes, if the gang then still stands."""
        if self._is_counted:
            return self._counted_without(nodes, amounts)
        self._packing.free[nodes] -= amounts
        if self.placement() is not None:
            return True
        self._packing.free[nodes] += amounts
        return False

    def placement(self) -> tuple[RolePlacement, ...] | None:
        """Where it stands, or None where no place is found."""
        if prove_unfit(self._packing, self._gang) is not None:
            return None
        placement = place_greedy(self._packing, self._gang)
        left = self._budget - self.spent
        if placement is not None or left <= 0:
            return placement
        answer = solve_gang(self._packing, self._gang, budget=left, seed=self._seed)
        self.spent += answer.spent
        return answer.placement

    def _counted_without(self, nodes: NDArray[np.int64], amounts: NDArray[np.int64]) -> bool:
        """Pods of one role that meet only on nodes: as many fit as there are slots in one domain."""
        left = self._packing.free[nodes] - amounts
        request = self._gang.roles[0].request
        holds = self._most[nodes].copy()
        for column in np.flatnonzero(request > 0).tolist():
            np.minimum(holds, left[:, column] // request[column], out=holds)
        np.maximum(holds, 0, out=holds)
        sums = self._sums.copy()
        np.subtract.at(sums, self._codes[nodes], self._holds[nodes] - holds)
        if int(sums.max(initial=0)) < self._gang.need:
            return False
        self._packing.free[nodes], self._holds[nodes], self._sums = left, holds, sums
        return True

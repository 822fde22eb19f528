"""Node by node, the pods that leave the least behind: finds packings in which hardly anything is free.

After Gupta and Ho's minimum bin slack heuristic, for several resources. Where nodes can be filled exactly it
succeeds in milliseconds where best fit leaves gangs over and a solver needs minutes. It proves nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.capacity import column_sums
from binpacking.problem import Role

#: Sets of pods tried for one node before the best so far is taken.
STEPS_A_NODE = 3_000
#: Pods on one node beyond which no more are added: deeper than any node is full, shallower than the stack.
PODS_A_NODE = 400
#: Deterministic work units of one step, so that budgets compare with the solver's (about seconds).
WORK_A_STEP = 4e-6
#: Later rounds order pods by size times a factor from 1 - NOISE/2 to 1 + NOISE/2.
NOISE = 0.3
#: Every so many rounds the factors are wider: narrow ones leave a few pods of unlike sizes in their order.
WIDE_EVERY = 4
NOISE_WIDE = 0.9
_GOLDEN = 0.6180339887498949


#: A role's index, what one pod asks as one packed integer, and its weight.
Item = tuple[int, int, float]


@dataclass(frozen=True, slots=True)
class Filled:
    """counts: int64[J, N], every pod of every role, or None where no round placed all. spent: work units."""

    counts: NDArray[np.int64] | None
    spent: float


def fill_least_slack(
    free: NDArray[np.int64], roles: Sequence[Role], *, budget: float, seed: int, rounds: int
) -> Filled:
    """Try to place every pod of every role. Roles must have no limits and no skews.

    free: int64[N, R]. Rounds differ in the order of pods and nodes; they end when all pods are placed.
    """
    search = _Search(free, roles)
    for number in range(rounds):
        counts = search.round(number, seed)
        if counts is not None or search.steps * WORK_A_STEP >= budget:
            return Filled(counts, search.steps * WORK_A_STEP)
    return Filled(None, search.steps * WORK_A_STEP)


class _Search:
    def __init__(self, free: NDArray[np.int64], roles: Sequence[Role]) -> None:
        demand = column_sums([role.request * role.count for role in roles])
        used = np.flatnonzero(demand > 0)
        self._free = np.maximum(free[:, used], 0)
        requests = [tuple(role.request[used].tolist()) for role in roles]
        self._counts = [role.count for role in roles]
        self._allowed = [role.allowed for role in roles]
        supply = np.maximum(self._free.sum(axis=0), 1)
        largest = np.maximum(self._free.max(axis=0, initial=1), 1)
        #: A resource weighs by how full it will be; then the scarce one is what must not be left over.
        self._weights: list[float] = (demand[used] / supply / largest).tolist()
        self._slacks = [_weigh(request, self._weights) for request in requests]
        self._sizes = np.array(self._slacks)
        self._rooms = self._free @ np.array(self._weights)
        most = np.maximum(largest, np.array(requests, dtype=np.int64).max(axis=0, initial=1))
        widths = [amount.bit_length() for amount in most.tolist()]
        self._guards = _pack([1 << width for width in widths], widths)
        self._packed = [_pack(request, widths) for request in requests]
        self._packed_rooms = [self._guards | _pack(row, widths) for row in self._free.tolist()]
        self.steps = 0
        self._fits = bool((demand[used] <= supply).all())

    def round(self, number: int, seed: int) -> NDArray[np.int64] | None:
        """One pass over the nodes; int64[J, N] if it placed every pod."""
        if not self._fits:
            return None
        order = np.argsort(-self._sizes * self._noise(len(self._sizes), number, seed), kind="stable").tolist()
        nodes = np.argsort(self._rooms * self._noise(len(self._free), number, seed + 1), kind="stable")
        left = list(self._counts)
        counts = np.zeros((len(left), len(self._free)), dtype=np.int64)
        missing = sum(left)
        for node in nodes.tolist():
            pods = self._fill(node, order, left)
            for role in pods:
                left[role] -= 1
                counts[role, node] += 1
            missing -= len(pods)
            if not missing:
                return counts
        return None

    def _noise(self, size: int, number: int, seed: int) -> NDArray[np.float64]:
        """Factors around 1 from a Kronecker sequence: the first round has none."""
        if not number:
            return np.ones(size)
        start = (number + seed % 1_000 * 31) * _GOLDEN
        parts = np.modf((np.arange(size) + 1) * (1 + start))[0]
        width = NOISE if number % WIDE_EVERY else NOISE_WIDE
        factors: NDArray[np.float64] = 1 + width * (parts - 0.5)
        return factors

    def _fill(self, node: int, order: list[int], left: list[int]) -> list[int]:
        """The pods for one node that leave the least, among those with the first that fits."""
        room = self._packed_rooms[node]
        guards, requests = self._guards, self._packed
        useful = [
            role
            for role in order
            if left[role] and (room - requests[role]) & guards == guards and self._may_use(role, node)
        ]
        if not useful:
            return []
        attempt = _Attempt(guards, left)
        pods = [(role, requests[role], self._slacks[role]) for role in useful]
        attempt.extend(pods, room, float(self._rooms[node]))
        self.steps += attempt.steps
        return attempt.best

    def _may_use(self, role: int, node: int) -> bool:
        allowed = self._allowed[role]
        return allowed is None or bool(allowed[node])


class _Attempt:
    """Depth first over sets of pods for one node, larger pods first, until nothing or little is left.

    Amounts are packed into one integer, a guard bit above each: a request fits where subtracting it leaves
    every guard set. A step then costs one subtraction, however many resources there are.
    """

    def __init__(self, guards: int, left: list[int]) -> None:
        self._guards = guards
        self._left = list(left)
        self._chosen: list[int] = []
        self._least = float("inf")
        self._is_full = False
        self.best: list[int] = []
        self.steps = 0

    def extend(self, pods: list[Item], room: int, slack: float) -> None:
        """Try each of ``pods``, all of which fit, and beside it those after it."""
        self.steps += 1
        chosen, left, guards = self._chosen, self._left, self._guards
        if chosen and slack < self._least - 1e-12:
            self._least, self.best = slack, list(chosen)
            self._is_full = room == guards
        if len(chosen) >= PODS_A_NODE:
            return
        for position, (role, request, weight) in enumerate(pods):
            left[role] -= 1
            chosen.append(role)
            rest = room - request
            first = position if left[role] else position + 1
            # What does not fit here fits no deeper either, so the lists shrink as the node fills.
            beside = [pod for pod in pods[first:] if (rest - pod[1]) & guards == guards]
            self.extend(beside, rest, slack - weight)
            chosen.pop()
            left[role] += 1
            # The first pod that fits stays: the hard ones must go somewhere, and early.
            if not chosen or self._is_full or self.steps > STEPS_A_NODE:
                return


def _pack(amounts: Sequence[int], widths: Sequence[int]) -> int:
    """Amounts side by side in one integer, each with a clear guard bit above it."""
    packed = 0
    for amount, width in zip(amounts, widths, strict=True):
        packed = packed << width + 1 | amount
    return packed


def _weigh(amounts: tuple[int, ...], weights: list[float]) -> float:
    return sum(a * w for a, w in zip(amounts, weights, strict=True))

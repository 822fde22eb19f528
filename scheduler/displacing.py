"""Gangs that go first take the place of running gangs that go after them, where the policy says so.

The last in the order leaves first, and only what has to: whoever still fits beside the newcomer stays.
Nobody leaves unless the newcomer then fits.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from binpacking.answer import Feasible, RolePlacement
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import Gang
from scheduler.model.gang import PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Clearing, Policy, Snapshot, Victim
from scheduler.model.team import RunningGang
from scheduler.service import rank
from scheduler.translation import Translation

WHY = "a gang that goes first by the policy's order takes this place"


@dataclass(frozen=True, slots=True)
class _Candidate:
    """A running gang: (priority, rank) as the order compares them, and its pods by row of the nodes."""

    key: tuple[float, float, float]
    gang: RunningGang
    rows: tuple[tuple[int, Pod], ...]


class Displacer:
    """One planning run's. ``clearings`` grows."""

    def __init__(
        self, snapshot: Snapshot, policy: Policy, translation: Translation, packing: Packing
    ) -> None:
        self._policy = policy
        self._at_s = snapshot.at_s
        self._translation = translation
        self._packing = packing
        self.clearings: list[Clearing] = []
        row = {node.name: i for i, node in enumerate(snapshot.nodes)}
        #: The last in the order first.
        self._candidates = sorted(
            (self._candidate(gang, row) for gang in snapshot.running), key=lambda one: one.key, reverse=True
        )

    def make_room(self, pending: PendingGang, gang: Gang) -> tuple[RolePlacement, ...] | None:
        """Where the gang fits once later gangs have left; notes the clearing and takes the place."""
        own = self._key(pending.pods, pending.priority, pending.created_s)
        released: list[_Candidate] = []
        placement: tuple[RolePlacement, ...] | None = None
        for one in self._candidates:
            if one.key[:2] <= own[:2]:
                break
            self._move(one, +1)
            released.append(one)
            placement = place_greedy(self._packing, gang)
            if placement is not None:
                break
        if placement is None:
            for one in released:
                self._move(one, -1)
            return None
        self._packing.take_all(gang, placement)
        leaves = self._who_leaves(released)
        gone = {id(one) for one in leaves}
        self._candidates = [one for one in self._candidates if id(one) not in gone]
        self.clearings.append(self._clearing(pending, placement, leaves))
        return placement

    def _who_leaves(self, released: Sequence[_Candidate]) -> list[_Candidate]:
        """Of the released, those that do not fit beside the newcomer; the first in the order may stay."""
        leaves: list[_Candidate] = []
        for one in reversed(released):
            self._move(one, -1)
            if any((self._packing.free[row] < 0).any() for row, _ in one.rows):
                self._move(one, +1)
                leaves.append(one)
        return leaves

    def _move(self, one: _Candidate, sign: int) -> None:
        for row, pod in one.rows:
            self._packing.free[row] += sign * self._translation.request(pod.shape)

    def _candidate(self, gang: RunningGang, row: dict[str, int]) -> _Candidate:
        created_s = min(pod.created_s for pod in gang.pods)
        rows = tuple((row[pod.node_name], pod) for pod in gang.pods if pod.node_name in row)
        return _Candidate(self._key(gang.pods, gang.priority, created_s), gang, rows)

    def _key(self, pods: Sequence[Pod], priority: int, created_s: float) -> tuple[float, float, float]:
        return (-priority, rank(self._policy.order, pods, self._at_s), created_s)

    def _clearing(
        self, pending: PendingGang, placement: Sequence[RolePlacement], leaves: Sequence[_Candidate]
    ) -> Clearing:
        nominated: dict[str, str] = {}
        for role, where in zip(pending.roles, placement, strict=True):
            names = self._translation.node_names(where)
            nominated |= {pod.uid: name for pod, name in zip(role.pods, names, strict=False)}
        return Clearing(
            rule="preempt",
            team="",
            beneficiaries=(pending,),
            nominated=nominated,
            victims=tuple(Victim(gang=one.gang, team="", pods=one.gang.pods, cost=0) for one in leaves),
            certificate=Feasible(float(len(leaves)), 0.0),
            why=WHY,
        )

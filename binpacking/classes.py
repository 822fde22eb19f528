"""Roles of several gangs that a model need not tell apart, merged into classes, and shared out again."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import RolePlacement
from binpacking.capacity import unpinned
from binpacking.greedy import Packing, as_placement, dense
from binpacking.problem import COUNT_MAX, Gang, Role

Placement = tuple[RolePlacement, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """A role of a gang inside a class."""

    gang: int
    role: int


class Classes:
    """Pods that ask the same and may go to the same nodes are one class, whichever gang they belong to.

    A role with limits, skews or a required topology level stays a class of its own.
    """

    def __init__(self, packing: Packing, gangs: Sequence[Gang]) -> None:
        self.roles: list[Role] = []
        self.members: list[list[Member]] = []
        self._gangs = gangs
        self._nodes = len(packing.nodes)
        seen: dict[Hashable, int] = {}
        for g, gang in enumerate(gangs):
            inside = unpinned(packing.nodes, gang, gang.required_levels)
            for r, role in enumerate(gang.roles):
                key = _key(gang, role, g, r)
                if key not in seen:
                    seen[key] = len(self.roles)
                    self.roles.append(_inside(role, inside))
                    self.members.append([])
                index = seen[key]
                self.members[index].append(Member(gang=g, role=r))
                if len(self.members[index]) > 1:
                    count = min(self.roles[index].count + role.count, COUNT_MAX)
                    self.roles[index] = replace(self.roles[index], count=count)

    def merge(self, placed: Sequence[Placement | None]) -> NDArray[np.int64]:
        """int64[C, N]: pods of each class on each node under these placements."""
        counts = np.zeros((len(self.roles), self._nodes), dtype=np.int64)
        for index, members in enumerate(self.members):
            for member in members:
                placement = placed[member.gang]
                if placement is not None:
                    counts[index] += dense([placement[member.role]], self._nodes)[0]
        return counts

    def share_out(self, counts: NDArray[np.int64], pods: Sequence[Sequence[int]]) -> list[Placement]:
        """Placements per gang of int64[C, N] when gang g's role r has ``pods[g][r]``, each one's close by."""
        shares = [[np.zeros(self._nodes, dtype=np.int64) for _ in gang.roles] for gang in self._gangs]
        for index, members in enumerate(self.members):
            after = np.cumsum(counts[index])
            taken = 0
            for member in members:
                wanted = pods[member.gang][member.role]
                upto = np.clip(after, taken, taken + wanted)
                shares[member.gang][member.role] = np.diff(upto, prepend=taken)
                taken += wanted
        return [as_placement(share) for share in shares]


def _key(gang: Gang, role: Role, g: int, r: int) -> Hashable:
    if role.limits or role.skews or gang.required_levels:
        return (g, r)
    mask = b"" if role.allowed is None or role.allowed.all() else role.allowed.tobytes()
    return (role.request.tobytes(), mask)


def _inside(role: Role, inside: NDArray[np.bool_]) -> Role:
    """The role with its minimum left to the model, and only where its gang may be."""
    if inside.all():
        return replace(role, minimum=0)
    allowed = inside if role.allowed is None else inside & role.allowed
    return replace(role, minimum=0, allowed=allowed)

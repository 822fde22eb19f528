"""One team: what an admin wrote about it, and what the tree makes of that."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from quotas.amounts import AMOUNT_MAX, Amounts

WEIGHT_MAX = 1_000_000
SECONDS_MAX = 10 * 366 * 86_400

ConditionKind = Literal[
    "Duplicate",
    "Orphan",
    "Cycle",
    "TooDeep",
    "OutOfRange",
    "GuaranteeAboveLimit",
    "ChildrenExceedGuarantee",
    "GuaranteesExceedCapacity",
    "Overlap",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamSpec:
    """What an admin wrote about one team. No field is trusted; an empty parent is the cluster."""

    name: str
    parent: str = ""
    #: Of what is divided beyond guarantees, relative to siblings. 0: only what nobody else wants.
    weight: int = 1
    #: A resource that is absent: what the teams below are guaranteed together; for a leaf none.
    guaranteed: Amounts = field(default_factory=dict)
    #: At most this much in use; absent: no limit.
    limit: Amounts = field(default_factory=dict)
    #: At most this much in use above the guarantee; absent: no limit.
    borrowing_limit: Amounts = field(default_factory=dict)
    #: At most this much of the guarantee is lent while idle; absent: all of it.
    lending_limit: Amounts = field(default_factory=dict)
    #: Work counts as at most this priority; also for every team below.
    priority_ceiling: int | None = None
    #: Work is not taken back before it ran this long; None: as the parent.
    min_runtime_s: int | None = None
    #: Past use weighs half as much after this long; None: as the parent; 0: the past does not count.
    half_life_s: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """Something about a team that cannot be as written, and what is done instead."""

    team: str
    kind: ConditionKind
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Team:
    """A node of the tree, everything inherited and bounded."""

    name: str
    #: Index in Tree.nodes; the cluster is its own parent.
    parent: int
    children: tuple[int, ...]
    weight: int
    guaranteed: Amounts
    limit: Amounts
    borrowing_limit: Amounts
    lending_limit: Amounts
    priority_ceiling: int | None
    min_runtime_s: int
    #: 0: the past does not count.
    half_life_s: int

    def most(self, resource: str) -> int:
        """The most of a resource that may ever be in use."""
        borrowing = self.borrowing_limit.get(resource, AMOUNT_MAX)
        owned = self.guaranteed.get(resource, 0)
        return min(self.limit.get(resource, AMOUNT_MAX), owned + borrowing, AMOUNT_MAX)

    def reserve(self, resource: str) -> int:
        """How much of the guarantee is kept even while idle."""
        owned = self.guaranteed.get(resource, 0)
        return max(0, owned - self.lending_limit.get(resource, owned))

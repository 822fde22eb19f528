"""The planner's input and output: Snapshot, Policy, Budget, Plan, Verdict."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np
from msgspec import Struct, field
from numpy.typing import NDArray

from binpacking.answer import Certificate
from scheduler.model.device_view import DeviceView
from scheduler.model.disruption import DisruptionBudget
from scheduler.model.gang import GangKey, PendingGang, Vacancy
from scheduler.model.objects import Node, Pod, Shape
from scheduler.model.selection import SpreadConstraint
from scheduler.model.structs import like_dataclass
from scheduler.model.team import RunningGang, Teams
from scheduler.model.volumes import Claims


@like_dataclass
class Placed(Struct, frozen=True, kw_only=True):
    """A pod that holds capacity on a node, as inter-pod rules see it."""

    namespace: str
    labels: tuple[tuple[str, str], ...]
    #: Index into ``Snapshot.nodes``.
    node: int
    shape: Shape
    #: It is being deleted: spread does not count it any more, affinity does.
    is_leaving: bool = False
    #: UID of the controller over whose pods it spreads by default; empty for none.
    owner: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Nominated:
    """A waiting pod of another scheduler to which a node was promised (``status.nominatedNodeName``)."""

    priority: int
    placed: Placed


@like_dataclass
class Snapshot(Struct, frozen=True, kw_only=True, eq=False):
    """One moment of the cluster, immutable: arrays are read-only and shared between snapshots.

    Shapes: N nodes, R resources. free and total are int64[N, R] in the units of ``Shape.requests``;
    free counts every pod that holds capacity or was assumed to, whoever scheduled it.
    """

    nodes: tuple[Node, ...]
    resources: tuple[str, ...]
    free: NDArray[np.int64]
    total: NDArray[np.int64]
    #: bool[N] per shape of a pending pod: where the static rules let it go.
    masks: Mapping[Shape, NDArray[np.bool_]]
    gangs: tuple[PendingGang, ...]
    #: Pods on nodes, only when some pending or placed shape has an inter-pod rule; else empty.
    placed: tuple[Placed, ...] = ()
    #: Volume claims, for the words of the verdict.
    claims: Claims = field(default_factory=Claims)
    #: Labels of namespaces, for namespace selectors.
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    #: None where there is no TeamQuota: then nobody has a limit.
    teams: Teams | None = None
    #: Device by device, where agents report; None where none does.
    devices: DeviceView | None = None
    #: Resources that resource claims (DRA) give as well as device plugins; None where nobody lets us know.
    by_claims: frozenset[str] | None = frozenset()
    #: By resource and node, how many a node has by who knows of more than it allocates now.
    withheld: Mapping[str, Mapping[int, int]] = field(default_factory=dict)
    #: Without teams, who runs and who leaves, where somebody may be evicted for somebody else; else None.
    room: Teams | None = None
    #: Disruption budgets, where somebody may be evicted.
    budgets: tuple[DisruptionBudget, ...] = ()
    #: Gangs that were left open by a cycle and had their turn since, until all had one.
    served: frozenset[GangKey] = frozenset()
    #: Seconds since the epoch.
    at_s: float = 0.0
    #: Pods on nodes whose volumes are still to be had there: their shapes and nodes.
    providing: tuple[tuple[Shape, str], ...] = ()
    #: Nodes that attach a volume of several pods, by (driver, volume), as far as waiting pods mount it.
    attached: tuple[tuple[tuple[str, str], tuple[str, ...]], ...] = ()
    #: Rooms that are kept for members who come in the place of lost ones; ``free`` counts them as free.
    vacancies: tuple[Vacancy, ...] = ()
    #: What other schedulers promised to their pods: a gang of no higher priority leaves it to them.
    nominated: tuple[Nominated, ...] = ()
    #: Topology levels of gangs that wait and are not in ``gangs``: their domains are kept together for them.
    levels: tuple[str, ...] = ()

    @property
    def has_volumes(self) -> bool:
        return bool(self.providing or self.attached)


#: ``systemDefaultConstraints`` of kube-scheduler's topology spread.
SYSTEM_SPREAD: Final = (
    SpreadConstraint(topology_key="kubernetes.io/hostname", max_skew=3, is_required=False, selector=None),
    SpreadConstraint(
        topology_key="topology.kubernetes.io/zone", max_skew=5, is_required=False, selector=None
    ),
)

Ordering = Literal["oldest", "shortest-time", "shortest-service", "least-service"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Prices:
    """What nodes cost relative to each other, by the value of one label. In any unit, the same for all."""

    label: str
    values: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Policy:
    """How to decide; data, set by the configuration."""

    strategy: Literal["pack", "spread"] = "pack"
    #: Who goes first among gangs of one priority (``quotas.order``).
    order: Ordering = "oldest"
    #: Whether a gang that goes first takes the place of running gangs that go after it by that order.
    displaces: bool = False
    #: Later gangs may use what a blocked earlier gang cannot use now.
    backfill: bool = True
    #: The first that knows a node's label tells its price; cheaper nodes come first among equals.
    prices: tuple[Prices, ...] = ()
    #: Soft spread over the pods of their controller, for pods that ask for no device and write none.
    default_spread: tuple[SpreadConstraint, ...] = SYSTEM_SPREAD
    #: How many gangs one cycle looks at.
    gangs_max: int = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """Deterministic: solver work units, not wall-clock. Same snapshot, policy and budget, same plan."""

    per_gang: float = 2.0
    total: float = 6.0
    seed: int = 0
    #: For all that one cycle tries, the solver aside: about seconds of one core.
    work: float = 0.1


@like_dataclass
class Assignment(Struct, frozen=True, kw_only=True):
    pod: Pod
    node: str
    #: UUIDs of the devices chosen for it; empty where no agent reports any.
    devices: tuple[str, ...] = ()


@like_dataclass
class Place(Struct, frozen=True, kw_only=True):
    """A gang that can stand now, whole."""

    gang: PendingGang
    assignments: tuple[Assignment, ...]
    certificate: Certificate
    solver: Literal["greedy", "cp-sat"]

    @property
    def stands(self) -> bool:
        """Whether with these the gang stands by the minimum that it started with."""
        return self.gang.standing + len(self.assignments) >= self.gang.stood


#: Stable machine-readable reasons of a gang that is not placed.
Reason = Literal[
    "Rejected",
    "Waiting",
    "QuotaExceeded",
    "WaitingForVictims",
    "WaitingForNodes",
    "WaitingForVolumes",
    "Unschedulable",
    "NeverFits",
    "Unproven",
]


@like_dataclass
class Verdict(Struct, frozen=True, kw_only=True, gc=False):
    """Why a gang is not placed: the binding constraint in one sentence, and its proof."""

    key: GangKey
    reason: Reason
    #: At most 1,024 characters, deterministic for equal state so that it is written on change only.
    message: str
    certificate: Certificate | None = None
    #: Node by pod UID, where room is held for a gang that waits for victims.
    nominated: Mapping[str, str] = field(default_factory=dict)


Rule = Literal["preempt", "reclaim"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Victim:
    """Pods of one running gang that are to leave, and what that costs (``scheduler.teams.cost``)."""

    gang: RunningGang
    team: str
    pods: tuple[Pod, ...]
    cost: int

    @property
    def is_whole(self) -> bool:
        return len(self.pods) == len(self.gang.pods)


@dataclass(frozen=True, slots=True, kw_only=True)
class Clearing:
    """Victims that leave so that others, who provably fit then, can stand."""

    rule: Rule
    team: str
    #: One gang, or single pods of one shape.
    beneficiaries: tuple[PendingGang, ...]
    #: Where they then stand, by pod UID; held for them until they do.
    nominated: Mapping[str, str]
    victims: tuple[Victim, ...]
    #: Of the victims' cost.
    certificate: Certificate
    #: The rule in words, for the victims' owners.
    why: str


@like_dataclass
class Plan(Struct, frozen=True, kw_only=True):
    places: tuple[Place, ...]
    verdicts: tuple[Verdict, ...]
    #: Their beneficiaries have a verdict ``WaitingForVictims``.
    clearings: tuple[Clearing, ...] = ()
    #: Solver work units spent.
    spent: float = 0.0
    #: Gangs that had the turn of those left open.
    served: tuple[GangKey, ...] = ()
    #: Gangs that no cycle has tried since they were last all tried: there is more to do at once.
    left_open: int = 0
    #: Room that was kept for lost members came free: what was known before was found beside it.
    has_released: bool = False

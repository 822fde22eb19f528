"""Between Kubernetes and arrays: a snapshot's nodes and gangs as ``binpacking`` sees them."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Mapping, Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import RolePlacement
from binpacking.device_model import DeviceDemand
from binpacking.greedy import Packing
from binpacking.problem import DomainLimit, Gang, Nodes, Role, Topology
from binpacking.score import PACK, SPREAD
from scheduler.devices.plan import PRICE_MAX, DevicePlan
from scheduler.ground import Ground
from scheduler.model.devices import WHOLE_GPU
from scheduler.model.gang import PendingGang, PendingRole
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Assignment, Placed, Prices, Snapshot
from scheduler.model.selection import SpreadConstraint
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.default_spread import spread_by
from scheduler.predicates.interpod import Interpod, constrain
from scheduler.predicates.preference import Wisher, Wishes
from scheduler.predicates.spot import by_spot
from scheduler.promised import Promised
from scheduler.volumes.plan import VolumePlan

Strategy = Literal["pack", "spread"]


class Translation:
    """One planning run's dictionary. ``placed`` grows as the run places pods."""

    def __init__(
        self,
        snapshot: Snapshot,
        prices: Sequence[Prices] = (),
        default_spread: tuple[SpreadConstraint, ...] = (),
    ) -> None:
        self.snapshot = snapshot
        self._prices = prices
        self._default_spread = default_spread
        ground = Ground.of(snapshot)
        self._ground = ground
        self._column = ground.column
        self.volumes = VolumePlan(snapshot)
        #: What waits, each shape once.
        shapes = dict.fromkeys(role.shape for gang in snapshot.gangs for role in gang.roles)
        #: Levels that are places of the network, and nothing else in this run.
        self._places: frozenset[str] = frozenset()
        self._levels = {label: i for i, label in enumerate(self._labels_used(shapes))}
        self.nodes = ground.rows
        self._crowd = Crowd(self.nodes, snapshot.placed)
        self._notes_placed = any(shape.sees_pods for shape in shapes)
        self.devices = DevicePlan(
            snapshot.devices, snapshot.gangs, shapes, nodes=len(snapshot.nodes), resources=snapshot.resources
        )
        self._requests: dict[Shape, NDArray[np.int64]] = {}
        #: For each role of the gang that is planned now the most pods by GPU model; None for no such limit.
        self.split: tuple[Mapping[int, int], ...] | None = None
        self.promised = Promised(snapshot.nominated, self._crowd, self.request)

    @property
    def width(self) -> int:
        """R, the columns of a request: the snapshot's resources and those that devices add."""
        return len(self._column) + len(self.devices.names)

    @property
    def gpu_column(self) -> int | None:
        """The column that counts whole GPUs, if there is one."""
        return self._column.get(WHOLE_GPU)

    @property
    def _row(self) -> Mapping[str, int]:
        return self.nodes.row

    @property
    def sees_labels(self) -> bool:
        """Whether a required rule between pods is at work, or a promise to others: who asks decides more than
        what is asked.
        """
        return self._notes_placed or self._crowd.keeps_apart or self.promised.any

    def kind(self, gang: PendingGang) -> Hashable:
        """Single pods of one shape are planned together where this is equal; None for never."""
        pod = gang.roles[0].pods[0]
        if pod.shape.sees_pods:
            return None
        seen = self._crowd.kind(pod.namespace, pod.labels, self.snapshot.namespaces)
        return (seen, self._owner(pod), self.promised.count(gang.priority))

    def is_counted(self, pending: PendingGang) -> bool:
        """Whether the pods of each role can be counted together; else they are placed one after another."""
        if len(pending.roles) > 1 and any(role.shape.looks_at_pods for role in pending.roles):
            return False
        if not self._crowd.keeps_apart:
            return True
        spaces = self.snapshot.namespaces
        return all(
            len({self._crowd.kind(pod.namespace, pod.labels, spaces) for pod in role.pods}) == 1
            for role in pending.roles
        )

    def _owner(self, pod: Pod) -> str:
        """The controller over whose pods this one spreads by default."""
        return spread_by(pod) if self._default_spread else ""

    def packing(self, strategy: Strategy) -> Packing:
        """The nodes as they are now."""
        return self._packing(self.devices.widened(self.snapshot.free, is_empty=False), strategy)

    def empty_packing(self, strategy: Strategy) -> Packing:
        """The nodes as if no pod ran: what never fits here never fits."""
        return self._packing(self.devices.widened(self.snapshot.total, is_empty=True), strategy)

    def gang(
        self,
        pending: PendingGang,
        *,
        count: int | None = None,
        minimum: int | None = None,
        within: NDArray[np.bool_] | None = None,
    ) -> Gang:
        """The gang as counted roles, under every rule that holds now.

        ``count`` and ``minimum`` replace those of a single pod that stands for many equal ones. ``within``
        are the nodes that its team may use, None for all.
        """
        roles: list[Role] = []
        topology = [
            Topology(
                level=self._levels[t.label], is_required=t.is_required, pinned=self._pinned(pending, t.label)
            )
            for t in pending.topology
        ]
        away = self.avoided(pending)
        if away is not None:
            within = away if within is None else within & away
        for index, role in enumerate(pending.roles):
            rules = self.rules(role)
            together = (*rules.same_domain, *self.volumes.same_domain(role.shape))
            topology += [Topology(level=self._levels[label], is_required=True) for label in together]
            allowed = self.snapshot.masks[role.shape]
            allowed = allowed if within is None else allowed & within
            allowed = self.promised.beside(pending, role, allowed, self.snapshot.namespaces)
            roles.append(
                Role(
                    name=role.name,
                    count=len(role.pods) if count is None else count,
                    minimum=role.minimum if minimum is None else minimum,
                    request=self.request(role.shape),
                    allowed=allowed if rules.mask is None else allowed & rules.mask,
                    limits=rules.limits
                    + self.volumes.limits(role.shape)
                    + self._by_model(index, len(role.pods)),
                    skews=rules.skews,
                )
            )
        return Gang(
            name=str(pending.key),
            roles=tuple(roles),
            # A gang that stands already and only grows still has to place something.
            minimum=max(1, pending.need, sum(role.minimum for role in pending.roles))
            if minimum is None
            else minimum,
            topology=tuple(topology),
        )

    def avoided(self, pending: PendingGang) -> NDArray[np.bool_] | None:
        """bool[N] of the nodes whose kubelet did not turn down a pod of the gang; None for all."""
        rows = [self._row[name] for name in pending.avoided if name in self._row]
        if not rows:
            return None
        allowed = np.ones(len(self.snapshot.nodes), np.bool_)
        allowed[rows] = False
        return allowed

    def _by_model(self, role: int, pods: int) -> tuple[DomainLimit, ...]:
        """The most pods of a role on each GPU model, where its team's limits make it go to several."""
        teams = self.snapshot.teams
        if self.split is None or teams is None or not self.split[role]:
            return ()
        most = np.full(len(teams.models), pods, dtype=np.int64)
        for code, allowed in self.split[role].items():
            most[code] = allowed
        return (DomainLimit(domain_of=teams.model_of.astype(np.int32), most=most),)

    def required_levels(self, pending: PendingGang) -> tuple[int, ...]:
        """The topology levels in one domain of which all pods of the gang have to be."""
        return tuple(dict.fromkeys(self._levels[t.label] for t in pending.topology if t.is_required))

    def rules(self, role: PendingRole) -> Interpod:
        """What pods on nodes, those placed in this run included, ask of this role."""
        pod = role.pods[0]
        if not role.shape.sees_pods and not self._crowd.kind(
            pod.namespace, pod.labels, self.snapshot.namespaces
        ):
            return Interpod()
        return constrain(
            role.shape, pod.namespace, pod.labels, self.nodes, self._crowd, self.snapshot.namespaces
        )

    def who(self, pending: PendingGang) -> Hashable:
        """All that decides whether the gang fits now beside what it asks for: what rules between pods see of
        it, to whom it leaves room, and what its quota leaves it of each GPU model.
        """
        split = None if self.split is None else tuple(tuple(sorted(most.items())) for most in self.split)
        if not self.sees_labels:
            return split
        spaces = self.snapshot.namespaces
        kinds = tuple(
            tuple(dict.fromkeys(self._crowd.kind(pod.namespace, pod.labels, spaces) for pod in role.pods))
            for role in pending.roles
        )
        return kinds, pending.key.namespace, self.promised.count(pending.priority), split

    def note(self, assignments: Sequence[Assignment]) -> None:
        """Let rules of later gangs see pods placed in this run."""
        for a in assignments:
            if a.pod.shape.volumes:
                self.volumes.note(a.pod.shape, self._row[a.node])
            owner = self._owner(a.pod)
            if self._notes_placed or owner or a.pod.shape.speaks_of_pods:
                self._crowd.add(
                    Placed(
                        namespace=a.pod.namespace,
                        labels=a.pod.labels,
                        node=self._row[a.node],
                        shape=a.pod.shape,
                        owner=owner,
                    )
                )

    def mark(self) -> tuple[int, tuple[int, int]]:
        """A point to rewind to, for places that are tried and may be taken back."""
        return len(self._crowd), self.volumes.mark()

    def rewind(self, mark: tuple[int, tuple[int, int]]) -> None:
        """Forget what was noted since the mark."""
        self._crowd.rewind(mark[0])
        self.volumes.rewind(mark[1])

    def preference(self, roles: Sequence[PendingRole]) -> NDArray[np.int64] | None:
        """int64[N], higher is better: the pods' own preferences, then the worth that their shares take from
        devices, then what the policy says that the nodes cost.

        None without any of them.
        """
        return self.preferred(roles, [self.wishes(role) for role in roles])

    def preferred(self, roles: Sequence[PendingRole], wishes: Sequence[Wishes]) -> NDArray[np.int64] | None:
        """As ``preference``, with the wishes of each role as they are by now."""
        worth = self.devices.price(role.shape for role in roles)
        total = _then(self._wished(roles, wishes), worth, PRICE_MAX * len(roles))
        dear = self._ground.dearness(self._prices) if self._prices else None
        return total if dear is None else _then(total, dear, int(dear.max()))

    def wishes(self, role: PendingRole) -> Wishes:
        """What the pods of the role wish, those placed in this run being seen."""
        pod = role.pods[0]
        wisher = Wisher(
            shape=role.shape,
            namespace=pod.namespace,
            labels=pod.labels,
            owner=self._owner(pod),
            default_spread=self._default_spread,
        )
        return Wishes(wisher, self._crowd, self.snapshot.namespaces)

    def _wished(self, roles: Sequence[PendingRole], wishes: Sequence[Wishes]) -> NDArray[np.int64] | None:
        total = self.devices.preference(role.shape for role in roles)
        for role, own in zip(roles, wishes, strict=True):
            spot = by_spot(role.shape.spot, self._ground.spot) if role.shape.spot else None
            for score in (own.score(), spot):
                if score is not None:
                    total = score if total is None else total + score
        return total

    def request(self, shape: Shape) -> NDArray[np.int64]:
        """int64[R] of the shape, in the snapshot's columns and those of devices."""
        if not self.devices.names:
            return self._ground.request(shape)
        known = self._requests.get(shape)
        if known is None:
            known = np.zeros(self.width, dtype=np.int64)
            known[: len(self._column)] = self._ground.request(shape)
            extra = self.devices.column(shape)
            if extra is not None:
                known[extra] = 1
            self._requests[shape] = known
        return known

    def choose(self, assignments: Sequence[Assignment], packing: Packing) -> list[Assignment] | None:
        """The same with devices, where the nodes' are known; None where they cannot be had after all."""
        if self.devices.is_idle:
            return list(assignments)  # and the rows, which take a look at every node, are not needed
        return self.devices.choose(assignments, [self._row[a.node] for a in assignments], packing)

    def demand(self, pending: PendingGang, packing: Packing) -> DeviceDemand:
        """What the gang's roles ask of the devices that are free now, less what is held for others."""
        return self.devices.demand(pending, packing)

    def give(self, assignments: Sequence[Assignment], packing: Packing) -> None:
        """What these pods had taken of their nodes is free again."""
        for a in assignments:
            packing.free[self._row[a.node]] += self.request(a.pod.shape)

    def node_names(self, where: RolePlacement) -> list[str]:
        """One name per pod, in node order."""
        nodes = self.snapshot.nodes
        return [
            nodes[node].name
            for node, count in zip(where.nodes.tolist(), where.counts.tolist(), strict=True)
            for _ in range(count)
        ]

    def _labels_used(self, shapes: Collection[Shape]) -> list[str]:
        """Node labels that are a topology level of some gang that waits, in an order that no gang decides."""
        gangs = self.snapshot.gangs
        used = dict.fromkeys(self.snapshot.levels) | {t.label: None for gang in gangs for t in gang.topology}
        together = {term.topology_key for shape in shapes for term in shape.pod_affinity}
        self._places = frozenset(used.keys() - together)
        used |= {term.topology_key: None for shape in shapes for term in shape.pod_affinity}
        used |= {key: None for shape in shapes if shape.volumes for key in self.volumes.same_domain(shape)}
        return sorted(used)

    def _packing(self, free: NDArray[np.int64], strategy: Strategy) -> Packing:
        score = PACK if strategy == "pack" else SPREAD
        if not self._levels and not self.devices.names:
            return Packing(self._ground.nodes(self.snapshot.total, free), score=score)
        total = self.devices.widened(self.snapshot.total, is_empty=True)
        nodes = Nodes(
            free=self._ground.bounded(free),
            total=self._ground.sizes(total),
            domains=tuple(self._domain_of(label) for label in self._levels),
            resources=(*self.snapshot.resources, *self.devices.names),
            levels=tuple(self._levels),
        )
        return Packing(nodes, score=score)

    def _domain_of(self, label: str) -> NDArray[np.int32]:
        """int32[N]: each node's domain of a level, -1 for none. Rules between pods take any value for one."""
        return self._ground.place(label) if label in self._places else self.nodes.domains(label).of

    def _pinned(self, pending: PendingGang, label: str) -> int:
        """The domain that members already run in, or -1."""
        domain = self._domain_of(label)
        rows = [self._row[name] for name in pending.standing_nodes if name in self._row]
        return int(domain[rows[0]]) if rows else -1


def _then(
    score: NDArray[np.int64] | None, cost: NDArray[np.int64] | None, cost_max: int
) -> NDArray[np.int64] | None:
    """The score, and among equals the lower cost, from 0 to ``cost_max``, as one number a node."""
    if cost is None:
        return score
    return -cost if score is None else score * (cost_max + 1) - cost

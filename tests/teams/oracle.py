"""The rules of quotas once more, read from the guide and tried by brute force; for GPUs of one kind.

Everything is counted anew from the pods: nothing of ``quotas``, ``binpacking`` or ``scheduler.teams`` decides
here, but for what departments are due, which other tests establish.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, product

from quotas.tree import Tree
from quotas.units import MILLI, UNITS
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import GPU, Pod, Shape
from scheduler.model.plan import Snapshot
from scheduler.model.team import RunningGang
from scheduler.teams.allowance import Allowance


def gpus_of(shape: Shape) -> int:
    return dict(shape.requests).get(GPU, 0)


@dataclass(frozen=True, slots=True)
class Item:
    """What leaves of one gang: all of it, or pods above its minimum."""

    gang: GangKey
    team: str
    priority: int
    pods: tuple[Pod, ...]

    @property
    def gpus(self) -> int:
        return sum(gpus_of(pod.shape) for pod in self.pods)


@dataclass(kw_only=True)
class Oracle:
    """One moment of a settled cluster: nothing is leaving and no room is promised."""

    snapshot: Snapshot
    tree: Tree = field(init=False)
    used: list[int] = field(init=False)
    due: list[int] = field(init=False)
    free: dict[str, int] = field(init=False)
    size: int = field(init=False)

    def __post_init__(self) -> None:
        teams = self.snapshot.teams
        assert teams is not None
        self.tree = teams.table.tree
        self.used = [0] * len(self.tree.nodes)
        self.free = {node.name: node.allocatable.get(GPU, 0) for node in self.snapshot.nodes}
        self.size = sum(self.free.values())
        for gang in teams.running:
            for pod in gang.pods:
                self.free[pod.node_name] -= gpus_of(pod.shape)
                self._charge(teams.table.team(pod.namespace), gpus_of(pod.shape))
        books = Allowance(self.snapshot, teams).books
        r = books.resources.index(UNITS)
        self.due = [row[r] for row in books.shares.due]

    def team(self, namespace: str) -> str:
        assert self.snapshot.teams is not None
        return self.snapshot.teams.table.team(namespace)

    # -- quotas --------------------------------------------------------------------------------

    def _charge(self, team: str, gpus: int) -> None:
        for i in (*self.tree.path(self.tree.leaf(team)), 0):
            self.used[i] += gpus * MILLI

    def held(self, index: int = 0, more: dict[int, int] | None = None) -> int:
        """In use below a node, or kept idle for it by lending limits; with ``more`` in use at some leaves."""
        node = self.tree.nodes[index]
        inside = self.used[index] + (more or {}).get(index, 0)
        if node.children:
            inside = sum(self.held(child, more) for child in node.children)
        owned = node.guaranteed.get(UNITS, 0)
        return max(inside, owned - node.lending_limit.get(UNITS, owned))

    def is_allowed(self, team: str, gpus: int, gone: Sequence[Item] = ()) -> bool:
        """Whether every limit, and what is kept for others, leave room once these are gone."""
        change = {self.tree.leaf(team): gpus * MILLI}
        for item in gone:
            leaf = self.tree.leaf(item.team)
            change[leaf] = change.get(leaf, 0) - item.gpus * MILLI
        for i in self.tree.path(self.tree.leaf(team)):
            node = self.tree.nodes[i]
            inside = sum(a for leaf, a in change.items() if i in self.tree.path(leaf))
            most = node.guaranteed.get(UNITS, 0) + node.borrowing_limit.get(UNITS, 2**62)
            if self.used[i] + inside > min(most, node.limit.get(UNITS, 2**62)):
                return False
        return self.held(0, change) <= max(self.size * MILLI, self.held())

    def is_within_guarantee(self, team: str, gpus: int) -> bool:
        leaf = self.tree.leaf(team)
        return self.used[leaf] + gpus * MILLI <= self.tree.nodes[leaf].guaranteed.get(UNITS, 0)

    # -- victims -------------------------------------------------------------------------------

    def ways(self, gang: RunningGang) -> list[tuple[Item, ...]]:
        """Nothing of a gang, some of what can leave alone, or all."""
        team, extra = self.team(gang.key.namespace), gang.pods[gang.base :]
        some = [pods for size in range(1, len(extra) + 1) for pods in combinations(extra, size)]
        return [(), *((Item(gang.key, team, gang.priority, pods),) for pods in {gang.pods, *some})]

    def sets(self, gangs: Sequence[RunningGang]) -> Iterator[tuple[Item, ...]]:
        """Every set of victims."""
        for chosen in product(*(self.ways(gang) for gang in gangs)):
            yield tuple(item for way in chosen for item in way)

    def is_owed(self, team: str, gpus: int, items: Sequence[Item]) -> bool:
        """Whether they can leave one by one, each out of what its team still uses above guarantees."""
        if not self.is_within_guarantee(team, gpus):
            return False
        return self._in_turn(team, gpus, tuple(items), (), {})

    def _in_turn(
        self,
        team: str,
        gpus: int,
        left: tuple[Item, ...],
        gone: tuple[Item, ...],
        known: dict[frozenset[Item], bool],
    ) -> bool:
        if not left:
            return True
        key = frozenset(left)
        if key not in known:
            known[key] = any(
                self._gives(team, gpus, item, gone)
                and self._in_turn(team, gpus, (*left[:k], *left[k + 1 :]), (*gone, item), known)
                for k, item in enumerate(left)
            )
        return known[key]

    def _gives(self, team: str, gpus: int, item: Item, gone: Iterable[Item]) -> bool:
        mine = self.tree.path(self.tree.leaf(team))
        theirs = self.tree.path(self.tree.leaf(item.team))
        left = list(self.used)
        for other in gone:
            for i in self.tree.path(self.tree.leaf(other.team)):
                left[i] -= other.gpus * MILLI
        owned = [node.guaranteed.get(UNITS, 0) for node in self.tree.nodes]
        for i in theirs:
            if i not in mine and left[i] <= owned[i]:
                return False
        for i in mine:
            most = max(owned[i], self.due[i]) if self.tree.nodes[i].children else owned[i]
            if i not in theirs and left[i] + gpus * MILLI > most:
                return False
        return item.team != team

    # -- room ----------------------------------------------------------------------------------

    def fits(self, gang: PendingGang, gone: Sequence[Item] = ()) -> bool:
        """Whether what the gang needs has room once these are gone; its pods are alike."""
        free = dict(self.free)
        for item in gone:
            for pod in item.pods:
                free[pod.node_name] += gpus_of(pod.shape)
        each = gpus_of(gang.pods[0].shape)
        return sum(amount // each for amount in free.values()) >= max(1, gang.need)

    def asks(self, gang: PendingGang) -> int:
        """GPUs that the gang cannot do without."""
        return max(1, gang.need) * gpus_of(gang.pods[0].shape)

    def would_start(self, gang: PendingGang, gone: Sequence[Item] = ()) -> bool:
        """Whether the gang may start and has room once these are gone."""
        team = self.team(gang.key.namespace)
        return self.fits(gang, gone) and self.is_allowed(team, self.asks(gang), gone)

    def has_victims(self, gang: PendingGang) -> bool:
        """Whether some set of victims, by one of the two rules, would let the gang start."""
        assert self.snapshot.teams is not None
        team, gpus = self.team(gang.key.namespace), self.asks(gang)
        if not gang.need:
            return False
        running = self.snapshot.teams.running
        lower = [g for g in running if self.team(g.key.namespace) == team and g.priority < gang.priority]
        if any(self.would_start(gang, gone) for gone in self.sets(lower)):
            return True
        if not self.is_within_guarantee(team, gpus):
            return False
        givers = [g for g in running if self.used[self.tree.leaf(self.team(g.key.namespace))] > 0]
        givers = [g for g in givers if self.team(g.key.namespace) != team]
        return any(
            self.would_start(gang, gone) and self.is_owed(team, gpus, gone) for gone in self.sets(givers)
        )

"""What is spoken for of the volumes that there are and of what can be provisioned, pod by pod."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims, Mount, Wanted
from scheduler.predicates.supply import is_tracked, match, segment, why_not_provisioned


@dataclass(frozen=True, slots=True)
class Taking:
    """What one pod took: volumes by name, bytes by capacity object, claims by name."""

    volumes: tuple[str, ...] = ()
    capacities: tuple[tuple[str, int], ...] = ()
    claims: tuple[str, ...] = ()


@dataclass(slots=True)
class Ledger:
    """Grows by ``take``; ``rewind`` gives the newest back. Costs nothing for pods without such volumes."""

    claims: Claims
    volumes: set[str] = field(default_factory=set)
    #: Bytes by capacity object.
    capacities: dict[str, int] = field(default_factory=dict)
    #: Claims that are had once for several pods, or that only one pod may have.
    names: set[str] = field(default_factory=set)
    #: Another number whenever anything else is taken.
    version: int = 0
    _takings: list[Taking] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self._takings)

    def take(self, shape: Shape, node: Node) -> bool:
        """What a pod of the shape needs on the node; False where it cannot be had, and nothing is taken."""
        volumes: list[str] = []
        capacities: list[tuple[str, int]] = []
        names: list[str] = []
        for mount in sorted(mounts_of(shape), key=_size):
            if mount.exclusive:
                name = f"{shape.namespace}/{mount.exclusive}"
                if name in self.names or name in names:
                    return False
                names.append(name)
            wanted = mount.wanted
            if wanted is None or (mount.shared and mount.shared in self.names):
                continue
            if mount.shared:
                names.append(mount.shared)
            if wanted.selected_node:
                capacities += self._at_work(wanted, node)
            elif (found := match(wanted, node, self.claims, {*self.volumes, *volumes})) is not None:
                volumes.append(found.name)
            elif why_not_provisioned(wanted, node, self.claims, self._with(capacities)) is None:
                capacities += self._part(wanted, node, self._with(capacities))
            else:
                return False
        self._note(Taking(tuple(volumes), tuple(capacities), tuple(names)))
        return True

    def rewind(self, length: int) -> None:
        """Give back until ``length`` takings are left."""
        while len(self._takings) > length:
            taking = self._takings.pop()
            self.version += 1
            self.volumes.difference_update(taking.volumes)
            self.names.difference_update(taking.claims)
            for name, amount in taking.capacities:
                self.capacities[name] -= amount

    def _note(self, taking: Taking) -> None:
        self._takings.append(taking)
        self.version += 1
        self.volumes.update(taking.volumes)
        self.names.update(taking.claims)
        for name, amount in taking.capacities:
            self.capacities[name] = self.capacities.get(name, 0) + amount

    def _with(self, more: list[tuple[str, int]]) -> Mapping[str, int]:
        if not more:
            return self.capacities
        total = dict(self.capacities)
        for name, amount in more:
            total[name] = total.get(name, 0) + amount
        return total

    def _part(self, wanted: Wanted, node: Node, taken: Mapping[str, int]) -> list[tuple[str, int]]:
        if not is_tracked(wanted, self.claims):
            return []
        found = segment(wanted, node, self.claims, taken)
        return [] if found is None else [(found.name, wanted.size or 0)]

    def _at_work(self, wanted: Wanted, node: Node) -> list[tuple[str, int]]:
        """A provisioner was asked already: as much is counted, whether it is still there or not."""
        return self._part(wanted, node, self.capacities)


def mounts_of(shape: Shape) -> Iterator[Mount]:
    """The mounts of a shape that the state has made."""
    return (volume.mount for volume in shape.volumes if volume.mount is not None)


def counts(shape: Shape) -> bool:
    """Whether pods of the shape take something of which there may be too little."""
    return any(mount.wanted is not None or mount.exclusive for mount in mounts_of(shape))


def wants(shape: Shape) -> bool:
    """Whether pods of the shape mount a claim whose volume is still to be had."""
    return any(mount.wanted is not None for mount in mounts_of(shape))


def _size(mount: Mount) -> int:
    return 0 if mount.wanted is None else mount.wanted.size or 0

"""A snapshot of a live cluster: what the scheduler was told, and nothing else, so that it can be told again.

Objects are kept as they were parsed. The parser keeps what scheduling reads: environments, arguments, images
and secrets never get in here, of annotations only the keys of gang dialects and of stowplan.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path

from quotas.units import UnitTable
from scheduler.gangs.groups import Group, GroupKind
from scheduler.model.devices import Inventory
from scheduler.model.disruption import DisruptionBudget
from scheduler.model.objects import Node, Pod, Rejected
from scheduler.model.volumes import Claims
from scheduler.parse.teamquota import TeamQuota
from scheduler.record import UnreadableRecord, decode, encode
from scheduler.state import ClusterState

KIND = "stowplan.dev/v1alpha1 ClusterSnapshot"
#: Of the file unpacked; a cluster of 140,000 pods is a tenth of this.
BYTES_MAX = 1 << 30


class BadSnapshot(ValueError):
    """A snapshot that cannot be read; the message is for whoever named the file."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterSnapshot:
    """One moment of a cluster. ``taken_s`` is in seconds since the epoch."""

    taken_s: float
    scheduler_name: str
    nodes: tuple[Node, ...] = ()
    pods: tuple[Pod, ...] = ()
    #: Pods that must not be planned, and why.
    refused: tuple[tuple[Pod, Rejected], ...] = ()
    groups: tuple[Group, ...] = ()
    #: Kinds of groups that could not be read, and why.
    unreadable: Mapping[GroupKind, str] = field(default_factory=dict)
    quotas: tuple[TeamQuota, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    claims: Claims = field(default_factory=Claims)
    inventories: tuple[Inventory, ...] = ()
    budgets: tuple[DisruptionBudget, ...] = ()

    def tell(self, state: ClusterState) -> None:
        """Let a state see what was seen then."""
        for name, labels in self.namespaces.items():
            state.set_namespace(name, labels)
        for quota in self.quotas:
            state.set_team_quota(quota)
        for kind, why in self.unreadable.items():
            state.set_unreadable(kind, why)
        for group in self.groups:
            state.set_group(group)
        state.set_claims(self.claims)
        for budget in self.budgets:
            state.disruption.put(budget)
        for inventory in self.inventories:
            state.set_inventory(inventory)
        for node in self.nodes:
            state.set_node(node)
        for pod in self.pods:
            state.set_pod(pod)
        for pod, rejected in self.refused:
            state.set_pod(pod, rejected)
        state.at(self.taken_s)


class Recorder(ClusterState):
    """A state that remembers what it was told."""

    def __init__(self, scheduler_name: str, units: UnitTable | None = None) -> None:
        super().__init__(scheduler_name, units)
        self._nodes: dict[str, Node] = {}
        self._told: dict[str, tuple[Pod, Rejected | None]] = {}
        self._by_name: dict[tuple[GroupKind, str, str], Group] = {}
        self._unread: dict[GroupKind, str] = {}

    def set_node(self, node: Node) -> bool:
        self._nodes[node.name] = node
        return super().set_node(node)

    def remove_node(self, name: str) -> None:
        self._nodes.pop(name, None)
        super().remove_node(name)

    def set_pod(self, pod: Pod, rejected: Rejected | None = None) -> bool:
        self._told[pod.uid] = (pod, rejected)
        return super().set_pod(pod, rejected)

    def remove_pod(self, uid: str) -> None:
        self._told.pop(uid, None)
        super().remove_pod(uid)

    def set_group(self, group: Group) -> None:
        self._by_name[(group.kind, group.namespace, group.name)] = group
        super().set_group(group)

    def remove_group(self, kind: GroupKind, namespace: str, name: str) -> None:
        self._by_name.pop((kind, namespace, name), None)
        super().remove_group(kind, namespace, name)

    def set_unreadable(self, kind: GroupKind, why: str | None) -> None:
        if why is None:
            self._unread.pop(kind, None)
        else:
            self._unread[kind] = why
        super().set_unreadable(kind, why)

    def told(self, taken_s: float) -> ClusterSnapshot:
        """All of it, as of this moment."""
        pods = self._told.values()
        return ClusterSnapshot(
            taken_s=taken_s,
            scheduler_name=self.scheduler_name,
            nodes=tuple(self._nodes.values()),
            pods=tuple(pod for pod, rejected in pods if rejected is None),
            refused=tuple((pod, rejected) for pod, rejected in pods if rejected is not None),
            groups=tuple(self._by_name.values()),
            unreadable=dict(self._unread),
            quotas=tuple(self.roll.quotas.values()),
            namespaces=dict(self.namespaces),
            claims=self.claims,
            inventories=tuple(self.devices.inventories.values()),
            budgets=self.disruption.all(taken_s),
        )


def write_snapshot(path: Path, snapshot: ClusterSnapshot) -> int:
    """Compressed; the bytes written. Raises: OSError."""
    values = {one.name: getattr(snapshot, one.name) for one in fields(snapshot)}
    packed = gzip.compress(encode({"kind": KIND, **values}), mtime=0)
    path.write_bytes(packed)
    return len(packed)


def read_snapshot(path: Path) -> ClusterSnapshot:
    """Raises: BadSnapshot."""
    try:
        unpacked = _unpacked(path)
        found = decode(unpacked)
        if not isinstance(found, dict) or found.pop("kind", None) != KIND:
            raise BadSnapshot(f"{path}: expected a snapshot as `stowplan snapshot` writes it")
        snapshot = ClusterSnapshot(**found)
        for name, kind in (("nodes", Node), ("pods", Pod), ("quotas", TeamQuota), ("groups", Group)):
            _require_all(path, name, getattr(snapshot, name), kind)
    except (OSError, EOFError, zlib.error, TypeError, UnreadableRecord) as error:
        raise BadSnapshot(f"{path}: expected a snapshot as `stowplan snapshot` writes it: {error}") from error
    return snapshot


def _unpacked(path: Path) -> bytes:
    with gzip.open(path) as file:
        found = file.read(BYTES_MAX + 1)
    if len(found) > BYTES_MAX:
        raise BadSnapshot(f"{path}: more than {BYTES_MAX:,} bytes unpacked; is this the right file?")
    return found


def _require_all(path: Path, name: str, values: Iterable[object], kind: type) -> None:
    if not all(isinstance(value, kind) for value in values):
        raise BadSnapshot(f"{path}: {name}: expected {kind.__name__} objects")

"""From watches to state: claims, volumes and what is said of storage."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from typing import Generic, TypeVar

from scheduler.kube import wire
from scheduler.kube.decoding import HasMetadata
from scheduler.kube.reflector import Ref
from scheduler.live.logs import logger
from scheduler.model.objects import Rejected
from scheduler.parse.volumes import (
    parse_capacity,
    parse_claim,
    parse_csi_driver,
    parse_csi_node,
    parse_storage_class,
    parse_volume,
)
from scheduler.state import ClusterState
from scheduler.state.volumes import Kind
from scheduler.volumes.provide import version

log = logger("feeds")

U = TypeVar("U", bound=HasMetadata, contravariant=True)
P = TypeVar("P")


class StorageFeed(Generic[U, P]):
    """Objects of one kind. One that cannot be understood counts as gone.

    A version that is older than what is known of the same object changes nothing: the answer to a write of
    ours may be ahead of the watch.
    """

    def __init__(
        self,
        state: ClusterState,
        kind: Kind,
        parse: Callable[[U], P | Rejected],
        key: Callable[[str, str], Hashable] = lambda namespace, name: name,
    ) -> None:
        self._state = state
        self._kind: Kind = kind
        self._parse = parse
        self._key = key

    def put(self, objects: Sequence[U]) -> bool:
        new: dict[Hashable, P] = {}
        gone: list[Hashable] = []
        known = self._state.volumes.known(self._kind)
        for found in objects:
            key = self._key(found.metadata.namespace, found.metadata.name)
            parsed = self._parse(found)
            if isinstance(parsed, Rejected):
                log.warning(f"{self._kind} rejected", name=found.metadata.name, why=parsed.reason)
                new.pop(key, None)
                gone.append(key)
            elif not _is_older(found, new.get(key, known.get(key))):
                new[key] = parsed
        return self._state.set_storage(self._kind, new, gone)

    def answered(self, found: U) -> None:
        """Take the answer to a request of ours, unless the object was replaced or is gone by now."""
        known = self._state.volumes.known(self._kind)
        there = known.get(self._key(found.metadata.namespace, found.metadata.name))
        if there is not None and getattr(there, "uid", "") == found.metadata.uid:
            self.put([found])

    def gone(self, refs: Sequence[Ref]) -> None:
        self._state.set_storage(self._kind, {}, [self._key(ref.namespace, ref.name) for ref in refs])


def _is_older(found: HasMetadata, known: object) -> bool:
    if getattr(known, "uid", "") != found.metadata.uid or not found.metadata.uid:
        return False
    return version(found.metadata.resource_version) < version(getattr(known, "resource_version", ""))


class StorageFeeds:
    """One feed for each kind, over one state."""

    def __init__(self, state: ClusterState) -> None:
        self.claims = StorageFeed[wire.PersistentVolumeClaim, object](
            state, "claims", parse_claim, lambda namespace, name: (namespace, name)
        )
        self.volumes = StorageFeed[wire.PersistentVolume, object](state, "volumes", parse_volume)
        self.classes = StorageFeed[wire.StorageClass, object](state, "classes", parse_storage_class)
        self.nodes = StorageFeed[wire.CSINode, object](state, "node_drivers", parse_csi_node)
        self.drivers = StorageFeed[wire.CSIDriver, object](state, "drivers", parse_csi_driver)
        self.capacities = StorageFeed[wire.CSIStorageCapacity, object](
            state, "capacities", parse_capacity, lambda namespace, name: f"{namespace}/{name}"
        )

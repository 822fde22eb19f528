"""From watches to state: which devices resource claims hold, and what they give.

Clusters without the API, or whose admin does not let us read it, go by what agents see of pods.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from scheduler.kube.reflector import FORBIDDEN, Ref
from scheduler.kube.wire.resource import DeviceClass, ResourceClaim, ResourceSlice
from scheduler.live.logs import logger
from scheduler.parse.device_claims import parse_claim, parse_slice, resources_of
from scheduler.state import ClusterState

log = logger("devices")

#: A cluster serves one of them, or some with the same content.
VERSIONS: Final = tuple(f"resource.k8s.io/{version}" for version in ("v1", "v1beta2", "v1beta1"))
CLAIMS: Final = tuple(f"/apis/{version}/resourceclaims" for version in VERSIONS)
CLASSES: Final = tuple(f"/apis/{version}/deviceclasses" for version in VERSIONS)
SLICES: Final = tuple(f"/apis/{version}/resourceslices" for version in VERSIONS)


class DeviceClaimFeed:
    """A claim that holds no GPU, or does not any more, counts as gone."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def put(self, objects: Sequence[ResourceClaim]) -> bool:
        changed = False
        for found in objects:
            claim = parse_claim(found)
            if claim is not None:
                changed |= self._state.set_device_claim(claim)
            else:
                changed |= self._state.remove_device_claim(found.metadata.namespace, found.metadata.name)
        return changed

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._state.remove_device_claim(ref.namespace, ref.name)


class DeviceSliceFeed:
    """Which device of a pool is which."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def put(self, objects: Sequence[ResourceSlice]) -> bool:
        changed = False
        for found in objects:
            one = parse_slice(found)
            if one is not None:
                changed |= self._state.set_device_slice(one)
        return changed

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._state.remove_device_slice(ref.name)


class DeviceClassFeed:
    """Which resources claims give."""

    def __init__(self, state: ClusterState) -> None:
        self._state = state

    def put(self, objects: Sequence[DeviceClass]) -> bool:
        changed = False
        for found in objects:
            changed |= self._state.set_device_class(found.metadata.name, resources_of(found))
        return changed

    def gone(self, refs: Sequence[Ref]) -> None:
        for ref in refs:
            self._state.remove_device_class(ref.name)


class Unreadable:
    """Tells the log once that the API cannot be read, and once that it can again.

    hides: told whether there is something that we may not read.
    """

    def __init__(self, path: str, hides: Callable[[bool], None] = lambda is_hidden: None) -> None:
        self._path = path
        self._hides = hides
        self._why: str | None = None

    def __call__(self, why: str | None) -> None:
        """why: None where it can be read."""
        if why != self._why:
            told = "claims for devices are read" if why is None else "claims for devices are not read"
            log.info(told, path=self._path, why=why or "")
            self._hides(why == FORBIDDEN)
        self._why = why

"""All watches of the scheduler, and whether what they show may be acted on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from typing import Protocol, TypeVar

from prometheus_client import CollectorRegistry

from scheduler.gangs.groups import Group, GroupKind
from scheduler.gangs.registry import BY_NAME
from scheduler.kube import wire
from scheduler.kube.client import Client
from scheduler.kube.decoding import HasMetadata
from scheduler.kube.reflector import Reflector, Timing, group_version_of, resource_of
from scheduler.kube.watch_metrics import WatchMetrics
from scheduler.kube.wire.inventory import GPUNode
from scheduler.kube.wire.resource import DeviceClass, ResourceClaim, ResourceSlice
from scheduler.live.claims import ClaimBook
from scheduler.live.device_claims import (
    CLAIMS,
    CLASSES,
    SLICES,
    DeviceClaimFeed,
    DeviceClassFeed,
    DeviceSliceFeed,
    Unreadable,
)
from scheduler.live.devices import PATH as GPU_NODES
from scheduler.live.devices import GPUNodeFeed
from scheduler.live.feeds import (
    BudgetFeed,
    Feed,
    GangFeed,
    GroupFeed,
    NamespaceFeed,
    NodeFeed,
    PodFeed,
    TeamQuotaFeed,
    Waking,
)
from scheduler.live.sources import JOBSET, KAI, KOORDINATOR, KUBEFLOW, LWS, POD_GROUP, RAY, VOLCANO, Source
from scheduler.live.storage_feeds import StorageFeeds
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod
from scheduler.parse.groups import parse_coscheduling, parse_job, parse_pod_group
from scheduler.state import ClusterState

T = TypeVar("T", bound=HasMetadata)


class AnyReflector(Protocol):
    """A reflector, whatever its type."""

    path: str
    synced: asyncio.Event
    is_served: bool

    def age_s(self) -> float: ...

    def looked_age_s(self) -> float: ...

    def look_again(self) -> None: ...

    async def run(self) -> None: ...


POD_GROUPS = tuple(f"/apis/{version}/podgroups" for version in POD_GROUP)
COSCHEDULING = "/apis/scheduling.x-k8s.io/v1alpha1/podgroups"
STORAGE = "storage.k8s.io/v1"

#: An API found missing longer ago than this may have come with the pods that speak it.
LOOKED_AGE_S_MAX = 1.0
#: What decides about capacity must be current to seconds; the rest changes rarely and is probed rarely,
#: so that an idle scheduler asks the API server for little.
SLOW_PROBE_AFTER_S = 20.0
SLOW_AGE_S_MAX = 60.0


class Views:
    """``pods`` is the pod feed. ``wake`` is called after every batch of events.

    clock: monotonic. chance: uniform in [0, 1).
    """

    def __init__(
        self,
        transport: Client,
        state: ClusterState,
        claims: ClaimBook,
        *,
        registry: CollectorRegistry,
        seen: Callable[[str, Pod | None], None],
        wake: Callable[[], None],
        clock: Callable[[], float],
        chance: Callable[[], float],
        timing: Timing | None = None,
    ) -> None:
        self._chance = chance
        self._timing = timing = timing or Timing()
        slow_timing = replace(timing, probe_after_s=max(timing.probe_after_s, SLOW_PROBE_AFTER_S))
        self.pods = PodFeed(state, seen, self._speaks)
        self.storage = StorageFeeds(state)
        self._state = state
        metrics = WatchMetrics(registry)

        def watch(
            path: str,
            kind: type[T],
            feed: Feed[T],
            *,
            keeps_odd: bool = False,
            is_slow: bool = False,
            versions: Sequence[str] = (),
        ) -> Reflector[T]:
            return Reflector(
                transport,
                path,
                kind,
                Waking(feed, wake, keeps_odd=keeps_odd),
                clock=clock,
                rng=self._chance,
                timing=slow_timing if is_slow else timing,
                metrics=metrics,
                versions=versions,
            )

        native = GroupFeed(state, "PodGroup", self._read_pod_group)
        self._pod_groups = watch(POD_GROUPS[0], wire.PodGroup, native, versions=POD_GROUPS[1:])
        plugin = GroupFeed(state, "CoschedulingPodGroup", parse_coscheduling)
        self._fast: tuple[AnyReflector, ...] = (
            watch("/api/v1/pods", wire.Pod, self.pods, keeps_odd=True),
            watch("/api/v1/nodes", wire.Node, NodeFeed(state)),
            watch("/apis/batch/v1/jobs", wire.Job, GroupFeed(state, "Job", parse_job)),
            self._pod_groups,
            watch(COSCHEDULING, wire.CoschedulingPodGroup, plugin),
        )
        slow = partial(watch, is_slow=True)
        self._slow: tuple[AnyReflector, ...] = (
            slow("/apis/stowplan.dev/v1alpha1/gangs", wire.Gang, GangFeed(claims)),
            slow("/apis/stowplan.dev/v1alpha1/teamquotas", wire.TeamQuota, TeamQuotaFeed(state)),
            slow(GPU_NODES, GPUNode, GPUNodeFeed(state)),
            slow("/apis/policy/v1/poddisruptionbudgets", wire.PodDisruptionBudget, BudgetFeed(state)),
            slow("/api/v1/namespaces", wire.Namespace, NamespaceFeed(state)),
            slow("/api/v1/persistentvolumeclaims", wire.PersistentVolumeClaim, self.storage.claims),
            slow("/api/v1/persistentvolumes", wire.PersistentVolume, self.storage.volumes),
            slow(f"/apis/{STORAGE}/storageclasses", wire.StorageClass, self.storage.classes),
            slow(f"/apis/{STORAGE}/csinodes", wire.CSINode, self.storage.nodes),
            slow(f"/apis/{STORAGE}/csidrivers", wire.CSIDriver, self.storage.drivers),
            slow(f"/apis/{STORAGE}/csistoragecapacities", wire.CSIStorageCapacity, self.storage.capacities),
        )

        self._slow += tuple(self._look_for_claims(transport, wake, clock, metrics, slow_timing))
        self._optional: dict[GroupKind, AnyReflector] = {}
        self._look_for_other_projects(transport, wake, clock, metrics)

    def _look_for_claims(
        self,
        transport: Client,
        wake: Callable[[], None],
        clock: Callable[[], float],
        metrics: WatchMetrics,
        timing: Timing,
    ) -> Iterator[AnyReflector]:
        def look(paths: Sequence[str], kind: type[T], feed: Feed[T], unreadable: Unreadable) -> AnyReflector:
            return Reflector(
                transport,
                paths[0],
                kind,
                Waking(feed, wake),
                clock=clock,
                rng=self._chance,
                timing=timing,
                metrics=metrics,
                versions=paths[1:],
                is_optional=True,
                unreadable=unreadable,
            )

        state = self._state
        classes = Unreadable(CLASSES[0], state.hide_device_classes)
        yield look(CLASSES, DeviceClass, DeviceClassFeed(state), classes)
        yield look(SLICES, ResourceSlice, DeviceSliceFeed(state), Unreadable(SLICES[0]))
        yield look(CLAIMS, ResourceClaim, DeviceClaimFeed(state), Unreadable(CLAIMS[0]))

    def _look_for_other_projects(
        self,
        transport: Client,
        wake: Callable[[], None],
        clock: Callable[[], float],
        metrics: WatchMetrics,
    ) -> None:
        def look(source: Source[T]) -> None:
            self._optional[source.kind] = Reflector(
                transport,
                source.path,
                source.wire_type,
                Waking(GroupFeed(self._state, source.kind, source.parse), wake),
                clock=clock,
                rng=self._chance,
                timing=self._timing,
                metrics=metrics,
                is_optional=True,
                unreadable=partial(self._note_unreadable, source.kind, wake),
            )

        for kubeflow in KUBEFLOW:
            look(kubeflow)
        look(KOORDINATOR)
        look(VOLCANO)
        look(KAI)
        look(JOBSET)
        look(RAY)
        look(LWS)
        self._fast += tuple(self._optional.values())

    def _read_pod_group(self, found: wire.PodGroup) -> Group:
        """As read under the version that is served."""
        return parse_pod_group(found, api_version=group_version_of(self._pod_groups.path))

    def _note_unreadable(self, kind: GroupKind, wake: Callable[[], None], why: str | None) -> None:
        self._state.set_unreadable(kind, why)
        wake()

    def _speaks(self, key: GangKey | None) -> None:
        """A pod came whose gang an object describes: look for its API again if it was missing.

        Until the answer is there the gang waits for its object, so that a gang that comes with a new
        API does not start in parts.
        """
        if key is None or key.is_single:
            return
        for kind in BY_NAME[key.dialect].kinds:
            view = self._optional.get(kind)
            if view is not None and not view.is_served and view.looked_age_s() > LOOKED_AGE_S_MAX:
                self._state.set_unreadable(kind, None)
                view.look_again()

    async def run(self) -> None:
        """Keep all views until cancelled."""
        async with asyncio.TaskGroup() as group:
            for view in (*self._fast, *self._slow):
                group.create_task(view.run())

    async def synced(self) -> None:
        """Return once every view is complete."""
        for view in (*self._fast, *self._slow):
            await view.synced.wait()

    def unsynced(self) -> tuple[str, ...]:
        """Resource types whose first list is not complete."""
        return tuple(
            resource_of(view.path) for view in (*self._fast, *self._slow) if not view.synced.is_set()
        )

    def stale(self, age_s_max: float) -> tuple[str, ...]:
        """Resource types whose view is not complete or not known to be current (INV6)."""
        limits = [(view, age_s_max) for view in self._fast]
        limits += [(view, max(age_s_max, SLOW_AGE_S_MAX)) for view in self._slow]
        return tuple(
            resource_of(view.path)
            for view, limit_s in limits
            if not view.synced.is_set() or view.age_s() > limit_s
        )

"""The objects that describe gangs, read once: as many kinds as the pods at hand speak of."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import TypeVar

from scheduler.cli import cluster
from scheduler.gangs.groups import GroupKind
from scheduler.gangs.registry import BY_NAME
from scheduler.kube import wire
from scheduler.kube.client import Client
from scheduler.kube.decoding import HasMetadata
from scheduler.kube.transport import Forbidden, NotFound
from scheduler.live.feeds import GroupFeed
from scheduler.live.sources import JOBSET, KAI, KOORDINATOR, KUBEFLOW, LWS, POD_GROUP, RAY, VOLCANO, Source
from scheduler.parse.groups import parse_coscheduling, parse_job, parse_pod_group
from scheduler.state import ClusterState

T = TypeVar("T", bound=HasMetadata)

_JOB = Source(kind="Job", path="/apis/batch/v1/jobs", wire_type=wire.Job, parse=parse_job)
_NATIVE = tuple(
    Source(
        kind="PodGroup",
        path=f"/apis/{version}/podgroups",
        wire_type=wire.PodGroup,
        parse=partial(parse_pod_group, api_version=version),
    )
    for version in POD_GROUP
)
_COSCHEDULING = Source(
    kind="CoschedulingPodGroup",
    path="/apis/scheduling.x-k8s.io/v1alpha1/podgroups",
    wire_type=wire.CoschedulingPodGroup,
    parse=parse_coscheduling,
)


async def tell_groups(transport: Client, state: ClusterState) -> None:
    """Let the state, which knows the pods, see what describes their gangs, and which kinds cannot be read.

    Raises: ClusterError.
    """
    spoken = {kind for key in state.gang_keys() for kind in BY_NAME[key.dialect].kinds}

    async def tell(source: Source[T], *versions: Source[T]) -> None:
        """One kind, of the first of its versions that can be read."""
        if source.kind not in spoken:
            return
        try:
            found = await cluster.list_all(transport, source.path, source.wire_type)
        except (Forbidden, NotFound) as error:
            if versions:
                await tell(*versions)
            else:
                state.set_unreadable(source.kind, _why(source.kind, error))
            return
        GroupFeed(state, source.kind, source.parse).put(found)

    await asyncio.gather(
        *(tell(source) for source in KUBEFLOW),
        tell(_JOB),
        tell(*_NATIVE),
        tell(_COSCHEDULING),
        tell(KOORDINATOR),
        tell(VOLCANO),
        tell(KAI),
        tell(JOBSET),
        tell(RAY),
        tell(LWS),
    )


def _why(kind: GroupKind, error: Forbidden | NotFound) -> str:
    return f"{kind} objects cannot be read: {error}"

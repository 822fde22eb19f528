"""The only writer of Bindings and Evictions: one request, one event of the gang machine.

How an API answer becomes an event is the table in ``scheduler.gangs.events``. Every write carries the
pod's UID and the leader's epoch; the API server refuses another epoch than it knows
(deploy/admission/epoch-fence.yaml), which it may know too late: then the write is tried again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from scheduler.gangs import events
from scheduler.kube import wire
from scheduler.kube.client import Client
from scheduler.kube.errors import lacks_role
from scheduler.kube.transport import (
    ApiError,
    ClusterError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    OutcomeUnknown,
    Unreachable,
)
from scheduler.live.fence import LAG_S_MAX, Term, is_fenced
from scheduler.model.devices import DEVICES
from scheduler.model.objects import Pod
from scheduler.model.written import EPOCH, EVICTED_FOR

BACKOFF_S = 0.5
#: After a refusal by an API server that does not know of our term yet.
LAGGING_RETRY_S = 0.25
REASON_MAX = 256


class Binder:
    """``may_act`` is asked right before each write leaves (INV5), ``term`` when the fence refuses one.

    in_flight: Bindings and Evictions that were sent and are not answered.
    """

    def __init__(
        self,
        transport: Client,
        *,
        clock: Callable[[], float],
        may_act: Callable[[], bool],
        term: Term,
        write_timeout_s: float,
    ) -> None:
        self.in_flight = 0
        self._transport = transport
        self._term = term
        self._clock = clock
        self._may_act = may_act
        self._write_timeout_s = write_timeout_s

    async def bind(
        self, pod: Pod, node: str, *, epoch: int, resource_version: str, devices: Sequence[str] = ()
    ) -> events.Event:
        """Send one Binding with the pod's UID, a resourceVersion and the devices chosen for it, if any."""
        if not self._may_act():
            return events.LeadershipLost(at_s=self._clock())
        body = wire.Binding(
            metadata=wire.WrittenMetadata(
                name=pod.name,
                namespace=pod.namespace,
                uid=pod.uid,
                resource_version=resource_version or pod.resource_version,
                annotations={EPOCH: str(epoch), **({DEVICES: ",".join(devices)} if devices else {})},
            ),
            target=wire.ObjectReference(api_version="v1", kind="Node", name=node),
        )
        try:
            await self._post(f"{_path(pod)}/binding", body)
        except Conflict:
            return events.BindConflict(at_s=self._clock(), uid=pod.uid)
        except (Forbidden, NotFound, Invalid) as error:
            if is_fenced(error):
                if await self._term.is_over():
                    return events.LeadershipLost(at_s=self._clock())
                return events.BindRetry(at_s=self._clock(), uid=pod.uid, after_s=LAGGING_RETRY_S)
            if lacks_role(error):
                return events.BindRetry(at_s=self._clock(), uid=pod.uid, after_s=BACKOFF_S)
            return events.BindRefused(at_s=self._clock(), uid=pod.uid, reason=_told(error), is_permanent=True)
        except OutcomeUnknown:
            return events.BindUnknown(at_s=self._clock(), uid=pod.uid)
        except ApiError as error:
            if _is_retryable(error):
                return events.BindRetry(at_s=self._clock(), uid=pod.uid, after_s=_after(error))
            return events.BindRefused(at_s=self._clock(), uid=pod.uid, reason=_told(error), is_permanent=True)
        except Unreachable:
            return events.BindRetry(at_s=self._clock(), uid=pod.uid, after_s=BACKOFF_S)
        return events.BindAcked(at_s=self._clock(), uid=pod.uid)

    async def read(self, pod: Pod) -> events.Event:
        """Quorum-read a pod, to learn what became of a write."""
        try:
            found = await self._transport.get(_path(pod), wire.Pod, timeout_s=self._write_timeout_s)
        except NotFound:
            return events.PodRead(at_s=self._clock(), uid=pod.uid, is_gone=True)
        except ApiError as error:
            return events.ReadRetry(at_s=self._clock(), uid=pod.uid, after_s=_after(error))
        except ClusterError:
            return events.ReadRetry(at_s=self._clock(), uid=pod.uid, after_s=BACKOFF_S)
        meta = found.metadata
        return events.PodRead(
            at_s=self._clock(),
            uid=pod.uid,
            node=found.spec.node_name,
            is_gone=meta.uid != pod.uid or found.status.phase == "Failed",
            has_succeeded=found.status.phase == "Succeeded",
            is_deleting=meta.deletion_timestamp is not None,
            resource_version=meta.resource_version,
        )

    async def evict(self, pod: Pod, *, epoch: int, reason: str) -> events.Event:
        """Ask the Eviction API to remove a pod, with its UID as precondition.

        An API server that does not know of our term yet is asked again: its refusal is no budget's.
        """
        until_s = asyncio.get_running_loop().time() + LAG_S_MAX
        while True:
            event = await self._evict(pod, epoch=epoch, reason=reason)
            if event is not None:
                return event
            if asyncio.get_running_loop().time() >= until_s:
                return events.EvictRetry(at_s=self._clock(), uid=pod.uid, after_s=BACKOFF_S)
            await asyncio.sleep(LAGGING_RETRY_S)

    async def _evict(self, pod: Pod, *, epoch: int, reason: str) -> events.Event | None:
        """One request; None where the fence refused it although the term is ours."""
        if not self._may_act():
            return events.LeadershipLost(at_s=self._clock())
        body = wire.Eviction(
            metadata=wire.WrittenMetadata(
                name=pod.name,
                namespace=pod.namespace,
                annotations={EPOCH: str(epoch), EVICTED_FOR: reason[:REASON_MAX]},
            ),
            delete_options=wire.DeleteOptions(preconditions=wire.Preconditions(uid=pod.uid)),
        )
        try:
            await self._post(f"{_path(pod)}/eviction", body)
        except (NotFound, Conflict):
            return events.EvictGone(at_s=self._clock(), uid=pod.uid)
        except OutcomeUnknown:
            return events.EvictUnknown(at_s=self._clock(), uid=pod.uid)
        except ApiError as error:
            if is_fenced(error):
                return events.LeadershipLost(at_s=self._clock()) if await self._term.is_over() else None
            return events.EvictRetry(
                at_s=self._clock(), uid=pod.uid, after_s=_after(error), is_refused=_is_refused(error)
            )
        except Unreachable:
            return events.EvictRetry(at_s=self._clock(), uid=pod.uid, after_s=BACKOFF_S)
        return events.EvictAcked(at_s=self._clock(), uid=pod.uid)

    async def _post(self, path: str, body: wire.Wire) -> None:
        self.in_flight += 1
        try:
            await self._transport.request(
                "POST", path, body=msgspec.json.encode(body), timeout_s=self._write_timeout_s
            )
        finally:
            self.in_flight -= 1


def _path(pod: Pod) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"


def _is_retryable(error: ApiError) -> bool:
    return error.status == 429 or error.status >= 500


def _is_refused(error: ApiError) -> bool:
    """Whether an eviction was turned down, not just not carried out; a busy server says 429 too."""
    if error.status == 429:
        return "disruption budget" in error.message
    return error.status < 500 and not lacks_role(error)


def _after(error: ApiError) -> float:
    return error.retry_after_s if error.retry_after_s is not None else BACKOFF_S


def _told(error: ApiError) -> str:
    return f"{error.status} {error.reason}: {error.message}"[:REASON_MAX]

"""Tells pods' owners what was decided: on change only, after the fact only, never in the way of binds.

Level-triggered: the loop says each verdict as often as it likes. What a pod was told last, or already
carries from an earlier process, is not written again.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import msgspec

from scheduler.kube.depth import decode
from scheduler.kube.transport import (
    ApiError,
    Conflict,
    NotFound,
    OutcomeUnknown,
    TooManyRequests,
    Unreachable,
)
from scheduler.live.announcements import (
    EVENT_REASONS,
    Condition,
    Event,
    PodRef,
    VictimReason,
    condition_patch,
    event_body,
    victim_patch,
)
from scheduler.live.metrics import Announced, AnnouncementKind, Metrics
from scheduler.live.outbox import Outbox
from scheduler.model.plan import Verdict

QUEUE_MAX = 20_000
REMEMBERED_MAX = 200_000
IN_FLIGHT_MAX = 3
TRIES_MAX = 5
WRITE_TIMEOUT_S = 5.0
BACKOFF_S = 0.5
BACKOFF_S_MAX = 30.0
#: After each write a writer leaves the API server in peace for so many times as long as that took: who binds
#: comes before who is told. Not where it is slow by itself: then little is written anyway.
RESTS = 3.0
REST_S_MAX = 0.1
#: While binds are in flight each writer still writes one announcement in this time.
PAUSE_S_MAX = 2.0

K = TypeVar("K")
V = TypeVar("V")

_STRATEGIC = "application/strategic-merge-patch+json"


class Writer(Protocol):
    """The part of ``scheduler.kube.transport.Transport`` that is used here."""

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
        timeout_s: float = 10.0,
    ) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class _Telling:
    """A condition to be written to one pod."""

    pod: PodRef
    condition: Condition
    resource_version: str
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Reporting:
    """An Event to be written."""

    event: Event
    serial: int
    at_s: float
    tries: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class _Marking:
    """The condition of a pod that is on its way out."""

    pod: PodRef
    reason: VictimReason
    why: str
    at_s: float
    tries: int = 0


_Item = _Telling | _Reporting | _Marking


class _Meta(msgspec.Struct, rename="camel", frozen=True):
    uid: str = ""
    resource_version: str = ""


class _Spec(msgspec.Struct, rename="camel", frozen=True):
    node_name: str = ""


class _PodNow(msgspec.Struct, frozen=True):
    metadata: _Meta = _Meta()
    spec: _Spec = _Spec()


class Announcer:
    """``run`` writes what the other methods queue; those never block and never raise for the API.

    carried: the PodScheduled=False condition a pod already has, by UID, as the watch shows it.
    may_act: asked right before each write: a process that does not lead says nothing.
    clock: wall clock in seconds since the epoch.
    """

    def __init__(
        self,
        transport: Writer,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
        carried: Callable[[str], Condition | None],
        may_act: Callable[[], bool],
        controller: str,
        instance: str,
        queue_max: int = QUEUE_MAX,
        remembered_max: int = REMEMBERED_MAX,
        backoff_s: float = BACKOFF_S,
    ) -> None:
        self._transport = transport
        self._metrics = metrics
        self._clock = clock
        self._carried = carried
        self._may_act = may_act
        self._controller = controller
        self._instance = instance
        self._remembered_max = remembered_max
        self._backoff_s = backoff_s
        self._queue: Outbox[_Item] = Outbox(queue_max)
        self._told: OrderedDict[str, Condition] = OrderedDict()
        self._serial = 0
        self._in_flight = 0
        self._filled = asyncio.Event()
        self._open = asyncio.Event()
        self._open.set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._decode = msgspec.json.Decoder(_PodNow)

    # -- what the loop says ------------------------------------------------------------------

    def say(self, verdict: Verdict, pods: Sequence[PodRef]) -> None:
        """A gang waits: each pod gets the condition, the first of them an Event when the reason is new."""
        known = {told.verdict for pod in pods if (told := self._told.get(pod.uid)) is not None}
        nodes = verdict.nominated
        plain = Condition.of(verdict.reason, verdict.message)
        news = [
            pod
            for pod in pods
            if self._tell(pod, plain.held_at(nodes[pod.uid]) if pod.uid in nodes else plain)
        ]
        if news and verdict.reason not in known:
            about = "" if verdict.key.is_single else f"gang {verdict.key.name}: "
            self._report(
                Event(
                    pod=news[0],
                    reason=EVENT_REASONS[verdict.reason],
                    note=about + verdict.message,
                    type="Warning",
                    action="Scheduling",
                )
            )

    def has_told(self, uid: str) -> bool:
        """Whether the pod was told why it waits."""
        return uid in self._told

    def withdraw(self, uids: Iterable[str]) -> None:
        """These pods were just given a place: what was about to be said of them is no longer true."""
        for uid in uids:
            if self._queue.drop(uid):
                self._told.pop(uid, None)
                self._metrics.announcement("condition", "stale")
        self._count()

    def bound(self, placed: Iterable[tuple[PodRef, str]]) -> None:
        """The API acknowledged these Bindings of pods to the nodes named."""
        for pod, node in placed:
            self.withdraw((pod.uid,))
            self._told.pop(pod.uid, None)
            note = f"Successfully assigned {pod.namespace}/{pod.name} to {node}"
            self._report(Event(pod=pod, reason="Scheduled", note=note, type="Normal", action="Binding"))

    def evicted(self, pods: Iterable[PodRef], why: str, reason: VictimReason) -> None:
        """The API acknowledged these Evictions: each pod gets an Event and, while it leaves, a condition.

        Only now: an eviction that a disruption budget refuses would leave an untrue condition behind, and who
        wrote it may be gone before it is taken back. A pod that left at once has the Event alone.
        """
        for pod in pods:
            mark = _Marking(pod=pod, reason=reason, why=why, at_s=self._clock())
            self._put(mark)
            self._report(Event(pod=pod, reason="Evicted", note=why, type="Warning", action="Evicting"))

    def warn(self, pod: PodRef, note: str) -> None:
        """The pod is scheduled, but perhaps not as its owner believes."""
        self._report(Event(pod=pod, reason="GangUnclear", note=note, type="Warning", action="Scheduling"))

    def pause(self) -> None:
        """Binds are in flight: write slowly until ``resume``."""
        self._open.clear()

    def resume(self) -> None:
        self._open.set()

    # -- writing -----------------------------------------------------------------------------

    async def run(self) -> None:
        """Write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT_MAX):
                group.create_task(self._write_forever())

    async def drained(self) -> None:
        """Return once nothing is queued or in flight."""
        await self._idle.wait()

    async def _write_forever(self) -> None:
        clock = asyncio.get_running_loop().time
        while True:
            await self._filled.wait()
            if not self._open.is_set():
                # Not wait_for: in Python 3.11 it can swallow the cancellation that ends this task.
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(PAUSE_S_MAX):
                        await self._open.wait()
            if not self._queue:
                continue
            item = self._queue.next()
            self._in_flight += 1
            self._count()
            begun_s = clock()
            try:
                await self._write(item)
            finally:
                self._in_flight -= 1
                self._count()
            await asyncio.sleep(min(RESTS * (clock() - begun_s), REST_S_MAX))

    async def _write(self, item: _Item) -> None:
        """One item once; what may succeed later is queued again, a bounded number of times."""
        if not self._may_act():
            self._give_up(item, "stale")
            return
        try:
            await self._send(item)
        except Conflict:
            await self._look_again(item)
        except NotFound:
            self._give_up(item, "stale")
        except ApiError as error:
            # 403 also comes from an API server that just started and has not loaded its roles yet.
            if isinstance(error, TooManyRequests) or error.status == 403 or error.status >= 500:
                await self._later(item, error.retry_after_s)
            else:
                # Refused for good: asking again would get the same answer, so it stays remembered.
                self._metrics.announcement(_kind(item), "failed")
        except (Unreachable, OutcomeUnknown):
            await self._later(item, None)
        else:
            self._metrics.announcement(_kind(item), "sent")

    async def _send(self, item: _Item) -> None:
        match item:
            case _Telling(pod=pod):
                carried = self._carried(pod.uid)
                since_s = self._clock() if carried is None else None
                await self._transport.request(
                    "PATCH",
                    f"{_path(pod)}/status",
                    body=condition_patch(
                        pod,
                        item.condition,
                        resource_version=item.resource_version,
                        since_s=since_s,
                        withdraws_node=carried is not None and bool(carried.nominated),
                    ),
                    content_type=_STRATEGIC,
                    timeout_s=WRITE_TIMEOUT_S,
                )
            case _Marking(pod=pod):
                await self._transport.request(
                    "PATCH",
                    f"{_path(pod)}/status",
                    body=victim_patch(pod, item.reason, item.why, at_s=item.at_s),
                    content_type=_STRATEGIC,
                    timeout_s=WRITE_TIMEOUT_S,
                )
            case _Reporting(event=event):
                await self._transport.request(
                    "POST",
                    f"/apis/events.k8s.io/v1/namespaces/{event.pod.namespace}/events",
                    body=event_body(
                        event,
                        controller=self._controller,
                        instance=self._instance,
                        at_s=item.at_s,
                        serial=item.serial,
                    ),
                    timeout_s=WRITE_TIMEOUT_S,
                )

    async def _look_again(self, item: _Item) -> None:
        """The pod is not as we knew it: tell it only if it is the same pod and still unbound."""
        if isinstance(item, _Reporting):
            # The Event is there already: our earlier try landed although its answer was lost.
            self._metrics.announcement("event", "sent")
            return
        if isinstance(item, _Marking):
            # Another pod has the name by now.
            self._give_up(item, "stale")
            return
        try:
            answer = await self._transport.request("GET", _path(item.pod), timeout_s=WRITE_TIMEOUT_S)
            now = decode(self._decode, answer)
        except (ApiError, Unreachable, OutcomeUnknown, msgspec.MsgspecError):
            self._give_up(item, "stale")
            return
        if now.metadata.uid != item.pod.uid or now.spec.node_name:
            self._give_up(item, "stale")
            return
        await self._later(replace(item, resource_version=now.metadata.resource_version), 0.0)

    async def _later(self, item: _Item, after_s: float | None) -> None:
        """Queue again behind the others after a pause, unless it had its tries or was overtaken."""
        if item.tries + 1 >= TRIES_MAX:
            self._give_up(item, "failed")
            return
        pause_s = self._backoff_s * 2**item.tries if after_s is None else after_s
        await asyncio.sleep(min(pause_s, BACKOFF_S_MAX))
        if isinstance(item, _Telling):
            latest = self._told.get(item.pod.uid, item.condition)
            if latest is not item.condition:
                self._metrics.announcement("condition", "stale")
                return
        self._put(replace(item, tries=item.tries + 1))

    # -- memory ------------------------------------------------------------------------------

    def _tell(self, pod: PodRef, condition: Condition) -> bool:
        """Queue the condition if it is news to the pod; whether it was."""
        known = self._told.get(pod.uid) or self._carried(pod.uid)
        if known == condition:
            if pod.uid not in self._told:
                _remember(self._told, pod.uid, condition, self._remembered_max)
            return False
        _remember(self._told, pod.uid, condition, self._remembered_max)
        item = _Telling(pod=pod, condition=condition, resource_version=pod.resource_version)
        return self._put(item)

    def _report(self, event: Event) -> None:
        self._serial += 1
        item = _Reporting(event=event, serial=self._serial, at_s=self._clock())
        self._put(item)

    def _put(self, item: _Item) -> bool:
        """Queue, replacing what was queued for the same pod; whether it found room."""
        namespace = (item.event.pod if isinstance(item, _Reporting) else item.pod).namespace
        left_out = self._queue.put(_slot(item), namespace, item, is_urgent=_is_urgent(item))
        if left_out is not None:
            self._give_up(left_out, "dropped")
        self._count()
        return left_out is not item

    def _give_up(self, item: _Item, outcome: Announced) -> None:
        """Not written: forget having said it, so that the loop's next word tries anew."""
        self._metrics.announcement(_kind(item), outcome)
        if isinstance(item, _Telling) and self._told.get(item.pod.uid) is item.condition:
            del self._told[item.pod.uid]

    def _count(self) -> None:
        self._metrics.announcements_queued(len(self._queue))
        (self._filled.set if self._queue else self._filled.clear)()
        (self._idle.clear if self._queue or self._in_flight else self._idle.set)()


def _remember(memory: OrderedDict[K, V], key: K, value: V, limit: int) -> None:
    memory[key] = value
    memory.move_to_end(key)
    if len(memory) > limit:
        memory.popitem(last=False)


def _slot(item: _Item) -> str:
    match item:
        case _Telling(pod=pod):
            return pod.uid
        case _Marking(pod=pod):
            return f"victim {pod.uid}"
        case _Reporting(serial=serial):
            return f"event {serial}"


def _is_urgent(item: _Item) -> bool:
    """Whoever waits can be told later; who leaves cannot. And who reads a nomination leaves the room to it:
    another scheduler, and the next leader.
    """
    return isinstance(item, _Marking) or (isinstance(item, _Telling) and bool(item.condition.nominated))


def _kind(item: _Item) -> AnnouncementKind:
    return "event" if isinstance(item, _Reporting) else "condition"


def _path(pod: PodRef) -> str:
    return f"/api/v1/namespaces/{pod.namespace}/pods/{pod.name}"

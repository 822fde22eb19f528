"""The announcer on a real API server: its bodies are accepted, its preconditions hold."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import replace

import msgspec

from scheduler.cli.cluster import list_all, told
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from scheduler.kube.wire import Pod as WirePod
from scheduler.live.announcements import Condition
from scheduler.live.announcer import Announcer
from scheduler.live.metrics import Metrics
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod
from scheduler.model.plan import Verdict
from scheduler.model.written import EVICTED
from scheduler.parse.pod import skeleton
from tests.faces.conftest import Stand

HOSTILE = "\x00\u202e\n[red]needs ⅓ GPU " + "x" * 3000


class _Event(msgspec.Struct):
    reason: str
    note: str


def announced(stand: Stand, say: Callable[[Transport, Announcer, list[Pod]], Awaitable[None]]) -> Metrics:
    """Run an announcer as the scheduler's identity over the pods of the stand, until nothing is queued."""
    metrics = Metrics()

    async def run() -> None:
        endpoint = Endpoint.from_kubeconfig(stand.cluster.kubeconfig("stowplan"))
        async with Transport(endpoint) as transport:
            announcer = Announcer(
                transport,
                metrics=metrics,
                clock=time.time,
                carried=lambda uid: None,
                may_act=lambda: True,
                controller="stowplan",
                instance="test",
            )
            running = asyncio.create_task(announcer.run())
            await say(transport, announcer, [skeleton(pod) for pod in await pods(transport, stand)])
            await announcer.drained()
            running.cancel()
            await asyncio.wait([running])

    asyncio.run(run())
    return metrics


async def pods(transport: Transport, stand: Stand) -> list[WirePod]:
    return await list_all(transport, f"/api/v1/namespaces/{stand.namespace}/pods", WirePod)


def waits(reason_message: str) -> Verdict:
    key = GangKey(namespace="x", dialect="own", name="train")
    return Verdict(key=key, reason="Unschedulable", message=reason_message)


def sent(metrics: Metrics, kind: str) -> float | None:
    return metrics.registry.get_sample_value(
        "stowplan_announcements_total", {"kind": kind, "outcome": "sent"}
    )


def test_conditions_and_events_of_any_text_arrive(stand: Stand) -> None:
    for name in ("a", "b"):
        stand.pod(name)

    async def say(transport: Transport, announcer: Announcer, found: list[Pod]) -> None:
        announcer.say(waits(HOSTILE), found)
        announcer.bound([(pod, "node-1") for pod in found])
        announcer.evicted(found, HOSTILE, "Reclaimed")
        announcer.say(waits(HOSTILE), found)

    metrics = announced(stand, say)
    assert sent(metrics, "condition") == 4
    found: list[tuple[WirePod, list[_Event]]] = []

    async def read(transport: Transport) -> None:
        path = f"/apis/events.k8s.io/v1/namespaces/{stand.namespace}/events"
        events = await list_all(transport, path, _Event)
        found.extend((pod, events) for pod in await pods(transport, stand))

    stand.run(read)
    for pod, events in found:
        assert told(pod) == ("Unschedulable", Condition.of("Unschedulable", HOSTILE).message)
        assert {event.reason for event in events} == {"FailedScheduling", "Scheduled", "Evicted"}
        (mark,) = (one for one in pod.status.conditions or () if one.type == EVICTED)
        message = Condition.of("Unschedulable", HOSTILE).message
        assert (mark.status, mark.reason, mark.message) == ("True", "Reclaimed", message)
        assert mark.last_transition_time


def test_a_pod_of_another_uid_or_bound_since_is_not_told(stand: Stand) -> None:
    for name in ("bound", "replaced"):
        stand.pod(name)

    async def say(transport: Transport, announcer: Announcer, found: list[Pod]) -> None:
        bound, replaced = found
        stand_path = f"/api/v1/namespaces/{stand.namespace}/pods/bound/binding"
        await bind(stand, stand_path)
        announcer.say(waits("needs more"), [bound, replace(replaced, uid="another")])

    metrics = announced(stand, say)
    assert sent(metrics, "condition") == 0

    async def read(transport: Transport) -> None:
        assert {told(pod) for pod in await pods(transport, stand)} == {("", "")}

    stand.run(read)


async def bind(stand: Stand, path: str) -> None:
    """As an admin: the fence concerns the scheduler's own identity."""
    body = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": "bound"}}
    target = {"target": {"apiVersion": "v1", "kind": "Node", "name": "n1"}}
    async with Transport(Endpoint.from_kubeconfig(stand.cluster.admin_kubeconfig)) as admin:
        await admin.request("POST", path, body=msgspec.json.encode(body | target))

"""The binder against a real API server: what was refused, what was done, and what another term may not do."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass

import msgspec
import pytest

from deploy.local.cluster import Cluster
from scheduler.gangs import events
from scheduler.kube import wire
from scheduler.kube.transport import Endpoint, NotFound, Transport
from scheduler.live.binder import Binder
from scheduler.live.fence import Term, raised
from scheduler.model.objects import Pod
from scheduler.parse.pod import parse_pod

LEASES = "/apis/coordination.k8s.io/v1/namespaces/stowplan-system/leases"


@dataclass(frozen=True, slots=True, kw_only=True)
class Desk:
    """A binder with the scheduler's own rights, and the administrator beside it."""

    binder: Binder
    admin: Transport
    scheduler: Transport
    namespace: str
    epoch: int

    async def pod(self, name: str = "p") -> Pod:
        body = {"metadata": {"name": name}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        answer = await self.admin.request("POST", path, body=msgspec.json.encode(body))
        parsed = parse_pod(msgspec.json.decode(answer, type=wire.Pod))
        assert isinstance(parsed, Pod)
        return parsed

    async def now(self, name: str = "p") -> wire.Pod:
        return await self.admin.get(f"/api/v1/namespaces/{self.namespace}/pods/{name}", wire.Pod)

    async def delete(self, name: str = "p") -> None:
        path = f"/api/v1/namespaces/{self.namespace}/pods/{name}"
        await self.admin.request("DELETE", path, params={"gracePeriodSeconds": "0"})


async def set_term(admin: Transport, epoch: int) -> None:
    """Make the scheduler's Lease say that this is the leading term."""
    spec = {"holderIdentity": "test", "leaseDurationSeconds": 15, "leaseTransitions": epoch}
    body = {"metadata": {"name": "stowplan"}, "spec": spec}
    try:
        await admin.request(
            "PATCH",
            f"{LEASES}/stowplan",
            body=msgspec.json.encode(body),
            content_type="application/merge-patch+json",
        )
    except NotFound:
        await admin.request("POST", LEASES, body=msgspec.json.encode(body))


def binder(
    transport: Transport, may_act: Callable[[], bool] = lambda: True, *, is_leading: bool = False
) -> Binder:
    async def still_leads() -> bool:
        return is_leading

    term = Term(still_leads)
    return Binder(transport, clock=lambda: 0.0, may_act=may_act, term=term, write_timeout_s=5.0)


@pytest.fixture
async def desk(cluster: Cluster, clean_namespace: str) -> AsyncIterator[Desk]:
    admin = Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig))
    scheduler = Transport(Endpoint.from_kubeconfig(cluster.kubeconfig("stowplan")))
    epoch = 1_000 + uuid.uuid4().int % 1_000_000
    async with admin, scheduler:
        await set_term(admin, epoch)
        assert await raised(
            scheduler, namespace="stowplan-system", epoch=epoch, took_over=True, write_timeout_s=0.1
        )
        yield Desk(
            binder=binder(scheduler),
            admin=admin,
            scheduler=scheduler,
            namespace=clean_namespace,
            epoch=epoch,
        )


async def test_a_binding_lands_once_and_carries_its_term(desk: Desk) -> None:
    pod = await desk.pod()
    first = await desk.binder.bind(pod, "n1", epoch=desk.epoch, resource_version="")
    second = await desk.binder.bind(pod, "n2", epoch=desk.epoch, resource_version="")
    now = await desk.now()
    assert isinstance(first, events.BindAcked)
    assert isinstance(second, events.BindConflict)
    assert now.spec.node_name == "n1"
    assert (now.metadata.annotations or {})["stowplan.dev/epoch"] == str(desk.epoch)


async def test_a_pod_made_anew_under_the_same_name_inherits_no_binding(desk: Desk) -> None:
    old = await desk.pod()
    await desk.delete()
    new = await desk.pod()
    version = new.resource_version
    answer = await desk.binder.bind(old, "n1", epoch=desk.epoch, resource_version=version)
    assert isinstance(answer, events.BindConflict)
    assert (await desk.now()).spec.node_name == ""
    read = await desk.binder.read(old)
    assert isinstance(read, events.PodRead)
    assert read.is_gone


async def test_a_pod_that_changed_since_it_was_planned_is_not_bound_blindly(desk: Desk) -> None:
    pod = await desk.pod()
    body = msgspec.json.encode({"metadata": {"labels": {"changed": "yes"}}})
    path = f"/api/v1/namespaces/{desk.namespace}/pods/p"
    await desk.admin.request("PATCH", path, body=body, content_type="application/merge-patch+json")
    answer = await desk.binder.bind(pod, "n1", epoch=desk.epoch, resource_version="")
    assert isinstance(answer, events.BindConflict)
    read = await desk.binder.read(pod)
    assert isinstance(read, events.PodRead)
    assert (read.node, read.is_gone) == ("", False)
    again = await desk.binder.bind(pod, "n1", epoch=desk.epoch, resource_version=read.resource_version)
    assert isinstance(again, events.BindAcked)


@pytest.mark.parametrize("off", [-1, 1])
async def test_the_api_server_refuses_writes_of_another_term(desk: Desk, off: int) -> None:
    pod = await desk.pod()
    bound = await desk.binder.bind(pod, "n1", epoch=desk.epoch + off, resource_version="")
    assert isinstance(bound, events.LeadershipLost)
    assert (await desk.now()).spec.node_name == ""
    evicted = await desk.binder.evict(pod, epoch=desk.epoch + off, reason="test")
    assert isinstance(evicted, events.LeadershipLost)
    assert (await desk.now()).metadata.deletion_timestamp is None


async def test_a_refusal_of_a_server_that_lags_is_tried_again(desk: Desk) -> None:
    """The Lease itself still says that the term is ours: it is the API server that knows of another."""
    pod = await desk.pod()
    leading = binder(desk.scheduler, is_leading=True)
    bound = await leading.bind(pod, "n1", epoch=desk.epoch + 1, resource_version="")
    assert isinstance(bound, events.BindRetry)
    evicting = asyncio.create_task(leading.evict(pod, epoch=desk.epoch + 1, reason="test"))
    await set_term(desk.admin, desk.epoch + 1)
    assert isinstance(await evicting, events.EvictAcked)


async def test_without_the_lease_nothing_is_sent(desk: Desk) -> None:
    pod = await desk.pod()
    idle = binder(desk.scheduler, may_act=lambda: False)
    assert isinstance(
        await idle.bind(pod, "n1", epoch=desk.epoch, resource_version=""), events.LeadershipLost
    )
    assert isinstance(await idle.evict(pod, epoch=desk.epoch, reason="test"), events.LeadershipLost)
    now = await desk.now()
    assert now.spec.node_name == ""
    assert now.metadata.resource_version == pod.resource_version


async def test_an_eviction_takes_the_very_pod_or_none(desk: Desk) -> None:
    old = await desk.pod()
    await desk.delete()
    new = await desk.pod()
    # The API server tries a failed precondition again and then gives up with 500, so a read must settle it.
    assert isinstance(
        await desk.binder.evict(old, epoch=desk.epoch, reason="x"), events.EvictGone | events.EvictUnknown
    )
    assert (await desk.now()).metadata.uid == new.uid
    assert isinstance(await desk.binder.evict(new, epoch=desk.epoch, reason="x"), events.EvictAcked)


async def test_a_pod_that_is_gone_is_refused_for_good(desk: Desk) -> None:
    pod = await desk.pod()
    await desk.delete()
    answer = await desk.binder.bind(pod, "n1", epoch=desk.epoch, resource_version="")
    assert isinstance(answer, events.BindRefused)
    assert answer.is_permanent
    read = await desk.binder.read(pod)
    assert isinstance(read, events.PodRead)
    assert read.is_gone


async def test_without_a_connection_a_bind_is_tried_again_and_a_read_too(desk: Desk) -> None:
    pod = await desk.pod()
    nowhere = Transport(Endpoint(base_url="http://127.0.0.1:9"))
    async with nowhere:
        cut_off = binder(nowhere)
        assert isinstance(
            await cut_off.bind(pod, "n1", epoch=desk.epoch, resource_version=""), events.BindRetry
        )
        assert isinstance(await cut_off.read(pod), events.ReadRetry)
        assert isinstance(await cut_off.evict(pod, epoch=desk.epoch, reason="x"), events.EvictRetry)


async def test_without_a_role_yet_a_bind_is_tried_again(desk: Desk, cluster: Cluster) -> None:
    """An API server that was just started refuses everything until its roles are loaded."""
    pod = await desk.pod()
    async with Transport(Endpoint.from_kubeconfig(cluster.kubeconfig("node-actor"))) as stranger:
        answer = await binder(stranger).bind(pod, "n1", epoch=desk.epoch, resource_version="")
    assert isinstance(answer, events.BindRetry)
    assert (await desk.now()).spec.node_name == ""

"""deploy/admission/epoch-fence.yaml, on the API server that enforces it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
import pytest

from deploy.local.cluster import Cluster
from deploy.local.identities import Identity
from scheduler.kube.transport import AlreadyExists, ApiError, Endpoint, Forbidden, NotFound, Transport

LEASES = "/apis/coordination.k8s.io/v1/namespaces/stowplan-system/leases"
ACTS = ("binding", "eviction")


@dataclass(frozen=True)
class Answer:
    status: int
    message: str = ""

    @property
    def is_fenced(self) -> bool:
        return self.status == 403 and "stowplan epoch fence" in self.message


#: Admitted, and then there is no such pod.
ADMITTED = 404


@dataclass(frozen=True)
class Fence:
    admin: Transport
    scheduler: Transport

    async def lead(self, term: int | None) -> None:
        """The Lease as the leader of ``term`` leaves it; None takes it away."""
        if term is None:
            await self.admin.request("DELETE", f"{LEASES}/stowplan")
            return
        spec = {"holderIdentity": f"leader-{term}", "leaseTransitions": term}
        try:
            await self.admin.request(
                "POST", LEASES, body=_json({"metadata": {"name": "stowplan"}, "spec": spec})
            )
        except AlreadyExists:
            await self.admin.request(
                "PATCH",
                f"{LEASES}/stowplan",
                body=_json({"spec": spec}),
                content_type="application/merge-patch+json",
            )

    async def act(
        self, act: str, epoch: str | None, *, pod: str = "nobody", by: Transport | None = None
    ) -> Answer:
        annotations = {} if epoch is None else {"stowplan.dev/epoch": epoch}
        body = _body(act, pod, annotations)
        path = f"/api/v1/namespaces/default/pods/{pod}/{act}"
        try:
            await (by or self.scheduler).request("POST", path, body=_json(body), params={"dryRun": "All"})
        except ApiError as error:
            return Answer(error.status, error.message)
        return Answer(201)

    async def until(self, act: str, epoch: str | None, *, is_fenced: bool) -> None:
        """The API server has seen the Lease: its watch is milliseconds behind the write."""
        async with asyncio.timeout(10):
            while (await self.act(act, epoch)).is_fenced is not is_fenced:
                pass


def _json(value: object) -> bytes:
    return msgspec.json.encode(value)


def _body(act: str, pod: str, annotations: Mapping[str, str]) -> dict[str, object]:
    metadata = {"name": pod, "annotations": annotations}
    if act == "eviction":
        return {"apiVersion": "policy/v1", "kind": "Eviction", "metadata": metadata}
    target = {"kind": "Node", "name": "nowhere"}
    return {"apiVersion": "v1", "kind": "Binding", "metadata": metadata, "target": target}


def _transport(cluster: Cluster, identity: Identity) -> Transport:
    return Transport(Endpoint.from_kubeconfig(cluster.kubeconfig(identity)), connections_max=4)


@asynccontextmanager
async def _fence(cluster: Cluster) -> AsyncIterator[Fence]:
    async with _transport(cluster, "admin") as admin, _transport(cluster, "stowplan") as scheduler:
        fence = Fence(admin, scheduler)
        await fence.lead(41)
        await fence.until("binding", "40", is_fenced=True)
        await fence.until("binding", "41", is_fenced=False)
        yield fence
        try:
            await fence.lead(None)
        except NotFound:
            return


@pytest.mark.parametrize("act", ACTS)
async def test_only_the_term_of_the_lease_may_act(cluster: Cluster, act: str) -> None:
    async with _fence(cluster) as fence:
        assert (await fence.act(act, "41")).status == ADMITTED
        for other in ("40", "42", "0", "-41", "041", "41 ", "4.1e1", "", "9" * 60, None):
            answer = await fence.act(act, other)
            assert answer.is_fenced, (other, answer)


@pytest.mark.parametrize("act", ACTS)
async def test_a_new_term_shuts_out_the_old_one_in_the_same_breath(cluster: Cluster, act: str) -> None:
    async with _fence(cluster) as fence:
        for term in range(42, 52):
            await fence.lead(term)
            await fence.until(act, str(term - 1), is_fenced=True)
            assert (await fence.act(act, str(term))).status == ADMITTED
            assert (await fence.act(act, str(term - 1))).is_fenced


async def test_the_refusal_names_annotation_and_lease(cluster: Cluster) -> None:
    async with _fence(cluster) as fence:
        message = (await fence.act("binding", "7")).message
    assert "stowplan.dev/epoch does not name the term of the Lease stowplan-system/stowplan" in message


@pytest.mark.parametrize("act", ACTS)
async def test_others_bind_and_evict_as_ever(cluster: Cluster, act: str) -> None:
    async with _fence(cluster) as fence:
        assert (await fence.act(act, None, by=fence.admin)).status == ADMITTED
        await fence.lead(None)
        async with asyncio.timeout(10):
            # Until the API server has seen that the Lease is gone the fence still holds.
            while (await fence.act(act, "40")).is_fenced:
                pass
        assert (await fence.act(act, None, by=fence.admin)).status == ADMITTED


async def test_a_fenced_binding_leaves_a_real_pod_where_it_is(cluster: Cluster, clean_namespace: str) -> None:
    pods = f"/api/v1/namespaces/{clean_namespace}/pods"
    pod = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "c", "image": "none"}]}}
    async with _fence(cluster) as fence:
        await fence.admin.request("POST", pods, body=_json(pod))
        stale = _body("binding", "p", {"stowplan.dev/epoch": "40"})
        with pytest.raises(Forbidden, match="stowplan epoch fence"):
            await fence.scheduler.request("POST", f"{pods}/p/binding", body=_json(stale))
        found = msgspec.json.decode(await fence.admin.request("GET", f"{pods}/p"))
        assert "nodeName" not in found["spec"]
        current = _body("binding", "p", {"stowplan.dev/epoch": "41"})
        await fence.scheduler.request("POST", f"{pods}/p/binding", body=_json(current))
        found = msgspec.json.decode(await fence.admin.request("GET", f"{pods}/p"))
        assert found["spec"]["nodeName"] == "nowhere"
        assert found["metadata"]["annotations"]["stowplan.dev/epoch"] == "41"

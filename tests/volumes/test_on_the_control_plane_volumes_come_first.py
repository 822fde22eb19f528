"""On the real API server and volume controllers, with a CSI driver that is played: volumes, then gangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

import msgspec
import pytest

from deploy.local.nodes.csi import CsiDriver
from deploy.local.nodes.pools import ZONE_LABEL
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import MERGE_PATCH, ApiError, Transport
from tests.faults import proxy
from tests.faults.proxy import nth
from tests.faults.scheduler import Terms
from tests.faults.stage import GANG, MIN_MEMBER, Json, Stage
from tests.volumes.cluster import PATIENCE_S, SELECTED, Storage

asking = proxy.call("PATCH", "persistentvolumeclaims")
taking = proxy.call("PATCH", "persistentvolumes")


@asynccontextmanager
async def driver(
    stage: Stage, nodes: Mapping[str, Mapping[str, str]], **how: object
) -> AsyncIterator[CsiDriver]:
    """The driver of the stage, under the identity of the nodes' actor."""
    endpoint = Endpoint.from_kubeconfig(stage.cluster.kubeconfig("node-actor"))
    async with Transport(endpoint, user_agent="csi", connections_max=16) as transport:
        name = f"{stage.namespace}.csi.example.com"
        async with CsiDriver(transport, name, nodes, keys=[ZONE_LABEL], **how) as found:  # type: ignore[arg-type] # fields given by name
            yield found


async def own_claims(
    stage: Stage, storage: Storage, name: str, size: int, *, minimum: int | None = None
) -> None:
    """A gang each of whose pods has a claim of its own."""
    words = {GANG: name, MIN_MEMBER: str(minimum or size)}
    for i in range(size):
        await storage.claim(f"{name}-{i}-data", "late")
    await stage.create([storage.pod(f"{name}-{i}", f"{name}-{i}-data", words=words) for i in range(size)])


def places(stage: Stage) -> dict[str, str]:
    return {name: pod.node for name, pod in stage.pods().items() if pod.node}


async def test_every_volume_is_there_before_the_first_pod_is_bound(stage: Stage, storage: Storage) -> None:
    nodes = await storage.nodes({"a": 2, "b": 2})
    await storage.classes()
    gate = asyncio.Event()
    held: list[str] = []

    def takes_s(claim: Json, node: str) -> float | None:
        held.append(claim["metadata"]["name"])
        return 0.1 if len(held) < 4 or gate.is_set() else None

    async with driver(stage, nodes, takes_s=takes_s) as csi:
        # Lost answers: what was asked is looked up before anything else is done about it.
        stage.proxy.add(asking, proxy.drop_answer(), when=nth(2, 3))
        await stage.start()
        await own_claims(stage, storage, "g", 4)
        async with asyncio.timeout(PATIENCE_S):
            while len(await storage.volumes()) < 3:
                await stage.proxy.next_answer()
        await stage.beats(10)
        assert stage.bound() == set()
        gate.set()
        (last,) = set(await storage.selected()) - set(await storage.volumes())
        claim = (await storage.found())[last]
        await csi.provide(claim)
        await stage.until_bound()
        assert {f"{name}-data": node for name, node in places(stage).items()} == await storage.selected()
        assert len(stage.proxy.applied(asking)) == 4
    await stage.judge()


async def test_the_three_kinds_of_volumes_and_a_gang_in_one_zone(stage: Stage, storage: Storage) -> None:
    nodes = await storage.nodes({"a": 1, "b": 3})
    await storage.classes()
    await storage.disk("d0", [next(iter(nodes))])
    async with driver(stage, nodes):
        await stage.start()
        # One claim that pods share, so that one volume is made for all of them.
        await storage.claim("shared", "late", mode="ReadWriteMany")
        words = {GANG: "near", MIN_MEMBER: "3"}
        await stage.create([storage.pod(f"near-{i}", "shared", gpus=5, words=words) for i in range(3)])
        await stage.until_bound(*(f"near-{i}" for i in range(3)))
        assert {nodes[node][ZONE_LABEL] for node in places(stage).values()} == {"b"}
        # A generic ephemeral volume, whose claim the real controller makes.
        template = {"spec": storage.spec("late")}
        own = storage.pod("own", gpus=1)
        own["spec"]["volumes"] = [{"name": "scratch", "ephemeral": {"volumeClaimTemplate": template}}]
        # A disk that is there.
        await storage.claim("disk", "local")
        await stage.create([own, storage.pod("disk", "disk", gpus=1)])
        await stage.until_bound("own", "disk")
        volumes = await storage.volumes()
        assert set(volumes) == {"shared", "own-scratch", "disk"}
        assert volumes["disk"] == storage.name("d0")
        assert places(stage)["disk"] == next(iter(nodes))
        # ReadWriteOncePod goes from pod to pod.
        await storage.claim("one", "late", mode="ReadWriteOncePod")
        await stage.create([storage.pod("first", "one", gpus=1)])
        await stage.until_bound("first")
        await stage.create([storage.pod("second", "one", gpus=1)])
        said = 'persistentvolumeclaim "one" is ReadWriteOncePod and in use by pod "first"'
        await stage.until(lambda _: said in str(stage.pods()["second"].told), "told who uses the claim")
        await stage.delete("first")
        await stage.until_bound("second")
    await stage.judge()


async def test_what_fails_in_one_zone_is_unwound_and_had_in_the_other(stage: Stage, storage: Storage) -> None:
    nodes = await storage.nodes({"a": 2, "b": 2})
    await storage.classes()
    async with driver(stage, nodes, gives=lambda claim, node: nodes[node][ZONE_LABEL] == "b") as csi:
        await stage.start()
        await own_claims(stage, storage, "g", 2)
        await stage.until_bound()
        assert csi.given_up, "zone a is tried first"
        assert {nodes[node][ZONE_LABEL] for node in places(stage).values()} == {"b"}
        assert stage.proxy.applied(proxy.call("POST", "pods", "eviction")) == []
    await stage.judge()


@pytest.mark.parametrize("terms", [Terms(volumes={"bindTimeoutSeconds": 3})])
async def test_what_takes_too_long_is_withdrawn_and_told(
    stage: Stage, storage: Storage, terms: Terms
) -> None:
    nodes = await storage.nodes({"a": 2})
    await storage.classes()
    async with driver(stage, nodes, takes_s=lambda claim, node: None):
        await stage.start()
        await own_claims(stage, storage, "g", 2)
        said = "of 2 claims asked for 0 have their volumes"
        await stage.until(lambda _: said in str(stage.pods()["g-0"].told), "told what was asked in vain")
        async with asyncio.timeout(PATIENCE_S):
            while await storage.selected():
                await stage.proxy.next_answer()
        assert stage.bound() == set()
    await stage.judge()


async def test_a_leader_killed_while_volumes_are_made_is_succeeded(stage: Stage, storage: Storage) -> None:
    nodes = await storage.nodes({"a": 2, "b": 2})
    await storage.classes()
    gate = asyncio.Event()
    async with driver(stage, nodes, takes_s=lambda claim, node: 0.1 if gate.is_set() else None) as csi:
        first = await stage.start()
        await own_claims(stage, storage, "g", 4)
        async with asyncio.timeout(PATIENCE_S):
            while len(await storage.selected()) < 4:
                await stage.proxy.next_answer()
        asked = await storage.selected()
        first.kill()
        gate.set()
        await stage.start()
        for claim in (await storage.found()).values():
            await csi.provide(claim)
        await stage.until_bound()
        assert {f"{name}-data": node for name, node in places(stage).items()} == asked
        assert len(stage.proxy.applied(asking)) == 4
    await stage.judge()


async def test_capacity_and_attachments_are_counted(stage: Stage, storage: Storage) -> None:
    nodes = await storage.nodes({"a": 1, "b": 2})
    await storage.classes()
    async with driver(stage, nodes, most=2, tracks_capacity=True):
        space = f"/apis/storage.k8s.io/v1/namespaces/{stage.namespace}/csistoragecapacities"
        for zone, capacity in (("a", "1Gi"), ("b", "100Gi")):
            body = {
                "metadata": {"name": zone},
                "storageClassName": storage.name("late"),
                "nodeTopology": {"matchLabels": {ZONE_LABEL: zone}},
                "capacity": capacity,
            }
            await stage.post(space, body)
        await stage.start()
        for i in range(6):
            await storage.claim(f"c{i}", "late")
        words = {GANG: "g", MIN_MEMBER: "2"}
        # Both on one node, where one volume of a gigabyte is all there is in zone a.
        await stage.create([storage.pod(f"g-{i}", f"c{i}", gpus=1, words=words) for i in range(2)])
        await stage.until_bound("g-0", "g-1")
        zones = [nodes[node][ZONE_LABEL] for node in places(stage).values()]
        assert zones.count("a") <= 1
        await stage.create([storage.pod(f"p{i}", f"c{i}", gpus=1) for i in range(2, 6)])
        await stage.until(lambda _: len(stage.bound()) >= 5, "as many as there is room for")
        await stage.until_settled()
        by_node = list(places(stage).values())
        assert all(by_node.count(node) <= 2 for node in nodes)
        assert len(by_node) == 5, "two on each node of zone b, one in zone a, which has room for one volume"
    await stage.judge()


async def test_the_api_server_lets_the_scheduler_change_nothing_else(stage: Stage, storage: Storage) -> None:
    await storage.classes()
    await storage.claim("data", "late")
    await storage.disk("d0", ["nowhere"])
    claim = f"{storage.claims_path}/data"
    volume = f"/api/v1/persistentvolumes/{storage.name('d0')}"
    reference = {"kind": "PersistentVolumeClaim", "namespace": stage.namespace, "name": "data"}
    endpoint = Endpoint.from_kubeconfig(stage.cluster.kubeconfig("stowplan"))
    async with Transport(endpoint, user_agent="stowplan", connections_max=2) as scheduler:

        async def patch(path: str, body: Json) -> None:
            encoded = msgspec.json.encode(body)
            await scheduler.request("PATCH", path, body=encoded, content_type=MERGE_PATCH)

        for path, body in (
            (claim, {"metadata": {"annotations": {"other": "words"}}}),
            (claim, {"metadata": {"labels": {"a": "b"}}}),
            (claim, {"metadata": {"finalizers": []}}),
            (volume, {"spec": {"persistentVolumeReclaimPolicy": "Delete"}}),
            (volume, {"spec": {"claimRef": reference, "persistentVolumeReclaimPolicy": "Delete"}}),
            (volume, {"metadata": {"finalizers": ["a.example/b"]}, "spec": {"claimRef": reference}}),
        ):
            with pytest.raises(ApiError, match="stowplan: of a"):
                await patch(path, body)
        await patch(claim, {"metadata": {"annotations": {SELECTED: "a"}}})
        await patch(claim, {"metadata": {"annotations": {SELECTED: None}}})
        await patch(volume, {"spec": {"claimRef": reference}})
        with pytest.raises(ApiError, match="stowplan: of a"):
            await patch(volume, {"spec": {"claimRef": None}})

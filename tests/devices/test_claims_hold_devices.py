"""Devices that resource claims (DRA) hold are not given to shares: read from the API, not only by agents."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.devices.evidence import CLAIMS
from scheduler.kube.wire.resource import ResourceClaim, ResourceSlice
from scheduler.live.device_claims import DeviceClaimFeed, DeviceSliceFeed
from scheduler.model.devices import WHOLE_GPU, DeviceAsk, Holder, Inventory, Slot
from scheduler.model.objects import CPU, PODS, Rejected
from scheduler.state import ClusterState
from simulations.faults import server as api
from simulations.faults.agents import Agents
from simulations.faults.story import Story
from simulations.faults.virtual_time import elapse
from tests.builders import node, pod, shape
from tests.healing.life import NAMESPACE, Life, lived

T0: Final = 1_000_000.0
GPU: Final = "gpu.nvidia.com"
NODES: Final = ("n0", "n1")
DEVICES: Final = 3
Json = dict[str, Any]


def slice_of(
    node_name: str, *, named: Iterable[int] = range(DEVICES), driver: str = GPU, word: str = "uuid"
) -> Json:
    """As NVIDIA's driver writes it; ``named``: devices whose UUID is told."""
    devices = [
        {"name": f"gpu-{i}", "attributes": {word: {"string": f"GPU-{node_name}-{i}"}} if i in named else {}}
        for i in range(DEVICES)
    ]
    spec = {"driver": driver, "nodeName": node_name, "pool": {"name": node_name, "generation": 1}}
    return {"metadata": {"name": f"{node_name}-{driver}"}, "spec": {**spec, "devices": devices}}


def claim_of(
    name: str, held: Iterable[tuple[str, int]], *, users: Iterable[str] = (), driver: str = GPU, **more: Any
) -> Json:
    """held: node and number of each device. users: names of pods."""
    results = [{"request": "r", "driver": driver, "pool": at, "device": f"gpu-{i}", **more} for at, i in held]
    reserved = [{"resource": "pods", "name": user, "uid": f"uid-{user}"} for user in users]
    status = {"allocation": {"devices": {"results": results}}, "reservedFor": reserved}
    return {"metadata": {"name": name, "namespace": NAMESPACE}, "status": status if results else {}}


class Cluster:
    """The state, told by the feeds of the live scheduler."""

    def __init__(self) -> None:
        self.state = ClusterState("stowplan")
        self.state.at(T0)
        self._claims, self._slices = DeviceClaimFeed(self.state), DeviceSliceFeed(self.state)
        for name in NODES:
            self.state.set_node(node(name, gpu=DEVICES))
            self.report(name)

    def report(self, name: str, *, seen: Iterable[tuple[int, Holder]] = (), probed_s: float = T0) -> None:
        holders = {i: (holder,) for i, holder in seen}
        slots = tuple(
            Slot(
                uuid=f"GPU-{name}-{i}",
                resource=WHOLE_GPU,
                memory_bytes=80 << 30,
                is_usable=True,
                holders=holders.get(i, ()),
            )
            for i in range(DEVICES)
        )
        self.state.set_inventory(Inventory(node=name, is_ready=True, probed_s=probed_s, slots=slots))

    def put(self, *bodies: Json) -> bool:
        changed = False
        for body in bodies:
            if "spec" in body:
                changed |= self._slices.put([_typed(body, ResourceSlice)])
            else:
                changed |= self._claims.put([_typed(body, ResourceClaim)])
        return changed

    def free(self) -> dict[str, int]:
        """Whole devices by node."""
        snapshot = self.state.snapshot()
        column = snapshot.free[:, snapshot.resources.index(WHOLE_GPU)]
        return {one.name: int(column[row]) for row, one in enumerate(snapshot.nodes)}

    def sharers(self) -> dict[str, tuple[str, ...]]:
        """Shared devices of the first node that could be given again, with their pods."""
        view = self.state.snapshot().devices
        assert view is not None
        return dict(view.sharers.get(0, {}))

    def rooms(self) -> dict[str, list[bool]]:
        """By node, which devices could be opened for a share."""
        snapshot = self.state.snapshot()
        view = snapshot.devices
        assert view is not None
        return {
            one.name: [bool(view.room[row, i] and view.is_exact[row]) for i in range(DEVICES)]
            for row, one in enumerate(snapshot.nodes)
        }


def _typed(body: Json, kind: Any) -> Any:
    return msgspec.json.decode(msgspec.json.encode(body), type=kind)


# -- what is held ------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Event:
    """One word of the API server: a claim or a slice as it is now, or that it is gone."""

    body: Json

    @property
    def name(self) -> tuple[bool, str]:
        return "spec" in self.body, self.body["metadata"]["name"]


_devices = st.lists(st.tuples(st.sampled_from(NODES), st.integers(0, DEVICES - 1)), max_size=3, unique=True)
_claims = st.builds(
    lambda i, held, users: Event(claim_of(f"c{i}", held, users=users)),
    st.integers(0, 2),
    _devices,
    st.lists(st.sampled_from(["a", "b"]), max_size=2, unique=True),
)
_slices = st.builds(lambda name: Event(slice_of(name)), st.sampled_from(NODES))


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(_claims, _slices), max_size=8), st.randoms(use_true_random=False))
def test_in_whatever_order_it_is_told_what_is_held_last_is_what_counts(
    told: list[Event], chance: random.Random
) -> None:
    """Against a count by hand of the last words, told anew in another order."""
    cluster = Cluster()
    for event in told:
        cluster.put(event.body)
    last = list({event.name: event for event in told}.values())
    chance.shuffle(last)
    again = Cluster()
    for event in last:
        again.put(event.body)
    assert cluster.rooms() == again.rooms()
    assert cluster.free() == again.free()
    known = {event.name[1].partition("-")[0] for event in last if event.name[0]}
    held = {
        (one["pool"], one["device"])
        for event in last
        if not event.name[0]
        for one in event.body["status"].get("allocation", {}).get("devices", {}).get("results", ())
    }
    for name, rooms in cluster.rooms().items():
        mine = [(name, f"gpu-{i}") in held for i in range(DEVICES)]
        if name in known or not any(mine):
            assert rooms == [not one for one in mine]
        else:
            # Nobody said which device is which: any of them may be the one.
            assert not any(rooms)


def test_a_claim_holds_until_it_is_given_back_whether_a_pod_uses_it_or_not() -> None:
    cluster = Cluster()
    cluster.put(slice_of("n0"))
    assert cluster.put(claim_of("c", [("n0", 1)]))
    assert cluster.rooms()["n0"] == [True, False, True]
    assert cluster.free() == {"n0": 2, "n1": 3}
    cluster.report("n0", probed_s=T0 + 5)
    assert cluster.free() == {"n0": 2, "n1": 3}
    assert not cluster.put(claim_of("c", [("n0", 1)])), "nothing new"
    assert cluster.put(claim_of("c", []))
    assert cluster.rooms()["n0"] == [True, True, True]


@pytest.mark.parametrize(
    "claim",
    [
        claim_of("c", [("n0", 1)], adminAccess=True),
        claim_of("c", [("n0", 1)], driver="compute-domain.nvidia.com"),
        claim_of("c", [("elsewhere", 1)]),
    ],
    ids=["only watched", "another driver", "another node"],
)
def test_what_holds_no_device_here_changes_nothing(claim: Json) -> None:
    cluster = Cluster()
    cluster.put(slice_of("n0"))
    assert not cluster.put(claim)
    assert cluster.free() == {"n0": 3, "n1": 3}


def test_what_a_share_is_on_is_not_opened_again_once_a_claim_has_it() -> None:
    cluster = Cluster()
    words = {"stowplan.dev/devices": "GPU-n0-1"}
    quarter = shape(ask=DeviceAsk(milli=250))
    cluster.state.set_pod(
        pod("share", of=quarter, node="n0", uid="uid-share", phase="Running", annotations=words)
    )
    assert cluster.sharers() == {"GPU-n0-1": ("uid-share",)}
    cluster.put(slice_of("n0"), claim_of("c", [("n0", 1)], users=["other"]))
    assert cluster.sharers() == {}
    assert cluster.state.devices.unwell("n0", ["GPU-n0-1"]) == "device GPU-n0-1 is not usable"


def test_a_pod_whose_plain_request_became_a_claim_counts_once() -> None:
    """DRAExtendedResource: kube-scheduler makes the claim for a pod that asks for ``nvidia.com/gpu``."""
    cluster = Cluster()
    cluster.state.set_pod(pod("a", gpu=1, node="n0", uid="uid-a", phase="Running"))
    cluster.put(slice_of("n0"), claim_of("c", [("n0", 2)], users=["a"]))
    assert cluster.free()["n0"] == 2
    assert cluster.rooms()["n0"] == [True, True, False]


@pytest.mark.parametrize("by", [Holder(namespace=NAMESPACE, name="a"), Holder(uid="uid-a")])
def test_what_the_kubelet_named_is_not_counted_as_unnamed_too(by: Holder) -> None:
    cluster = Cluster()
    refused = Rejected(reason="spec.resourceClaims: not placed yet")
    one = pod("a", namespace=NAMESPACE, node="n0", uid="uid-a", phase="Running")
    cluster.state.set_pod(one, refused)
    cluster.put(claim_of("c", [("n0", 2)], users=["a"]))
    assert cluster.state.devices.holders("n0")[CLAIMS].count == 1
    cluster.report("n0", seen=[(2, by)], probed_s=T0 + 5)
    assert cluster.rooms()["n0"] == [True, True, False]


@settings(max_examples=60, deadline=None)
@given(
    each=st.sampled_from([1, 4]),
    name=st.sampled_from([WHOLE_GPU, "nvidia.com/mig-1g.10gb"]),
    is_plain=st.booleans(),
    unnamed=st.integers(0, DEVICES),
)
def test_a_claim_that_nobody_named_holds_a_device_or_instance_alone(
    each: int, name: str, is_plain: bool, unnamed: int
) -> None:
    """Of replicas it takes as many as are of one; which it is nobody knows, so that none is given by name.

    is_plain: instances are counted as devices (MIG's single strategy).
    """
    cluster = Cluster()
    at, asked = NODES[0], WHOLE_GPU if is_plain else name
    labels = {f"{asked}.replicas": str(each)} if each > 1 else {}
    cluster.state.set_node(node(at, labels=labels, allocatable={CPU: 9_000, PODS: 99, asked: each * DEVICES}))
    told = [
        Slot(uuid=f"{at}-{i}", resource=name, memory_bytes=10 << 30, is_usable=True) for i in range(DEVICES)
    ]
    cluster.state.set_inventory(Inventory(node=at, is_ready=True, probed_s=T0, slots=tuple(told)))
    cluster.put(*(claim_of(f"c{i}", [(at, i)]) for i in range(unnamed)))
    snapshot = cluster.state.snapshot()
    assert snapshot.free[0, snapshot.resources.index(asked)] == each * (DEVICES - unnamed)
    assert snapshot.devices is not None
    if asked != WHOLE_GPU:
        by_name = snapshot.devices.free_slots.get(name, {}).get(0, ())
        assert len(by_name) == (DEVICES if not unnamed and each == 1 else 0)


def test_an_instance_made_for_a_claim_holds_its_whole_device() -> None:
    cluster = Cluster()
    cluster.put(slice_of("n0", word="parentUUID"), claim_of("c", [("n0", 0)]))
    assert cluster.rooms()["n0"] == [False, True, True]


def test_attributes_of_the_oldest_version_are_read() -> None:
    cluster = Cluster()
    body = slice_of("n0")
    for device in body["spec"]["devices"]:
        device["basic"] = {"attributes": device.pop("attributes")}
    cluster.put(body, claim_of("c", [("n0", 0)]))
    assert cluster.rooms()["n0"] == [False, True, True]


# -- the live shell ----------------------------------------------------------------------------------


def share(name: str, fraction: str = "0.9") -> Json:
    return {
        "metadata": {
            "name": name,
            "namespace": NAMESPACE,
            "annotations": {"stowplan.dev/gpu-fraction": fraction},
        },
        "spec": {"schedulerName": "stowplan", "containers": [{"name": "c", "resources": {}}]},
        "status": {"phase": "Pending"},
    }


def devices_of(life: Life, names: Sequence[str]) -> list[str]:
    bodies = [life.store.at(api.PODS).objects[NAMESPACE, name].read() for name in names]
    return sorted(
        filter(None, (one["metadata"]["annotations"].get("stowplan.dev/devices") for one in bodies))
    )


async def _reporting(life: Life) -> asyncio.Task[None]:
    life.nodes(1, gpus=DEVICES)
    story = Story(asyncio.get_running_loop().time)
    agents = Agents(life.server, story, chance=random.Random(1), until_s=0.0)
    return asyncio.get_running_loop().create_task(agents.run())


SHARES: Final = tuple(f"s{i}" for i in range(DEVICES))


def shares_beside(
    claims: Sequence[Json],
    *,
    arrange: Callable[[Life], None] = lambda life: None,
    served: tuple[str, ...] = api.SERVED,
    later: Callable[[Life], None] = lambda life: None,
) -> tuple[list[str], list[str]]:
    """The devices that three shares get beside claims, and after what comes ``later``."""
    found: list[list[str]] = []

    async def course(life: Life) -> None:
        arrange(life)
        reporting = await _reporting(life)
        for path, body in (
            (api.RESOURCE_SLICES, slice_of("n0")),
            *((api.RESOURCE_CLAIMS, c) for c in claims),
        ):
            if path in served:
                life.store.create(path, body)
        for name in SHARES:
            life.store.create(api.PODS, share(name))
        await elapse(30)
        found.append(devices_of(life, SHARES))
        later(life)
        await elapse(30)
        found.append(devices_of(life, SHARES))
        reporting.cancel()

    lived(course, served=served)
    return found[0], found[1]


def test_shares_go_beside_what_claims_hold_and_there_once_it_is_given_back() -> None:
    def give_back(life: Life) -> None:
        life.store.remove(api.RESOURCE_CLAIMS, (NAMESPACE, "c"))

    before, after = shares_beside([claim_of("c", [("n0", 0), ("n0", 2)], users=["x"])], later=give_back)
    assert before == ["GPU-n0-1"]
    assert after == ["GPU-n0-0", "GPU-n0-1", "GPU-n0-2"]


ALL: Final = ["GPU-n0-0", "GPU-n0-1", "GPU-n0-2"]


def test_a_cluster_without_the_api_goes_on() -> None:
    served = tuple(path for path in api.SERVED if path not in (api.RESOURCE_CLAIMS, api.RESOURCE_SLICES))
    assert shares_beside([claim_of("c", [("n0", 0)])], served=served) == (ALL, ALL)


def test_a_cluster_that_does_not_let_us_read_claims_goes_on() -> None:
    def forbid(life: Life) -> None:
        life.server.forbidden = frozenset({api.RESOURCE_CLAIMS, api.RESOURCE_SLICES})

    assert shares_beside([claim_of("c", [("n0", 0)])], arrange=forbid) == (ALL, ALL)


def test_where_only_slices_are_hidden_no_device_is_opened_beside_a_claim() -> None:
    def forbid(life: Life) -> None:
        life.server.forbidden = frozenset({api.RESOURCE_SLICES})

    def give_back(life: Life) -> None:
        life.store.remove(api.RESOURCE_CLAIMS, (NAMESPACE, "c"))

    before, after = shares_beside([claim_of("c", [("n0", 0)])], arrange=forbid, later=give_back)
    assert (before, after) == ([], ALL)


@pytest.mark.parametrize(
    ("classes", "is_hidden", "words"),
    [
        ([], False, "it does not fit on the nodes as they are now"),
        ([{"metadata": {"name": GPU}}], False, "it does not fit on the nodes as they are now"),
        (
            [{"metadata": {"name": GPU}, "spec": {"extendedResourceName": WHOLE_GPU}}],
            False,
            "so nothing is proven",
        ),
        ([], True, "so nothing is proven"),
    ],
)
def test_what_only_claims_could_serve_is_told_as_no_proof(
    classes: list[Json], is_hidden: bool, words: str
) -> None:
    messages: list[str] = []

    async def course(life: Life) -> None:
        if is_hidden:
            life.server.forbidden = frozenset({api.DEVICE_CLASSES})
        life.nodes(1, gpus=0)
        for body in classes:
            life.store.create(api.DEVICE_CLASSES, body)
        life.pod("p", gpus=1)
        await elapse(30)
        found = life.store.at(api.PODS).objects[NAMESPACE, "p"].read()
        messages.extend(one["message"] for one in found["status"]["conditions"])

    lived(course)
    assert any(words in message for message in messages), messages

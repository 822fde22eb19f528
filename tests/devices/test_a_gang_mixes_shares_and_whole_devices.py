"""Gangs of several shares, and of shares beside whole devices: what fits by construction stands."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Infeasible
from scheduler.model.devices import WHOLE_GPU, DeviceAsk, Inventory, Slot
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod, shape

NOW_S = 1_000_000.0
GIB = 2**30
BUDGET = Budget(per_gang=20.0, total=20.0)
MEMORY = 80 * GIB
ZONE = "topology.kubernetes.io/zone"


def share(milli: int = 0, *, gib: int = 0) -> Shape:
    return replace(shape(cpu=1), ask=DeviceAsk(milli=milli, memory_bytes=gib * GIB))


def whole(gpus: int, *, nvlink: bool = False) -> Shape:
    return replace(shape(cpu=1, gpu=gpus), ask=DeviceAsk(nvlink="required") if nvlink else None)


def cluster(gpus: list[int], *, zones: list[str] | None = None) -> ClusterState:
    """Nodes n0, n1 ... with so many devices of 80 GiB, two of them an island."""
    state = ClusterState("stowplan")
    state.at(NOW_S)
    for number, count in enumerate(gpus):
        name = f"n{number}"
        labels = {ZONE: zones[number]} if zones else {}
        state.set_node(node(name, gpu=count, labels=labels))
        slots = tuple(
            Slot(
                uuid=f"{name}-{i}",
                resource=WHOLE_GPU,
                memory_bytes=MEMORY,
                is_usable=True,
                island=f"{i // 2}",
            )
            for i in range(count)
        )
        state.set_inventory(Inventory(node=name, is_ready=True, probed_s=NOW_S, slots=slots))
    return state


def mixed(
    name: str, shapes: list[Shape], *, minimum: int | None = None, words: dict[str, str] | None = None
) -> list[Pod]:
    """A gang with one pod of each shape."""
    bare = gang(name, len(shapes), minimum=minimum)
    return [
        replace(one, shape=own, annotations=tuple(sorted({**dict(one.annotations), **(words or {})}.items())))
        for one, own in zip(bare, shapes, strict=True)
    ]


def planned(state: ClusterState, pods: list[Pod]) -> Plan:
    for one in pods:
        state.set_pod(one)
    return plan(state.snapshot(), Policy(), BUDGET)


def overcommitted(found: Plan) -> list[str]:
    """Devices above one, above their memory, or both shared and held whole; counted from the plan alone."""
    milli: dict[str, int] = {}
    memory: dict[str, int] = {}
    for place in found.places:
        for one in place.assignments:
            ask = one.pod.shape.ask
            wanted = dict(one.pod.shape.requests).get(WHOLE_GPU, 1)
            assert len(set(one.devices)) == wanted, "each pod has as many devices as it asked for"
            assert all(uuid.startswith(f"{one.node}-") for uuid in one.devices)
            is_share = ask is not None and ask.is_share
            part = ask.milli if ask is not None and ask.milli else 1000
            for uuid in one.devices:
                share_of_memory = ask.memory_bytes if ask is not None and ask.memory_bytes else 0
                memory[uuid] = memory.get(uuid, 0) + (share_of_memory or part * (MEMORY // 1000))
                milli[uuid] = milli.get(uuid, 0) + (0 if share_of_memory and is_share else part)
    return [u for u in milli if milli[u] > 1000 or memory[u] > MEMORY]


def planted(chance: Random, gpus: list[int]) -> list[Shape]:
    """Shapes that fill some of the devices exactly: a gang of them is known to fit."""
    shapes: list[Shape] = []
    for count in gpus:
        left = count
        while left:
            kind = chance.randrange(4)
            if kind == 0 and left >= 2:
                shapes.append(whole(2, nvlink=left % 2 == 0))
                left -= 2
            elif kind == 1:
                shapes.append(whole(1))
                left -= 1
            elif kind == 2:
                cut = chance.randrange(1, 20) * 50
                shapes += [share(cut), share(1000 - cut)] if cut < 1000 else [share(999)]
                left -= 1
            else:
                gib = chance.randrange(1, 60)
                shapes += [share(gib=gib), share(gib=79 - gib)]
                left -= 1
    chance.shuffle(shapes)
    return shapes


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_what_fits_by_construction_is_placed_whole(seed: int) -> None:
    chance = Random(seed)
    gpus = [chance.choice([2, 4]) for _ in range(chance.randint(1, 3))]
    shapes = planted(chance, gpus)
    found = planned(cluster(gpus), mixed("mix", shapes))
    assert [v.message for v in found.verdicts] == []
    [place] = found.places
    assert len(place.assignments) == len(shapes)
    assert overcommitted(found) == []


@given(seed=st.integers(0, 2**32))
@settings(max_examples=40, deadline=None)
def test_gangs_after_one_another_never_overcommit_a_device(seed: int) -> None:
    chance = Random(seed)
    gpus = [chance.choice([2, 4]) for _ in range(chance.randint(1, 3))]
    shapes = planted(chance, gpus) + planted(chance, gpus)
    pods: list[Pod] = []
    sizes: dict[str, int] = {}
    while shapes:
        size = chance.randint(1, 5)
        some, shapes = shapes[:size], shapes[size:]
        name = f"g{len(sizes)}"
        sizes[name] = chance.randint(1, len(some))
        pods += mixed(name, some, minimum=sizes[name])
    found = planned(cluster(gpus), pods)
    assert overcommitted(found) == []
    for place in found.places:
        assert len(place.assignments) >= sizes[place.gang.key.name]


def test_what_no_arrangement_holds_is_proven_not_to_fit() -> None:
    """Enough in sum, for each kind alone, and one device too few for all of them together."""
    state = cluster([2])
    found = planned(state, mixed("mix", [whole(1), share(600), share(500)]))
    [verdict] = found.verdicts
    assert isinstance(verdict.certificate, Infeasible)
    assert verdict.reason == "Unschedulable"
    assert "side by side" in verdict.message


def test_a_share_does_not_open_the_device_that_a_linked_set_needs() -> None:
    """Islands of two; one device of the first is taken, so the share has to go beside it."""
    state = cluster([4])
    state.set_pod(
        pod(
            "there",
            of=share(500),
            node="n0",
            phase="Running",
            annotations={"stowplan.dev/devices": "n0-0"},
        )
    )
    found = planned(state, mixed("mix", [share(700), share(500), whole(2, nvlink=True)]))
    [place] = found.places
    by_pod = {one.pod.name: one.devices for one in place.assignments}
    assert by_pod["mix-2"] == ("n0-2", "n0-3")
    assert by_pod["mix-0"] == ("n0-1",)
    assert by_pod["mix-1"] == ("n0-0",)


def test_all_of_a_mixed_gang_are_in_one_zone() -> None:
    shapes = [whole(1), share(500), share(600)]
    words = {"stowplan.dev/topology-required": ZONE}
    apart = planned(cluster([2, 1], zones=["a", "b"]), mixed("mix", shapes, words=words))
    assert apart.places == ()
    zones = ["a", "b", "b"]
    found = planned(cluster([2, 2, 1], zones=zones), mixed("mix", shapes, words=words))
    [place] = found.places
    assert {zones[int(one.node[1:])] for one in place.assignments} == {"b"}
    assert overcommitted(found) == []


def test_where_a_stranger_holds_devices_that_nobody_named_no_share_is_given() -> None:
    state = cluster([2])
    ours = {"stowplan.dev/devices": "n0-0"}
    state.set_pod(pod("ours", of=share(250), node="n0", phase="Running", annotations=ours))
    state.set_pod(pod("theirs", gpu=1, node="n0", phase="Running", scheduler="another"))
    found = planned(state, [pod("late", of=share(250))])
    assert found.places == ()
    [verdict] = found.verdicts
    assert verdict.reason == "Unschedulable"

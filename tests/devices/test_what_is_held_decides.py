"""Who holds a device is what the kubelet gave and whose processes are on it; an annotation is a wish."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.devices import DEVICES, WHOLE_GPU, Holder, Inventory, Slot
from scheduler.model.objects import Pod, Rejected
from scheduler.parse.pod import parse_pod
from scheduler.state import ClusterState
from tests.builders import node, pod

T0 = 1_000_000.0
NODE = "n"
By = Callable[[str], Holder]


def by_kubelet(name: str) -> Holder:
    return Holder(namespace="team", name=name)


def by_process(name: str) -> Holder:
    return Holder(uid=f"uid-{name}")


def inventory(
    holders: Mapping[int, Iterable[Holder]],
    *,
    gpus: int = 4,
    probed_s: float = T0,
    fatal: Iterable[int] = (),
) -> Inventory:
    return Inventory(
        node=NODE,
        is_ready=True,
        probed_s=probed_s,
        slots=tuple(
            Slot(
                uuid=f"GPU-{i}",
                resource=WHOLE_GPU,
                memory_bytes=80 << 30,
                is_usable=i not in fatal,
                fatal_s=T0 if i in fatal else None,
                holders=tuple(holders.get(i, ())),
            )
            for i in range(gpus)
        ),
    )


def running(name: str, wish: str = "", gpu: int = 1, phase: str = "Running") -> Pod:
    words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": "1"}
    if wish:
        words[DEVICES] = wish
    made: Pod = pod(name, gpu=gpu, node=NODE, uid=f"uid-{name}", phase=phase, annotations=words)
    return made


def cluster(*pods: Pod) -> ClusterState:
    state = ClusterState("stowplan")
    state.at(T0)
    state.set_node(node(NODE, gpu=4))
    for one in pods:
        state.set_pod(one)
    return state


def free(state: ClusterState) -> int:
    snapshot = state.snapshot()
    return int(snapshot.free[0, snapshot.resources.index(WHOLE_GPU)])


def struck(state: ClusterState) -> list[tuple[str, list[str]]]:
    return [(slot.uuid, [one.name for one in pods]) for slot, _, pods in state.struck()]


SOURCES = pytest.mark.parametrize("by", [by_kubelet, by_process])


@SOURCES
def test_the_gang_that_holds_the_sick_device_is_replaced(by: By) -> None:
    state = cluster(running("a", "GPU-1"), running("b", "GPU-0"))
    state.set_inventory(inventory({0: [by("a")], 1: [by("b")]}, fatal=[0]))
    assert struck(state) == [("GPU-0", ["a"])]
    assert {(d.uid, d.held) for _, d in state.devices.differences()} == {
        ("uid-a", ("GPU-0",)),
        ("uid-b", ("GPU-1",)),
    }


def test_without_evidence_the_annotation_stands() -> None:
    state = cluster(running("a", "GPU-1"), running("b", "GPU-0"))
    state.set_inventory(inventory({}, fatal=[0]))
    assert struck(state) == [("GPU-0", ["b"])]
    assert not list(state.devices.differences())


@SOURCES
def test_a_wish_for_what_another_holds_is_none(by: By) -> None:
    """Nothing is seen of b yet: its device is not known, and it is not the one that a has."""
    state = cluster(running("a", "GPU-1"), running("b", "GPU-0"))
    state.set_inventory(inventory({0: [by("a")]}, fatal=[0]))
    assert struck(state) == [("GPU-0", ["a"])]
    assert free(state) == 2


def test_of_two_devices_the_one_that_is_not_seen_yet_is_as_wished() -> None:
    state = cluster(running("a", "GPU-1,GPU-2", gpu=2))
    state.set_inventory(inventory({1: [by_process("a")]}, fatal=[2]))
    assert struck(state) == [("GPU-2", ["a"])]
    assert not list(state.devices.differences())


@SOURCES
def test_a_pod_whose_devices_nobody_named_has_those_that_are_seen(by: By) -> None:
    state = cluster(running("a"))
    state.set_inventory(inventory({2: [by("a")]}))
    view = state.snapshot().devices
    assert view is not None
    assert view.is_exact.tolist() == [True]
    assert view.room[0].tolist() == [view.size[0, 0], view.size[0, 1], 0, view.size[0, 3]]


def test_a_pod_that_asked_for_nothing_holds_what_its_processes_use() -> None:
    state = cluster(running("rogue", gpu=0))
    state.set_inventory(inventory({i: [by_process("rogue")] for i in range(3)}))
    assert free(state) == 1
    assert state.devices.uses()["held"] == 3
    assert state.devices.unwell(NODE, ("GPU-0",)) is not None
    assert state.devices.unwell(NODE, ("GPU-3",)) is None


def test_processes_of_a_pod_that_nobody_knows_hold_their_device() -> None:
    state = cluster()
    state.set_inventory(inventory({0: [by_process("deleted-by-force")]}))
    assert free(state) == 3


def test_a_finished_pod_that_the_kubelet_still_lists_holds_nothing() -> None:
    state = cluster(running("done", "GPU-0", phase="Succeeded"))
    state.set_inventory(inventory({0: [by_kubelet("done")]}))
    assert free(state) == 4


def test_a_pod_with_a_claim_holds_what_the_kubelet_gave_it() -> None:
    state = cluster()
    state.set_pod(running("claims", gpu=0), Rejected(reason="spec.resourceClaims: not placed yet"))
    state.set_inventory(inventory({0: [by_kubelet("claims")]}))
    assert free(state) == 3
    view = state.snapshot().devices
    assert view is not None
    assert view.room[0, 0] == 0


@SOURCES
def test_who_left_is_not_held_against_who_comes(by: By) -> None:
    """The last probe shows a pod that is gone by now; what it held is free at once."""
    state = cluster(running("a", "GPU-0"))
    state.set_inventory(inventory({0: [by("a")]}))
    assert free(state) == 3
    state.remove_pod("uid-a")
    assert free(state) == 4
    state.set_pod(running("b", "GPU-0", phase="Pending"))
    state.set_inventory(inventory({0: [by("a")]}, fatal=[0]))
    assert struck(state) == [("GPU-0", ["b"])]


def test_processes_that_outlive_their_pod_are_seen_by_the_next_probe() -> None:
    state = cluster(running("a", "GPU-0"))
    state.set_inventory(inventory({0: [by_process("a")]}))
    state.remove_pod("uid-a")
    assert free(state) == 4
    state.set_inventory(inventory({0: [by_process("a")]}, probed_s=T0 + 5))
    assert free(state) == 3


def test_a_new_pod_of_the_same_name_is_not_where_the_old_one_was() -> None:
    """As a StatefulSet's: the kubelet knows pods by name, so only a later probe says something of it."""
    state = cluster(running("w-0", "GPU-0"))
    state.set_inventory(inventory({0: [by_kubelet("w-0")]}))
    state.remove_pod("uid-w-0")
    new = replace(running("w-0", "GPU-3", phase="Pending"), uid="uid-new")
    state.set_pod(new)
    state.set_inventory(inventory({0: [by_kubelet("w-0")]}, fatal=[3]))
    assert struck(state) == [("GPU-3", ["w-0"])]
    state.set_inventory(inventory({2: [by_kubelet("w-0")]}, probed_s=T0 + 5, fatal=[2, 3]))
    assert struck(state) == [("GPU-2", ["w-0"])]


def test_evidence_that_confirms_the_annotation_is_no_news() -> None:
    state = cluster(running("a", "GPU-0"))
    state.set_inventory(inventory({}))
    state.snapshot()
    assert not state.set_inventory(inventory({0: [by_kubelet("a"), by_process("a")]}, probed_s=T0 + 5))
    assert state.set_inventory(inventory({1: [by_kubelet("a")]}, probed_s=T0 + 10))


@settings(max_examples=60, deadline=None)
@given(
    placed=st.lists(st.tuples(st.integers(0, 3), st.integers(0, 3), st.booleans()), max_size=4),
    strangers=st.sets(st.integers(0, 3), max_size=2),
)
def test_no_device_counts_twice_and_none_in_use_is_free(
    placed: list[tuple[int, int, bool]], strangers: set[int]
) -> None:
    pods = [running(f"p{number}", f"GPU-{wish}") for number, (wish, _, _) in enumerate(placed)]
    seen: dict[int, list[Holder]] = {i: [by_process(f"stranger-{i}")] for i in strangers}
    for number, (_, held, is_seen) in enumerate(placed):
        if is_seen:
            seen.setdefault(held, []).append(by_kubelet(f"p{number}"))
    state = cluster(*pods)
    state.set_inventory(inventory(seen))
    view = state.snapshot().devices
    assert view is not None
    assert all(view.room[0, i] == 0 for i, holders in seen.items() if holders)
    assert 0 <= free(state) <= 4 - len(seen)
    known = state.devices.holders(NODE)
    for number, (_, held, is_seen) in enumerate(placed):
        if is_seen:
            assert f"GPU-{held}" in known[f"uid-p{number}"].devices


def of_hami(name: str, given: str, *, asks: int = 1, on: str = NODE) -> Pod:
    """A pod as the API server tells it after HAMi's scheduler bound it."""
    limits = {"nvidia.com/gpu": str(asks), "nvidia.com/gpumem": "3000"}
    body = {
        "metadata": {
            "name": name,
            "namespace": "team",
            "uid": f"uid-{name}",
            "annotations": {"hami.io/vgpu-devices-allocated": given, "hami.io/vgpu-node": on},
        },
        "spec": {
            "schedulerName": "hami-scheduler",
            "nodeName": NODE,
            "containers": [{"name": "main", "resources": {"limits": limits, "requests": limits}}],
        },
        "status": {"phase": "Running"},
    }
    parsed = parse_pod(msgspec.convert(body, wire.Pod))
    assert isinstance(parsed, Pod)
    return parsed


@pytest.mark.parametrize(
    ("given", "asks", "named"),
    [
        ("GPU-1,NVIDIA,3000,30:;", 1, {"GPU-1"}),
        ("GPU-1,NVIDIA,3000,0:GPU-3,NVIDIA,3000,0:;", 2, {"GPU-1", "GPU-3"}),
        # The first container has none, and another the same again; an instance of an older HAMi.
        (";GPU-1,NVIDIA,3000,0:;GPU-1,NVIDIA,10,0:;", 2, {"GPU-1"}),
        ("GPU-2[0-1],NVIDIA,3000,0:;", 1, {"GPU-2"}),
        # Nothing that HAMi writes: as if nobody had named any.
        ("GPU-0,NVIDIA,1,1:GPU-1,NVIDIA,1,1:GPU-2,NVIDIA,1,1:;", 1, set()),
        ("GPU-1,NVIDIA,3000:;", 1, set()),
        ("GPU-1,NVIDIA,-1,0:;", 1, set()),
        ("GPU-1,NVIDIA,3000,0:GPU-2,NVIDIA;", 2, set()),
        ("GPU-1;GPU-2", 2, set()),
        (";", 1, set()),
        ("\x00" * 99, 1, set()),
    ],
)
def test_what_hami_gave_is_held(given: str, asks: int, named: set[str]) -> None:
    """Whole: nothing here knows how much of it HAMi gave away."""
    state = cluster(of_hami("theirs", given, asks=asks))
    state.set_inventory(inventory({}))
    assert set(state.devices.holders(NODE)["uid-theirs"].devices) == named
    view = state.snapshot().devices
    assert view is not None
    room = {uuid for uuid, left in zip(view.uuids[0], view.room[0].tolist(), strict=True) if left}
    assert room == {f"GPU-{i}" for i in range(4)} - named
    # While it has some that nobody named, none is named beside it.
    assert bool(view.is_exact[0]) == (len(named) == asks)
    assert struck(state) == []


def test_what_hami_gave_on_another_node_is_not_held_here() -> None:
    state = cluster(of_hami("theirs", "GPU-1,NVIDIA,3000,30:;", on="another"))
    state.set_inventory(inventory({}))
    assert state.devices.holders(NODE)["uid-theirs"].devices == ()


def test_what_is_seen_of_a_pod_of_hami_goes_before_its_words() -> None:
    state = cluster(of_hami("theirs", "GPU-1,NVIDIA,3000,30:;"))
    state.set_inventory(inventory({2: [by_process("theirs")]}, probed_s=T0 + 1.0))
    assert state.devices.holders(NODE)["uid-theirs"].devices == ("GPU-2",)

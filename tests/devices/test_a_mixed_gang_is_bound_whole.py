"""On the control plane: a gang that mixes shares, memory and whole devices is bound and replaced whole."""

from __future__ import annotations

from fractions import Fraction

from scheduler.invariants import PodVersion
from tests.devices.scene import FRACTION, MEMORY, Json, Scene, manifest
from tests.faults.stage import GANG, MIN_MEMBER

#: Of each member whole devices, and what it shares. Together four devices, to the last thousandth.
MEMBERS: tuple[tuple[int, dict[str, str]], ...] = (
    (0, {FRACTION: "0.4"}),
    (1, {}),
    (0, {FRACTION: "0.6"}),
    (2, {}),
)


def mixed(name: str, members: tuple[tuple[int, dict[str, str]], ...] = MEMBERS) -> list[Json]:
    keys = {GANG: name, MIN_MEMBER: str(len(members))}
    return [
        manifest(f"{name}-{i}", gpus=gpus, words={**keys, **words}) for i, (gpus, words) in enumerate(members)
    ]


def names(gang: list[Json]) -> list[str]:
    return [body["metadata"]["name"] for body in gang]


def held(pods: list[PodVersion]) -> dict[str, Fraction]:
    """How much of each device they have, by what they asked and by the devices that their Bindings name."""
    found: dict[str, Fraction] = {}
    for pod in pods:
        assert pod.share is None or isinstance(pod.share, Fraction)
        for uuid in pod.devices:
            found[uuid] = found.get(uuid, Fraction()) + (1 if pod.share is None else pod.share)
    return found


async def test_it_fills_the_cluster_exactly_and_the_next_one_waits_whole(scene: Scene) -> None:
    nodes = await scene.nodes(scene.pool("n", 2, gpus=2))
    first, second = mixed("first"), mixed("second")
    await scene.stage.create(first)
    await scene.stage.until_bound(*names(first))
    pods = [scene.pod(name) for name in names(first)]
    assert [len(pod.devices) for pod in pods] == [1, 1, 1, 2]
    assert all(uuid.startswith(f"GPU-{pod.node}-") for pod in pods for uuid in pod.devices)
    assert pods[0].devices == pods[2].devices, "the two that share fill one device"
    assert held(pods) == {f"GPU-{node}-{i}": 1 for node in nodes for i in range(2)}
    # The same again does not fit: not a single member of it is bound before there is room for all.
    await scene.stage.create(second)
    await scene.until_waits("second-0")
    await scene.stage.delete("first-1")
    await scene.stage.beats(3)
    assert scene.stage.bound() == set(names(first)) - {"first-1"}
    for name in ("first-0", "first-2", "first-3"):
        await scene.stage.delete(name)
    await scene.stage.until_bound(*names(second))
    assert held([scene.pod(name) for name in names(second)]) == held(pods)
    await scene.judge()


async def test_what_is_left_of_shared_devices_is_used_and_nothing_more(scene: Scene) -> None:
    """Another's share is there before; by memory and by fraction the gang goes beside it, to the brim."""
    [node] = await scene.nodes(scene.pool("n", gpus=2))
    await scene.stage.create([manifest("there", words={FRACTION: "0.3"})])
    await scene.stage.until_bound("there")
    too_much = mixed("much", ((1, {}), (0, {FRACTION: "0.701"})))
    await scene.stage.create(too_much)
    await scene.until_waits("much-1", "side by side")
    assert scene.stage.bound() == {"there"}
    fits = mixed("fits", ((1, {}), (0, {FRACTION: "0.2"}), (0, {MEMORY: "40Gi"})))
    await scene.stage.create(fits)
    await scene.stage.until_bound(*names(fits))
    [beside] = scene.named("there")
    assert [scene.named(name) for name in ("fits-1", "fits-2")] == [(beside,), (beside,)]
    assert set(scene.named("fits-0")) == {f"GPU-{node}-0", f"GPU-{node}-1"} - {beside}
    await scene.judge()


async def test_a_shared_device_that_turns_fatal_replaces_all_members_once(scene: Scene) -> None:
    """Also those that held whole devices that are well; a stranger who shares the device goes too, alone."""
    await scene.nodes(scene.pool("n", 3, gpus=2))
    gang = mixed("train", (*MEMBERS[:2], (0, {FRACTION: "0.3"}), MEMBERS[3]))
    await scene.stage.create(gang)
    await scene.stage.until_bound(*names(gang))
    [struck] = {*scene.named("train-0"), *scene.named("train-2")}
    await scene.stage.create([manifest("guest", words={FRACTION: "0.3"})])
    await scene.stage.until_bound("guest")
    assert scene.named("guest") == (struck,), "the fullest device that has room"
    first = scene.stage.pods()
    node = first["train-0"].node
    scene.strike(node, scene.device(node, struck), 79)
    uids = {pod.uid for pod in first.values()}
    await scene.until(lambda pods: not uids & {pod.uid for pod in pods.values()}, "all left")
    await scene.stage.create([*gang, manifest("guest", words={FRACTION: "0.3"})])
    await scene.stage.until_bound(*names(gang), "guest")
    again = scene.stage.pods()
    found = held(list(again.values()))
    assert struck not in found
    assert max(found.values()) == 1
    assert [len(again[name].devices) for name in names(gang)] == [1, 1, 1, 2]
    await scene.stage.beats(3)
    assert scene.asked_to_leave() == uids, "each member once, and none of those made anew"
    await scene.judge()

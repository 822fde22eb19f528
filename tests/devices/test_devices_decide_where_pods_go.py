"""On the control plane: what NVML says of a device changes what is bound, and back."""

from __future__ import annotations

from scheduler.inventory.scenario import Remap
from tests.devices.scene import FRACTION, L4, MEMORY, NVLINK, Scene, gang, manifest
from tests.faults.proxy import eviction


async def test_a_foreign_process_keeps_pods_off_until_it_leaves(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=2))
    scene.intruder(node, 0)
    await scene.until_usable(node, 1)
    await scene.stage.create([manifest("both", gpus=2)])
    await scene.until_waits("both")
    await scene.stage.create([manifest("one", gpus=1)])
    await scene.stage.until_bound("one")
    assert scene.named("one") == (f"GPU-{node}-1",)
    scene.alter(node, 0, processes=(), used_mib=0)
    await scene.stage.create([manifest("other", gpus=1)])
    await scene.stage.until_bound("other")
    assert scene.named("other") == (f"GPU-{node}-0",)
    await scene.judge()


async def test_a_gang_on_a_device_that_turns_fatal_is_replaced_once_as_a_whole(scene: Scene) -> None:
    await scene.nodes(scene.pool("n", 2, gpus=4))
    await scene.stage.create(gang("train", 3, gpus=2))
    await scene.stage.until_bound("train-0", "train-1", "train-2")
    first = scene.stage.pods()
    struck = first["train-1"].devices[0]
    node = first["train-1"].node
    scene.strike(node, scene.device(node, struck), 79)
    uids = {pod.uid for pod in first.values()}

    def all_gone(pods: object) -> bool:
        return not uids & {pod.uid for pod in scene.stage.pods().values()}

    await scene.until(all_gone, "every member left")
    # As its controller would, one after another.
    await scene.stage.create(gang("train", 3, gpus=2))
    await scene.stage.until_bound("train-0", "train-1", "train-2")
    again = scene.stage.pods()
    assert struck not in {uuid for pod in again.values() for uuid in pod.devices}
    # The same outage goes on, and nobody is asked again.
    scene.strike(node, scene.device(node, struck), 79)
    await scene.stage.beats(3)
    assert {pod.uid for pod in scene.stage.pods().values()} == {pod.uid for pod in again.values()}
    evicted = [call.name for call in scene.stage.proxy.applied(eviction)]
    assert sorted(evicted) == ["train-0", "train-1", "train-2"]
    await scene.judge()


async def test_a_device_in_quarantine_and_a_hung_driver_get_nothing(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=2))
    scene.alter(node, 1, remap=Remap(pending=True))
    await scene.until_usable(node, 1)
    await scene.stage.create([manifest("two", gpus=2), manifest("a", gpus=1)])
    await scene.stage.until_bound("a")
    assert scene.named("a") == (f"GPU-{node}-0",)
    await scene.until_waits("two")
    await scene.stage.delete("a")
    scene.play(node, hang=("all",))
    await scene.until_usable(node, 0)
    await scene.stage.create([manifest("b", words={FRACTION: "0.5"})])
    await scene.until_waits("b", "shares of 0.5 GPU")
    scene.play(node, hang=())
    await scene.stage.until_bound("b")
    await scene.judge()


async def test_mig_instances_are_given_by_profile_and_name(scene: Scene) -> None:
    instances = {"nvidia.com/mig-1g.10gb": "2", "nvidia.com/mig-2g.20gb": "1", "nvidia.com/mig-3g.40gb": "1"}
    [node] = await scene.nodes(
        scene.pool("n", gpus=0, model="", gpu_memory="", scenario="a100-mig", resources=instances)
    )
    small = {"nvidia.com/mig-1g.10gb": "1"}
    await scene.stage.create([manifest(name, limits=small) for name in ("a", "b", "c")])
    await scene.until(lambda pods: sum(bool(pod.node) for pod in pods.values()) == 2, "two are bound")
    bound = [pod for pod in scene.stage.pods().values() if pod.node]
    assert {pod.devices for pod in bound} == {(f"MIG-{node}-0-2",), (f"MIG-{node}-0-3",)}
    await scene.judge()


async def test_nvlink_required_needs_an_island_and_the_labels_lie(scene: Scene) -> None:
    """A pool of L4, labelled as H100: the inventory has the last word on model and links."""
    lying = {"nvidia.com/gpu.product": "NVIDIA-H100-80GB-HBM3"}
    names = await scene.nodes(
        scene.pool("liar", gpus=4, model=L4, gpu_memory="24Gi", labels=lying),
        scene.pool("honest", gpus=4),
    )
    liar = next(name for name in names if "liar" in name)
    honest = next(name for name in names if "honest" in name)
    linked = manifest("linked", gpus=4, words={NVLINK: "required"})
    wants = manifest("wants-h100", gpus=2)
    wants["spec"]["nodeSelector"] = lying
    await scene.stage.create([linked])
    await scene.stage.until_bound("linked")
    assert scene.pod("linked").node == honest
    await scene.stage.create([wants, manifest("unlinked", gpus=2, words={NVLINK: "required"})])
    await scene.until_waits("wants-h100")
    await scene.until_waits("unlinked", "NVLink")
    await scene.stage.create([manifest("any", gpus=2)])
    await scene.stage.until_bound("any")
    assert scene.pod("any").node == liar
    await scene.judge()


async def test_shares_fill_devices_exactly_and_never_meet_whole_ones(scene: Scene) -> None:
    await scene.nodes(scene.pool("n", gpus=2))
    thirds = [manifest(f"third-{i}", words={FRACTION: "0.333"}) for i in range(3)]
    await scene.stage.create(thirds)
    await scene.stage.until_bound("third-0", "third-1", "third-2")
    assert len({scene.named(f"third-{i}") for i in range(3)}) == 1
    await scene.stage.create([manifest("pair", gpus=2)])
    await scene.until_waits("pair")
    await scene.stage.create([manifest("whole", gpus=1)])
    await scene.stage.until_bound("whole")
    assert not set(scene.named("whole")) & set(scene.named("third-0"))
    await scene.stage.create([manifest("memory", words={MEMORY: "1Gi"})])
    await scene.until_waits("memory")
    await scene.stage.delete("third-1")
    await scene.stage.until_bound("memory")
    assert scene.named("memory") == scene.named("third-0")
    await scene.judge()


async def test_the_container_reads_its_devices(scene: Scene) -> None:
    """NVIDIA_VISIBLE_DEVICES comes through the downward API, as the example manifest says."""
    await scene.nodes(scene.pool("n", gpus=1))
    body = manifest("reader", words={"gpu-fraction": "0.25", "stowplan.dev/run-command": "true"})
    container = body["spec"]["containers"][0]
    container["command"] = ["sh", "-c", 'echo "sees $NVIDIA_VISIBLE_DEVICES"']
    field = {"fieldRef": {"fieldPath": "metadata.annotations['stowplan.dev/devices']"}}
    container["env"] = [{"name": "NVIDIA_VISIBLE_DEVICES", "valueFrom": field}]
    body["spec"]["restartPolicy"] = "Never"
    await scene.stage.create([body])
    await scene.until(lambda pods: "reader" in pods and pods["reader"].phase == "Succeeded", "it ran")
    pod = scene.pod("reader")
    assert scene.logs(pod) == f"sees {pod.devices[0]}\n"
    await scene.judge()


async def test_of_a_gang_that_takes_new_members_only_the_one_on_the_device_is_replaced(scene: Scene) -> None:
    await scene.nodes(scene.pool("n", 2, gpus=4))
    members = gang("train", 3, gpus=2, words={"stowplan.dev/gang-on-loss": "replace"})
    await scene.stage.create(members)
    await scene.stage.until_bound("train-0", "train-1", "train-2")
    first = scene.stage.pods()
    struck = first["train-1"]
    scene.strike(struck.node, scene.device(struck.node, struck.devices[0]), 79)
    await scene.until(
        lambda pods: struck.uid not in {pod.uid for pod in pods.values()}, "the member on it left"
    )
    await scene.stage.create(members[1:2])
    await scene.stage.until_bound("train-0", "train-1", "train-2")
    again = scene.stage.pods()
    assert all(again[name].uid == first[name].uid for name in ("train-0", "train-2"))
    assert struck.devices[0] not in again["train-1"].devices
    evicted = [call.name for call in scene.stage.proxy.applied(eviction)]
    assert evicted == ["train-1"]
    await scene.judge()

"""The nodes of the actor report as agents do, and count devices for themselves."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random

import msgspec
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.devices import DeviceLedger
from deploy.local.nodes.pools import Pool
from deploy.local.nodes.wire import Metadata, NodePod, Spec
from scheduler.inventory.scenario import Event, Process
from scheduler.kube.wire.inventory import GPUNode, GPUNodeStatus
from tests.nodes.stage import Cluster, Stage
from tests.nodes.waiting import PATIENCE_S

PATH = "/apis/stowplan.dev/v1alpha1/gpunodes"


async def _until(stage: Stage, node: str, holds: Callable[[GPUNodeStatus], bool]) -> GPUNodeStatus:
    async with asyncio.timeout(PATIENCE_S):
        while True:
            status = (await stage.api.get(f"{PATH}/{node}", GPUNode)).status
            if holds(status):
                return status


async def test_what_happens_to_devices_is_reported_and_heals(stage: Stage, pool: str, tmp_path: Path) -> None:
    pools = [Pool(name=pool, count=2, gpus=4, model="NVIDIA-L4", gpu_memory="24Gi"), Pool(name=f"{pool}x")]
    async with NodeActor(stage.api, pools, settings=Settings(logs=tmp_path)) as actor:
        assert actor.inventories is not None
        assert set(actor.inventories.nodes) == {f"{pool}-0", f"{pool}-1"}
        node = f"{pool}-{Random(pool).randrange(2)}"
        told = await _until(stage, node, lambda status: status.usable == 4)
        assert told.model == "NVIDIA L4"
        assert not any(device.island for device in told.devices or ())
        calm = actor.inventories.nodes[node].scenario
        held = msgspec.structs.replace(calm.devices[0], processes=(Process(pid=7, mib=100),))
        actor.play(node, msgspec.structs.replace(calm, devices=(held, *calm.devices[1:])))
        await _until(stage, node, lambda status: status.usable == 3)
        actor.play(node, msgspec.structs.replace(calm, hang=("all",)))
        await _until(stage, node, lambda status: status.state == "Hung")
        actor.play(node, calm)
        await _until(stage, node, lambda status: status.state == "Ready" and status.usable == 4)
        actor.play(node, msgspec.structs.replace(calm, events=(Event(device=2, data=79),)))
        told = await _until(stage, node, lambda status: status.healthy == 3)
        assert [device.state for device in told.devices or ()][2] == "Fatal"


async def test_the_command_plays_scenario_files(
    cluster: Cluster, stage: Stage, pool: str, tmp_path: Path
) -> None:
    nodes, scenarios = tmp_path / "nodes.yaml", tmp_path / "scenarios"
    scenarios.mkdir()
    nodes.write_text(yaml.safe_dump({"pools": [{"name": pool, "gpus": 2}]}))
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.local.nodes", "--kubeconfig", str(cluster.admin_kubeconfig)),
        *("--nodes", str(nodes), "--scenarios", str(scenarios), "--logs", str(tmp_path)),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        async with asyncio.timeout(PATIENCE_S):
            assert (await process.stdout.readline()).startswith(b"1 nodes ready")
        await _until(stage, f"{pool}-0", lambda status: status.usable == 2)
        (scenarios / f"{pool}-0.yaml").write_text("driver: {loaded: false}\n")
        await _until(stage, f"{pool}-0", lambda status: status.state == "NoDriver")
    finally:
        process.send_signal(signal.SIGTERM)
        assert await process.wait() == 0


def _pod(uid: str, words: dict[str, str], node: str = "n") -> NodePod:
    return NodePod(metadata=Metadata(name=uid, uid=uid, annotations=words), spec=Spec(node_name=node))


@given(shares=st.lists(st.fractions(min_value="0.001", max_value="0.999"), max_size=20))
def test_the_ledger_never_gives_more_than_there_is(shares: list[Fraction]) -> None:
    ledger, memory = DeviceLedger(), {"GPU-0": 10**9}
    taken = Fraction()
    for number, share in enumerate(shares):
        words = {"stowplan.dev/devices": "GPU-0", "gpu-fraction": f"{share.numerator}/{share.denominator}"}
        denied = ledger.admit(_pod(f"u{number}", words), memory)
        assert (denied is None) == (taken + share <= 1)
        taken += share if denied is None else 0
        assert ledger.used("n").get("GPU-0", 0) == taken
    whole = _pod("whole", {"stowplan.dev/devices": "GPU-0"})
    assert (ledger.admit(whole, memory) is None) == (taken == 0)
    for number in range(len(shares)):
        ledger.release("n", f"u{number}")
    ledger.release("n", "whole")
    assert ledger.admit(whole, memory) is None
    assert ledger.admit(_pod("late", {"stowplan.dev/devices": "GPU-1"}), memory) is not None

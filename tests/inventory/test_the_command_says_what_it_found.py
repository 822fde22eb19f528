"""``stowplan agent`` as a process: what it prints, what it writes, how it ends."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import urllib.request
from asyncio import to_thread
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.nvml.library import TABLE_VARIABLE, FakeLibrary, FakeNode, shipped
from scheduler.cli.agent import EXIT_NO_DEVICES, EXIT_START_ANEW, start
from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.inventory.agent import Agent
from scheduler.inventory.nvml import LIBRARY_MISMATCH
from scheduler.inventory.scenario import Scenario
from scheduler.inventory.serve import AgentServer
from tests.inventory.scenes import changed
from tests.inventory.stage import PATIENCE_S, Stage

AGENT = "import sys; from scheduler.cli.agent import main; sys.exit(main(sys.argv[1:]))"


@contextmanager
def _started(
    cluster: Cluster, library: FakeLibrary, node: FakeNode, *words: str
) -> Iterator[subprocess.Popen[str]]:
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library.path.parent),
        TABLE_VARIABLE: str(node.table_file),
        "NODE_NAME": node.name,
        "KUBECONFIG": str(cluster.admin_kubeconfig),
    }
    with subprocess.Popen(
        [sys.executable, "-c", AGENT, *words], env=environment, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            yield process
        finally:
            process.kill()


def _no_driver(scenario: Scenario) -> Scenario:
    return changed(scenario, driver=changed(scenario.driver, loaded=False))


@pytest.mark.parametrize(
    ("scenario", "words", "code", "said"),
    [
        (shipped("l4-pcie"), ["--once"], 0, '"state":"Ready"'),
        (_no_driver(shipped("l4-pcie")), [], EXIT_NO_DEVICES, "the NVIDIA driver is not loaded"),
        (Scenario(), [], EXIT_NO_DEVICES, "the driver has no devices"),
        (
            Scenario(fail={"nvmlDeviceGetCount_v2": LIBRARY_MISMATCH}),
            ["--wait-for-driver"],
            EXIT_START_ANEW,
            "must start anew",
        ),
    ],
    ids=["devices", "no driver", "no devices", "replaced driver"],
)
async def test_it_ends_as_documented(
    served: Cluster,
    library: FakeLibrary,
    stage: Stage,
    scenario: Scenario,
    words: list[str],
    code: int,
    said: str,
) -> None:
    stage.node.play(scenario)
    with _started(served, library, stage.node, *words) as process:
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == code, errors
    assert said in errors
    status = await stage.status()
    assert status is not None
    assert status.gpus == len(stage.node.scenario.devices) * (code == 0)


async def test_it_stops_when_told(served: Cluster, library: FakeLibrary, stage: Stage) -> None:
    with _started(served, library, stage.node) as process:
        await stage.until(lambda status: status.usable == 8)
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors


async def test_a_hang_does_not_keep_it_from_stopping(
    served: Cluster, library: FakeLibrary, stage: Stage
) -> None:
    stage.node.play(changed(stage.node.scenario, hang=("nvmlInitWithFlags",)))
    with _started(served, library, stage.node, "--heartbeat", "1") as process:
        assert process.stderr is not None
        assert "agent started" in process.stderr.readline()
        process.terminate()
        _, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors


def test_a_node_must_be_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NODE_NAME", raising=False)
    with pytest.raises(Failure, match="--node-name") as failed:
        start(None, None)
    assert failed.value.code == EXIT_USAGE


@pytest.mark.parametrize("heartbeat_s", [0.0, 24.5, 30.0, float("nan")])
def test_a_heartbeat_that_would_look_stale_is_refused(heartbeat_s: float) -> None:
    with pytest.raises(Failure, match="30 s"):
        start(None, None, node_name="n", heartbeat_s=heartbeat_s)


def test_an_api_server_that_is_not_there_is_named(tmp_path: Path, node: FakeNode) -> None:
    kubeconfig = tmp_path / "config"
    kubeconfig.write_text(
        "{current-context: c, contexts: [{name: c, context: {cluster: k}}], "
        'clusters: [{name: k, cluster: {server: "http://127.0.0.1:1"}}]}'
    )
    with pytest.raises(Failure, match=re.escape("127.0.0.1:1")):
        start(kubeconfig, None, node_name="n", once=True)


async def test_metrics_tell_states_from_closed_sets(stage: Stage) -> None:
    agent: Agent = stage.agent(once=True)
    await agent.run()
    async with AgentServer(agent.metrics.registry, address="127.0.0.1", port=0) as server:
        told = await to_thread(_get, f"http://127.0.0.1:{server.port}/metrics")
        assert await to_thread(_get, f"http://127.0.0.1:{server.port}/livez") == "ok\n"
    assert 'stowplan_agent_devices{state="Healthy"} 8.0' in told
    assert 'stowplan_agent_node_state{state="Ready"} 1.0' in told
    assert 'stowplan_agent_node_state{state="Hung"} 0.0' in told


def _get(url: str) -> str:
    with urllib.request.urlopen(url, timeout=PATIENCE_S) as answer:
        body: str = answer.read().decode()
    return body


def test_it_needs_none_of_the_schedulers_libraries() -> None:
    """Its image has none of them, and its memory is counted."""
    heavy = ("numpy", "ortools", "pydantic", "yaml", "typer", "kubernetes", "grpc")
    code = f"import sys, pynvml, scheduler.cli.agent; print(sorted(set({heavy}) & sys.modules.keys()))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"

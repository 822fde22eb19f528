"""``python -m deploy.local.nodes`` as its users start it: ready line, control file, report, exit codes."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import msgspec
import pytest
import yaml

from deploy.local.nodes.report import Report
from tests.nodes.stage import Cluster, Stage, phases
from tests.nodes.waiting import PATIENCE_S, appears

ROOT = Path(__file__).parents[2]


async def start(*arguments: object) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        *("-m", "deploy.local.nodes", *map(str, arguments)),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )


def nodes_in(folder: Path, pool: str) -> Path:
    path = folder / "nodes.yaml"
    path.write_text(yaml.safe_dump({"pools": [{"name": pool, "gpus": 8}]}))
    return path


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_it_says_ready_obeys_the_control_file_and_accounts(
    cluster: Cluster, stage: Stage, pool: str, tmp_path: Path, number: signal.Signals
) -> None:
    report, control = tmp_path / "report.json", tmp_path / "control.json"
    control.write_bytes(
        msgspec.json.encode({"*": {"rejectNth": [1]}, f"{pool}-0": {"neverFinishDeletion": True}})
    )
    process = await start(
        *("--kubeconfig", cluster.admin_kubeconfig, "--nodes", nodes_in(tmp_path, pool)),
        *("--report", report, "--control", control, "--logs", tmp_path),
    )
    assert process.stdout is not None
    async with asyncio.timeout(PATIENCE_S):
        assert (await process.stdout.readline()).startswith(b"1 nodes ready")
    await stage.bind("unlucky", f"{pool}-0", gpus=1)
    await stage.bind("lucky", f"{pool}-0", gpus=8)
    await stage.until(lambda pods: phases(pods) == {"unlucky": "Failed", "lucky": "Running"})
    process.send_signal(signal.SIGUSR1)
    await appears(report)
    asked = msgspec.json.decode(report.read_bytes(), type=Report)
    assert (asked.admitted, asked.removed) == (1, 0)
    assert [(r.name, r.reason) for r in asked.rejections] == [("unlucky", "UnexpectedAdmissionError")]
    await stage.delete("lucky")
    await stage.delete("unlucky")
    control.write_text("{}")
    await stage.until(lambda pods: not pods)
    process.send_signal(number)
    assert await process.wait() == 0
    assert msgspec.json.decode(report.read_bytes(), type=Report).removed == 1


async def test_a_bad_file_is_exit_code_2_and_one_line(tmp_path: Path, pool: str) -> None:
    nodes = nodes_in(tmp_path, pool)
    nodes.write_text(nodes.read_text().replace("gpus", "gpu"))
    process = await start("--kubeconfig", tmp_path / "none", "--nodes", nodes)
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert complaint.decode().startswith(f"{nodes}: pools[0]: ")
    assert len(complaint.splitlines()) == 1


async def test_no_cluster_is_exit_code_1_and_one_line(tmp_path: Path, pool: str) -> None:
    process = await start("--kubeconfig", tmp_path / "none", "--nodes", nodes_in(tmp_path, pool))
    _, complaint = await process.communicate()
    assert process.returncode == 1
    assert str(tmp_path / "none") in complaint.decode()
    assert len(complaint.splitlines()) == 1

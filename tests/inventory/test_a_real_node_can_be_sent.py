"""The command of the checklist for real hardware, as a process, and its file played as that node."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pynvml
import pytest

from deploy.local.nvml.library import TABLE_VARIABLE, FakeLibrary, FakeNode, read_scenario, shipped
from scheduler.inventory.nvml import FUNCTION_NOT_FOUND
from scheduler.inventory.probe import probe
from scheduler.inventory.report import Device, DeviceReport
from scheduler.inventory.scenario import Process
from tests.inventory.scenes import alter, changed

DOCS = Path(__file__).parents[2] / "docs" / "inventory.md"
TIMEOUT_S = 60.0


def command() -> str:
    """As the checklist has it."""
    checklist = DOCS.read_text(encoding="utf-8").partition("## Real hardware: checklist")[2]
    found = re.search(r"`(python -m scheduler\.inventory\.recorder > \S+)`", checklist)
    assert found is not None
    return found[1]


def typed(library: FakeLibrary, node: FakeNode, folder: Path) -> subprocess.CompletedProcess[str]:
    """Somebody types it in a shell where ``python`` is this one."""
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(library.path.parent),
        TABLE_VARIABLE: str(node.table_file),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "PYTHONPATH": str(DOCS.parents[1]),
    }
    return subprocess.run(
        ["sh", "-c", command()],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )


def nameless(report: DeviceReport) -> DeviceReport:
    """But for what the file leaves out."""

    def device(seen: Device) -> Device:
        instances = tuple(replace(instance, uuid="") for instance in seen.instances)
        processes = tuple(replace(process, pid=0) for process in seen.processes)
        return replace(seen, uuid="", serial="", instances=instances, processes=processes)

    return replace(report, opened=False, devices=tuple(device(seen) for seen in report.devices))


@pytest.mark.parametrize("name", ["h100-nvswitch", "a100-mig", "l4-pcie", "v100-retired-pages"])
def test_what_it_writes_plays_as_that_node(
    library: FakeLibrary, node: FakeNode, tmp_path: Path, name: str
) -> None:
    node.play(changed(shipped(name), fail={"nvmlDeviceGetRepairStatus": FUNCTION_NOT_FOUND}))
    alter(node, 0, processes=(Process(pid=4711, mib=9_000),), temperature=61)
    if len(node.scenario.devices) > 1:
        # The last one: no device after it tells that it is there.
        alter(node, -1, lost=True)
    seen = nameless(probe(pynvml))
    done = typed(library, node, tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines() == ["not in this library: nvmlDeviceGetRepairStatus"]
    node.play(read_scenario(tmp_path / "node.json"))
    assert nameless(probe(pynvml)) == seen


def test_where_there_is_no_driver_it_says_so_and_writes_nothing(
    library: FakeLibrary, node: FakeNode, tmp_path: Path
) -> None:
    node.play(changed(node.scenario, driver=changed(node.scenario.driver, loaded=False)))
    done = typed(library, node, tmp_path)
    assert done.returncode == 3
    assert done.stderr.startswith("NoDriver: the NVIDIA driver is not loaded")
    assert (tmp_path / "node.json").read_text() == ""

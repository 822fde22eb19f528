"""Where somebody watches, a bar tells how much is done, how fast, and how long it still takes."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest

STOWPLAN = Path(sys.executable).parent / "stowplan"
POLICY = "apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n"


def watched(folder: Path, *arguments: str) -> tuple[int, str]:
    """Exit code, and what comes on a terminal 150 columns wide that is standard error."""
    ours, theirs = pty.openpty()
    environment = os.environ | {"COLUMNS": "150", "TERM": "xterm"}
    process = subprocess.Popen(
        [STOWPLAN, *arguments], cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=theirs
    )
    os.close(theirs)
    told = b""
    try:
        while part := os.read(ours, 1 << 16):
            told += part
    except OSError:  # the end of a terminal that nobody has open any more
        pass
    os.close(ours)
    return process.wait(), re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", told.decode())


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "fifo.yaml").write_text(POLICY)
    (tmp_path / "short.yaml").write_text(POLICY + "policy: {order: shortest-service, displaces: true}\n")
    (tmp_path / "small.yaml").write_text("pools: [{name: a, count: 2, gpus: 8}]\n")
    return tmp_path


@pytest.mark.parametrize(
    ("arguments", "label", "total", "unit"),
    [
        (
            ["compare", "fifo.yaml", "short.yaml", "--seeds", "3", "--processes", "1", "--load"],
            "poisson:jobs=30",
            6,
            "runs",
        ),
        (["simulate", "--policy", "short.yaml"], "poisson:jobs=200", 200, "jobs"),
    ],
)
def test_a_bar_tells_count_rate_and_time_left(
    arguments: list[str], label: str, total: int, unit: str, folder: Path
) -> None:
    code, told = watched(folder, *arguments, label, "--cluster", "small.yaml")
    assert code == 0, told
    frames = re.findall(rf"poisson\S* +\S+ +\d+/{total} {unit}, ([\d,.]+)/s (-|\d+):", told)
    assert any(float(rate.replace(",", "")) > 0 for rate, _ in frames), told

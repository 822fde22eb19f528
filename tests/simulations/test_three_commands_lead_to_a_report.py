"""docs/simulation.md as a new user follows it: the commands there end in a report of one's own jobs."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent


def commands() -> list[str]:
    """The first block of the page."""
    block = re.search(r"```\n(.*?)```", (ROOT / "docs/simulation.md").read_text(), re.DOTALL)
    assert block is not None
    return block.group(1).splitlines()


def run(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    """The environment that runs the tests stands for the one that the first command makes."""
    return subprocess.run(
        ["bash", "-c", command.replace(".venv/bin/", f"{BIN}/")],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What a checkout has and the commands read."""
    (tmp_path / "docs").symlink_to(ROOT / "docs")
    return tmp_path


def test_the_commands_of_the_page_and_of_the_readme(checkout: Path) -> None:
    make, write, simulate = commands()
    assert make == "make .venv/installed"
    assert "$(VENV)/installed:" in (ROOT / "Makefile").read_text()
    readme = (ROOT / "README.md").read_text()
    assert all(f"    {command}\n" in readme for command in (make, write, simulate))
    assert run(write, checkout).returncode == 0
    done = run(simulate, checkout)
    assert done.returncode == 0, done.stderr
    page = (checkout / "report.html").read_text()
    assert "<h1>jobs.csv</h1>" in page
    assert 'id="devices-table"' in page


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("eval,60,", "eval,soon,", "jobs.csv:3: column submit_s: expected seconds between 0 and"),
        ("3600,8,2", "3600,8.5,2", "jobs.csv:2: column gpus: expected a whole number from 0 to 64, found"),
        ("600,1,1", "600,1", "jobs.csv:3: column pods: expected 5 cells in the row, found 4"),
    ],
)
def test_a_row_that_one_gets_wrong_says_where(checkout: Path, old: str, new: str, expected: str) -> None:
    _, write, simulate = commands()
    assert old in write
    assert run(write.replace(old, new), checkout).returncode == 0
    done = run(simulate, checkout)
    assert done.returncode == 2
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert not (checkout / "report.html").exists()

"""`make demo` as a newcomer runs it: a process of its own, on a control plane of its own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

from deploy.local.demo.story import ACTS, LOAN

LIMIT_S = 90
COMMAND = [sys.executable, "-m", "scheduler.cli", "demo"]


def _running(marker: str) -> list[str]:
    """Command lines of live processes that name ``marker``."""
    found: list[str] = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            try:
                words = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            except OSError:
                continue
            if marker in words:
                found.append(words)
    return found


def test_every_gang_is_whole_or_pending_with_a_true_reason_and_nothing_is_left(tmp_path: Path) -> None:
    shown = subprocess.run(
        COMMAND, env={**os.environ, "TMPDIR": str(tmp_path)}, capture_output=True, text=True, timeout=LIMIT_S
    )
    wrong = shown.stdout.partition("checked against the API server")[2].partition("last words")[0]
    assert shown.returncode == 0, f"{shown.stdout}{shown.stderr}\nIn the end: {wrong}"
    judged = {line.partition(" ok ")[0].strip() for line in shown.stdout.splitlines() if " ok " in line}
    loan = {f"team {LOAN.borrower}", f"team {LOAN.lender}", "evictions"}
    assert judged == {name for act in ACTS for name in act.subjects} | loan | {"all nodes", "all revisions"}
    assert re.search(rf"team {LOAN.borrower} +holds 8 GPUs: 4 of 4 guaranteed, 4 borrowed", shown.stdout)
    assert "Traceback" not in shown.stdout + shown.stderr
    assert _running(str(tmp_path)) == []


def test_an_interrupted_demo_leaves_nothing_behind(tmp_path: Path) -> None:
    with subprocess.Popen(
        COMMAND, env={**os.environ, "TMPDIR": str(tmp_path)}, stdout=subprocess.PIPE, text=True
    ) as demo:
        assert demo.stdout is not None
        for line in demo.stdout:
            if "16 of 16 stand" in line:
                break
        demo.send_signal(signal.SIGINT)
        demo.communicate(timeout=LIMIT_S)
    assert demo.returncode == 130
    assert _running(str(tmp_path)) == []
    assert list(tmp_path.glob("stowplan-*")) == []

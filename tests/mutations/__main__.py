"""``make mutations``: break each guard on purpose, in a copy of the tree, and see a test go red.

Exit code 1 when a mutation survives or no longer applies. Writes ``build/mutations.json``.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import msgspec
from rich.console import Console
from rich.progress import track
from rich.table import Table

from tests.mutations.device_guards import DEVICE_GUARDS
from tests.mutations.dialect_guards import DIALECT_GUARDS
from tests.mutations.drift_guards import DRIFT_GUARDS
from tests.mutations.flood_guards import FLOOD_GUARDS
from tests.mutations.guards import GUARDS, Mutation
from tests.mutations.healing_guards import HEALING_GUARDS
from tests.mutations.in_storms import IN_STORMS, STORMS
from tests.mutations.judge_guards import JUDGE_GUARDS
from tests.mutations.loss_guards import LOSS_GUARDS
from tests.mutations.name_guards import NAME_GUARDS
from tests.mutations.provisioning_guards import PROVISIONING_GUARDS
from tests.mutations.speed_guards import SPEED_GUARDS
from tests.mutations.surrounding_guards import SURROUNDING_GUARDS
from tests.mutations.team_guards import TEAM_GUARDS
from tests.mutations.trace_guards import TRACE_GUARDS
from tests.mutations.truth_guards import TRUTH_GUARDS
from tests.mutations.victim_guards import VICTIM_GUARDS
from tests.mutations.volume_guards import VOLUME_GUARDS

ROOT = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
TEST_TIMEOUT_S = 300.0
#: As many storms as the tests run.
STORMS_COUNT = 300
PYTEST = ("pytest", "-q", "-x", "-p", "no:randomly", "-p", "no:cacheprovider")
MUTATIONS = (
    *GUARDS,
    *DEVICE_GUARDS,
    *DIALECT_GUARDS,
    *TEAM_GUARDS,
    *VICTIM_GUARDS,
    *PROVISIONING_GUARDS,
    *HEALING_GUARDS,
    *LOSS_GUARDS,
    *JUDGE_GUARDS,
    *FLOOD_GUARDS,
    *VOLUME_GUARDS,
    *TRUTH_GUARDS,
    *TRACE_GUARDS,
    *DRIFT_GUARDS,
    *NAME_GUARDS,
    *SURROUNDING_GUARDS,
    *SPEED_GUARDS,
    *IN_STORMS,
)

Outcome = Literal["caught", "survived", "does not apply", "the test fails unmutated"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    mutation: Mutation
    outcome: Outcome
    seconds: float


def _run(tree: Path, test: str) -> int:
    """The exit code of one test, or of all storms, in a copy of the tree."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    what = ("simulations.faults", "0", str(STORMS_COUNT)) if test == STORMS else (*PYTEST, test)
    command = [sys.executable, "-m", *what]
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, timeout=TEST_TIMEOUT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return 1  # A guard whose loss hangs the test is caught.
    return done.returncode


def _try(tree: Path, mutation: Mutation) -> Outcome:
    """Apply one mutation, run its test, put the file back."""
    path = tree / mutation.file
    text = path.read_text(encoding="utf-8")
    if text.count(mutation.old) != 1:
        return "does not apply"
    path.write_text(text.replace(mutation.old, mutation.new), encoding="utf-8")
    try:
        return "survived" if _run(tree, mutation.test) == 0 else "caught"
    finally:
        path.write_text(text, encoding="utf-8")


def _results(chosen: list[Mutation]) -> list[Result]:
    with tempfile.TemporaryDirectory(prefix="stowplan-mutations-") as folder:
        tree = Path(folder) / "tree"
        # As they are: the chart takes the plain manifests by links, which a mutation must reach.
        shutil.copytree(ROOT, tree, symlinks=True, ignore=LEFT_OUT)
        broken = {test for test in sorted({m.test for m in chosen}) if _run(tree, test) != 0}
        results: list[Result] = []
        for mutation in track(chosen, description="mutations", console=Console(stderr=True)):
            started_s = time.monotonic()
            outcome: Outcome = "the test fails unmutated" if mutation.test in broken else _try(tree, mutation)
            results.append(
                Result(mutation=mutation, outcome=outcome, seconds=round(time.monotonic() - started_s, 1))
            )
        return results


def main() -> int:
    """0 when every mutation was caught."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of mutations; all when none is given")
    names = set(parser.parse_args().names)
    chosen = [m for m in MUTATIONS if not names or m.name in names]
    results = _results(chosen)
    table = Table(title="guards broken on purpose")
    for heading in ("guard", "file", "outcome", "s"):
        table.add_column(heading)
    for result in results:
        table.add_row(result.mutation.name, result.mutation.file, result.outcome, f"{result.seconds}")
    Console().print(table)
    report = ROOT / "build" / "mutations.json"
    report.parent.mkdir(exist_ok=True)
    report.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    caught = sum(result.outcome == "caught" for result in results)
    Console().print(f"{caught} of {len(results)} caught; written to {report.relative_to(ROOT)}")
    return 0 if results and caught == len(results) else 1


if __name__ == "__main__":
    sys.exit(main())

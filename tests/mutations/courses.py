"""``python -m tests.mutations.courses``: with one guard off at a time, does a long course show it?

Each guard is taken away in a copy of the tree, and the courses are lived through from the first seed on until
one breaks a rule. Seeds that break one with all guards there are left out. Where a guard is about one matter
alone only courses of that matter are lived through, which are a few in a hundred seeds. Nothing has to be found:
many guards are about what no course does, and have tests of their own. Writes ``build/courses.json`` and prints
a table.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from tests.mutations.dialect_guards import DIALECT_GUARDS
from tests.mutations.flood_guards import FLOOD_GUARDS
from tests.mutations.guards import Mutation
from tests.mutations.healing_guards import HEALING_GUARDS
from tests.mutations.loss_guards import LOSS_GUARDS
from tests.mutations.victim_guards import VICTIM_GUARDS

ROOT: Final = Path(__file__).resolve().parents[2]
LEFT_OUT = shutil.ignore_patterns(".git", ".venv", "build", "__pycache__", ".*_cache", ".hypothesis")
REPORT: Final = ROOT / "build" / "courses.json"
#: Guards by the matter of the courses that may show their loss.
ABOUT: Final[Mapping[str, tuple[str, ...]]] = {
    "siege": tuple(
        guard.name
        for guard in (*HEALING_GUARDS, *LOSS_GUARDS)
        if not guard.file.startswith("scheduler/invariants")
    ),
    "throng": (
        "each Binding moves the deadline",
        "time behind others' writes is not the attempt's own",
        "who began first writes first",
        "nothing is begun while much is under way",
    ),
    "ranks": tuple(guard.name for guard in VICTIM_GUARDS),
    "indexed": (
        "pods of an object that another one of its name has followed are of an earlier run",
        "who was made after all the others had ended is of another run",
        "each run of a CronJob is a gang of its own",
        "who succeeded and was deleted is not missed",
        "an index that failed for good is not awaited",
        "a member that succeeds while others are bound is not gone",
        "who did its work before is not missed when it is cleared away",
    ),
    "stranger": ("an object that nests deeper than a decoder recurses is read all the same",),
}
NAMES: Final = {name: about for about, names in ABOUT.items() for name in names}
GUARDS: Final = tuple(
    guard
    for guard in (*HEALING_GUARDS, *LOSS_GUARDS, *VICTIM_GUARDS, *FLOOD_GUARDS, *DIALECT_GUARDS)
    if guard.name in NAMES
)
COURSES: Final = 300
#: Of the processor's time and of others' on it, for all courses of one guard.
LIMIT_S: Final = 7_200.0
#: The last line of ``simulations.life``: counts by kind, and the seeds that broke a rule.
LAST: Final = re.compile(r"^\{(?P<kinds>.*)\} in \[(?P<seeds>[\d, ]*)\]$", re.MULTILINE)
KIND: Final = re.compile(r"'(\w+)': ([1-9]\d*)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """seeds: that broke a rule; kinds: which rules, by their names in the report of courses.

    fault: what kept the courses from an end, where something did; the guard is noticed then as well.
    """

    seeds: tuple[int, ...] = ()
    kinds: tuple[str, ...] = ()
    fault: str = ""

    @property
    def words(self) -> str:
        if self.fault:
            return self.fault
        if not self.seeds:
            return "not found"
        return f"{', '.join(map(str, self.seeds))}: {', '.join(self.kinds)}"


def _lived(tree: Path, seeds: range, *, goes_on: bool, about: str = "") -> Found:
    """Courses of these seeds in a copy of the tree, to the first that breaks a rule unless it goes on."""
    environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "simulations.life", str(seeds.start), str(len(seeds))]
    command += ["--go-on"] if goes_on else []
    command += ["--about", about] if about else []
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, timeout=LIMIT_S, check=False
        )
    except subprocess.TimeoutExpired:
        return Found(fault=f"comes to no end within {LIMIT_S:.0f} s")
    told = LAST.search(done.stdout)
    if told is None:
        last = (done.stderr.strip().splitlines() or ["no word"])[-1]
        return Found(fault=f"ends with {done.returncode}: {last}")
    return Found(
        seeds=tuple(int(seed) for seed in told["seeds"].split(",") if seed.strip()),
        kinds=tuple(kind for kind, _ in KIND.findall(told["kinds"])),
    )


def _stretches(count: int, without: Sequence[int]) -> Iterator[range]:
    """The seeds below a count in stretches between those left out."""
    begin = 0
    for seed in (*sorted(without), count):
        if begin < seed:
            yield range(begin, seed)
        begin = seed + 1


def _first(tree: Path, count: int, without: Sequence[int], about: str) -> Found:
    for stretch in _stretches(count, without):
        found = _lived(tree, stretch, goes_on=False, about=about)
        if found.seeds or found.fault:
            return found
    return Found()


def _tried(tree: Path, guard: Mutation, count: int, without: Sequence[int]) -> Found:
    """Take the guard away, live, put it back."""
    path = tree / guard.file
    text = path.read_text(encoding="utf-8")
    if text.count(guard.old) != 1:
        return Found(fault="does not apply")
    path.write_text(text.replace(guard.old, guard.new), encoding="utf-8")
    try:
        return _first(tree, count, without, NAMES[guard.name])
    finally:
        path.write_text(text, encoding="utf-8")


def main() -> int:
    """0 when every guard could be taken away, whether or not a course shows it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", help="names of guards; all of these lists when none is given")
    parser.add_argument("--count", type=int, default=COURSES, help="how many courses, from seed 0 on")
    parser.add_argument(
        "--without", type=int, nargs="*", help="seeds to leave out; unless given, those that break a rule now"
    )
    parser.add_argument("--out", type=Path, default=REPORT)
    asked = parser.parse_args()
    results: dict[str, Found] = {}
    with tempfile.TemporaryDirectory(prefix="stowplan-courses-") as folder:
        tree = Path(folder) / "tree"
        shutil.copytree(ROOT, tree, symlinks=True, ignore=LEFT_OUT)
        known = asked.without
        if known is None:
            known = _lived(tree, range(asked.count), goes_on=True).seeds
        print(f"| guard | courses of {asked.count} that show it |\n|---|---|", flush=True)
        for guard in GUARDS:
            if not asked.names or guard.name in asked.names:
                results[guard.name] = _tried(tree, guard, asked.count, known)
                print(f"| {guard.name} | {results[guard.name].words} |", flush=True)
                asked.out.parent.mkdir(parents=True, exist_ok=True)
                asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(results), indent=2))
    return 1 if any(found.fault == "does not apply" for found in results.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

"""``make storms-devices``: storms around one node's devices, judged by what is true of each board.

Writes build/bench/devices.json: no eviction without evidence that is in the health table, no device that is
well out for longer than the table says, no object that the API server would refuse. Exit code 1 when one was.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

import msgspec

from deploy.local.nvml.library import FakeLibrary
from tests.benchmarks.figures import FOLDER
from tests.devices.storm import Storm
from tests.devices.storm_boards import Outcome

SHOWN_MAX = 5


class Devices(msgspec.Struct, frozen=True, kw_only=True):
    """Sums over all storms; ``seeds`` of those that broke a rule."""

    storms: int
    wrong_evictions: int
    wrong_bindings: int
    lost_device_hours: float
    failed_writes: int
    ghosts: int
    wrong_islands: int
    wrong_models: int
    wrong_words: int
    wrong_domains: int
    evictions: int
    probes: int
    seconds: float
    seeds: list[int]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("count", type=int, nargs="?", default=10_000, help="how many storms")
    parser.add_argument("--seed", type=int, default=0, help="of the first one")
    asked = parser.parse_args()
    began_s = time.perf_counter()
    outcomes: dict[int, Outcome] = {}
    library = FakeLibrary()
    for seed in range(asked.seed, asked.seed + asked.count):
        with tempfile.TemporaryDirectory() as folder:
            outcomes[seed] = Storm(seed, library, Path(folder)).run()
    broken = [seed for seed, outcome in outcomes.items() if not outcome.is_clean]
    found = outcomes.values()
    told = Devices(
        storms=len(outcomes),
        wrong_evictions=sum(one.wrong_evictions for one in found),
        wrong_bindings=sum(one.wrong_bindings for one in found),
        lost_device_hours=round(sum(one.lost_device_s for one in found) / 3600, 3),
        failed_writes=sum(one.failed_writes for one in found),
        ghosts=sum(one.ghosts for one in found),
        wrong_islands=sum(one.wrong_islands for one in found),
        wrong_models=sum(one.wrong_models for one in found),
        wrong_words=sum(one.wrong_words for one in found),
        wrong_domains=sum(one.wrong_domains for one in found),
        evictions=sum(one.evictions for one in found),
        probes=sum(one.probes for one in found),
        seconds=round(time.perf_counter() - began_s, 1),
        seeds=broken[:100],
    )
    text = msgspec.json.format(msgspec.json.encode(told)).decode()
    FOLDER.mkdir(parents=True, exist_ok=True)
    (FOLDER / "devices.json").write_text(f"{text}\n")
    print(text)
    for seed in broken[:SHOWN_MAX]:
        print(f"storm {seed}:", *outcomes[seed].story, sep="\n  ")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

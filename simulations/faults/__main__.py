"""``python -m simulations.faults SEED [COUNT]``: storms from a seed on; those that break a rule are told."""

from __future__ import annotations

import argparse
import sys
import time

from simulations.faults.storm import run


def main() -> int:
    """0 when no storm broke a rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, help="of the first storm")
    parser.add_argument("count", type=int, nargs="?", default=1, help="how many storms, of seeds in a row")
    parser.add_argument("--story", action="store_true", help="tell of storms that broke no rule as well")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first broken rule")
    asked = parser.parse_args()
    broken: list[int] = []
    for seed in range(asked.seed, asked.seed + asked.count):
        started_s = time.perf_counter()
        found = run(seed)
        took_s = time.perf_counter() - started_s
        if asked.story and not found.violations:
            print(found.story)
        if found.violations:
            broken.append(seed)
            print(found, flush=True)
            if not asked.go_on:
                break
        print(
            f"storm {seed}: {found.binds} binds, {found.evictions} evictions, {found.rejected} pods rejected"
        )
        print(f"  {len(found.violations)} rules broken, {took_s:.2f} s, digest {found.digest}", flush=True)
    if broken:
        print(f"broken: {broken}")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

"""``python -m simulations.life SEED [COUNT]``: courses from a seed on; those that break a rule are told."""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter

from simulations.life.course import run, subjects


def main() -> int:
    """0 when no course broke a rule."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("seed", type=int, help="of the first course")
    parser.add_argument("count", type=int, nargs="?", default=1, help="how many courses, of seeds in a row")
    parser.add_argument("--story", action="store_true", help="tell of courses that broke no rule as well")
    parser.add_argument("--go-on", action="store_true", help="do not stop at the first broken rule")
    parser.add_argument("--about", help="only those about this matter: stranger, fault, siege and so on")
    asked = parser.parse_args()
    broken: list[int] = []
    kinds: Counter[str] = Counter()
    for seed in range(asked.seed, asked.seed + asked.count):
        if asked.about and asked.about not in subjects(seed):
            continue
        started_s = time.process_time()
        found = run(seed)
        took_s = time.process_time() - started_s
        kinds.update({kind: len(texts) for kind, texts in found.broken.items()})
        if asked.story and found.is_clean:
            print(found.story)
        if not found.is_clean:
            broken.append(seed)
            if asked.go_on:
                for kind, texts in found.broken.items():
                    for text in texts:
                        print(f"  {seed} {kind}: {text}")
            else:
                print(found, flush=True)
                break
        print(
            f"course {seed}: {found.lasted_s:.0f} s, {found.binds} binds, {found.evictions} evictions, "
            f"{took_s:.2f} s of CPU, digest {found.digest}",
            flush=True,
        )
    print(dict(kinds), "in", broken)
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())

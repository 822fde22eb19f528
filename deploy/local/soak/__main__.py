"""``make soak``: half an hour on a real API server among real controllers; ``build/bench/soak.json``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.build import ensure_binary
from deploy.local.progress import shown
from deploy.local.soak.soak import soak

REPORT: Final = Path("build/bench/soak.json")


def main() -> int:
    """0 when nothing was broken."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--out", type=Path, default=REPORT)
    asked = parser.parse_args()
    with shown() as watcher:
        ensure_binary(watcher)
    begun_s = time.monotonic()

    def say(text: str) -> None:
        done_s = time.monotonic() - begun_s
        share = min(1.0, done_s / (60.0 * asked.minutes))
        print(f"{done_s:7.1f} s {share:4.0%}  {text}", file=sys.stderr, flush=True)

    broken = soak(asked.minutes, say)
    counts = {"minutes": asked.minutes, "seeds": 1, **{name: len(texts) for name, texts in broken.items()}}
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_bytes(msgspec.json.format(msgspec.json.encode(counts), indent=2))
    for name, texts in broken.items():
        for text in texts:
            print(f"{name}: {text}")
    print(counts)
    return 1 if any(broken.values()) else 0


if __name__ == "__main__":
    sys.exit(main())

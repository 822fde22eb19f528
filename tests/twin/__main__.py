"""``python -m tests.twin``: many seeds of many gangs, live and simulated, compared after each step.

Exit code 1 where the two differed. Writes ``build/twin.json``.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
import time
from dataclasses import asdict
from pathlib import Path
from typing import Final

from deploy.local.cluster import running_cluster
from tests.faults.stage import staged
from tests.teams.stage import TeamStage
from tests.twin.twin import TERMS, Twin

OUT: Final = Path("build/twin.json")


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.twin", description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--gangs", type=int, default=60)
    given = parser.parse_args()
    rows = asyncio.run(_all(range(given.first, given.first + given.seeds), given.gangs))
    OUT.parent.mkdir(parents=True, exist_ok=True)
    OUT.write_text(json.dumps(rows, indent=2) + "\n")
    return 1 if any("differs" in row for row in rows) else 0


async def _all(seeds: range, gangs: int) -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    with running_cluster() as cluster, tempfile.TemporaryDirectory() as folder:
        for seed in seeds:
            begun_s = time.monotonic()
            row: dict[str, object] = {"seed": seed, "gangs": gangs}
            try:
                path = Path(folder) / str(seed)
                path.mkdir()
                async with staged(cluster, path, TERMS) as stage, TeamStage.opened(stage) as teams:
                    row |= asdict(await Twin(teams).run(seed, gangs))
                    await stage.judge()
            except AssertionError as error:
                row["differs"] = str(error)
            row["wall_s"] = round(time.monotonic() - begun_s, 1)
            print(json.dumps(row), flush=True)
            rows.append(row)
    return rows


if __name__ == "__main__":
    sys.exit(main())

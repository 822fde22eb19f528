"""Where the scheduler's time goes: its imports, and its functions."""

from __future__ import annotations

import io
import pstats
from pathlib import Path
from typing import Final

ROWS_SHOWN: Final = 60
_MARK: Final = "import time:"


def functions(profile: Path) -> Path:
    """A cProfile file as text beside it: by own time, then with what was called from there."""
    told = io.StringIO()
    stats = pstats.Stats(str(profile), stream=told)
    for key in ("tottime", "cumulative"):
        stats.sort_stats(key).print_stats(ROWS_SHOWN)
    text = profile.with_suffix(".txt")
    text.write_text(told.getvalue(), encoding="utf-8")
    return text


def imports(log: Path, text: Path) -> Path:
    """The slowest imports of a log of ``python -X importtime``: milliseconds with all below, own, module."""
    rows = []
    for line in log.read_text(encoding="utf-8", errors="replace").splitlines():
        own, _, rest = line.removeprefix(_MARK).partition("|")
        whole, _, module = rest.partition("|")
        if line.startswith(_MARK) and own.strip().isdigit():
            rows.append((int(whole) / 1000, int(own) / 1000, module))
    rows.sort(reverse=True)
    shown = [f"{whole:9.1f} {own:9.1f} {module}" for whole, own, module in rows[:ROWS_SHOWN]]
    total_ms = sum(own for _, own, _ in rows)
    text.write_text("\n".join([f"{total_ms:.0f} ms in {len(rows)} modules", *shown, ""]), encoding="utf-8")
    return text

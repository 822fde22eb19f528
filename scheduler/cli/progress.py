"""A bar on standard error while something long runs: how much of it is done, how fast, how long still."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

#: From here on a rate is shown as a whole number; below, with two digits.
WHOLE_RATE: Final = 10.0


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Callable[[int], None] | None]:
    """What to tell how many of ``total`` are done; None, and no bar, where nobody watches."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(f"{unit}, {{task.fields[rate]}}/s"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(label, total=total, rate="0")

        def tell(done: int) -> None:
            bar.update(task, completed=done, rate=_rate(bar.tasks[task].speed or 0.0))

        yield tell


def _rate(each_s: float) -> str:
    return f"{each_s:,.0f}" if each_s >= WHOLE_RATE else f"{each_s:.2g}"

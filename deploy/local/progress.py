"""Progress of a build on standard error: a bar on a terminal, a line now and then in a log."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

from deploy.local.build import Watcher

LOG_EVERY_S: Final = 20.0


@contextmanager
def shown(console: Console | None = None) -> Iterator[Watcher]:
    """A Watcher that shows; draws nothing until there is something to wait for."""
    console = console or Console(stderr=True)
    if not console.is_terminal:
        yield _Lines(console)
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(*columns, TimeElapsedColumn(), console=console, transient=True) as progress:
        yield _Bar(progress)


class _Bar:
    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._task = progress.add_task("", total=None, visible=False)

    def stage(self, name: str, total: int | None = None) -> None:
        self._progress.update(self._task, visible=False)
        self._task = self._progress.add_task(f"control plane: {name}", total=total)

    def step(self) -> None:
        self._progress.advance(self._task)


class _Lines:
    def __init__(self, console: Console) -> None:
        self._console = console
        self._name = ""
        self._total: int | None = None
        self._done = 0
        self._started_s = time.monotonic()
        self._told_s = self._started_s

    def stage(self, name: str, total: int | None = None) -> None:
        self._name, self._total, self._done = name, total, 0
        self._tell(time.monotonic())

    def step(self) -> None:
        self._done += 1
        now_s = time.monotonic()
        if now_s - self._told_s >= LOG_EVERY_S:
            self._tell(now_s)

    def _tell(self, now_s: float) -> None:
        self._told_s = now_s
        of = f" of at most {self._total}" if self._total else ""
        count = f": {self._done}{of}" if self._done else ""
        self._console.print(f"control plane: {self._name}{count} ({now_s - self._started_s:.0f} s)")

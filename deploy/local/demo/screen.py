"""The live table; without a terminal, one line per change."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy.local.demo.judge import Judgement, Subject
from deploy.local.demo.story import Act

MESSAGE_MAX = 160
PARTLY = "bound so far"


class Screen:
    """``clock`` gives seconds since the demo began."""

    def __init__(
        self, acts: Sequence[Act], clock: Callable[[], float], console: Console | None = None
    ) -> None:
        self._acts = acts
        self._clock = clock
        self._console = console or Console(highlight=False)
        self._live: Live | None = None
        self._states: dict[str, str] = {}
        self._since: dict[str, float] = {}

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._live = Live(console=self._console, auto_refresh=False, transient=False)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()
            self._live = None

    def say(self, text: str) -> None:
        """A step of the demo itself."""
        self._console.print(f"[{self._clock():5.1f} s] {text}", markup=False, soft_wrap=True)

    def show(self, found: Mapping[str, Subject]) -> None:
        """The subjects as they are now."""
        for act in self._acts:
            for name in act.subjects:
                state = "not submitted" if name not in found else state_of(found[name])
                if state != self._states.get(name):
                    self._states[name] = state
                    self._since[name] = self._clock()
                    # In a log the steps in between would only hide the changes that matter.
                    if self._live is None and name in found and not state.endswith(PARTLY):
                        self.say(f"{name:12} {state}")
        if self._live is not None:
            self._live.update(self._table(), refresh=True)

    def summary(self, lines: Sequence[Judgement]) -> None:
        """What the API server itself says in the end."""
        table = Table(box=None, pad_edge=False, title="checked against the API server", title_justify="left")
        for column in ("gang or pod", "", "found"):
            table.add_column(column, overflow="fold")
        for line in lines:
            mark = Text("ok", style="green") if line.is_right else Text("WRONG", style="red")
            table.add_row(Text(line.subject), mark, Text(line.found))
        self._console.print()
        self._console.print(table)

    def _table(self) -> Table:
        table = Table(box=None, pad_edge=False)
        for column in ("gang or pod", "what it is", "since", "state"):
            table.add_column(column, overflow="fold" if column == "state" else "ellipsis")
        for act in self._acts:
            for name in act.subjects:
                state = self._states.get(name, "not submitted")
                since = f"{self._since.get(name, 0.0):5.1f} s"
                table.add_row(Text(name), Text(act.says), since, Text(state, style=_style(state)))
        return table


def state_of(subject: Subject) -> str:
    """One line on a gang or pod as it is."""
    if subject.finished >= subject.minimum:
        return f"ended, {subject.finished} of {subject.minimum}"
    if subject.standing:
        word = "stand" if subject.is_whole else PARTLY
        return f"{subject.standing} of {subject.minimum} {word}"
    reasons = sorted(reason for reason in subject.reasons if reason[1])
    if reasons:
        message = reasons[0][1]
        cut = message if len(message) <= MESSAGE_MAX else message[: MESSAGE_MAX - 3] + "..."
        return f"waits: {cut}"
    return "submitted"


def _style(state: str) -> str:
    if state.startswith("waits"):
        return "yellow"
    return "green" if "stand" in state or state.startswith("ended") else ""

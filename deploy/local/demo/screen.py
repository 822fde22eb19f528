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

STATE_MAX = 167
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
        #: Teams have rows of their own, once there are any.
        self._teams: list[str] = []
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
                # In a log the steps in between would only hide the changes that matter.
                self._note(name, state, is_told=name in found and not state.endswith(PARTLY))
        self._refresh()

    def show_teams(self, states: Mapping[str, str]) -> None:
        """The teams as they are now."""
        self._teams = [f"team {name}" for name in states]
        for name, state in states.items():
            self._note(f"team {name}", state, is_told=True)
        self._refresh()

    def _note(self, name: str, state: str, *, is_told: bool) -> None:
        if state == self._states.get(name):
            return
        self._states[name] = state
        self._since[name] = self._clock()
        if self._live is None and is_told:
            self.say(f"{name:12} {_cut(state)}")

    def _refresh(self) -> None:
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
        rows = [(name, act.says) for act in self._acts for name in act.subjects]
        rows += [(name, "a namespace with a TeamQuota") for name in self._teams]
        for name, says in rows:
            state = self._states.get(name, "not submitted")
            since = f"{self._since.get(name, 0.0):5.1f} s"
            table.add_row(Text(name), Text(says), since, Text(_cut(state), style=_style(state)))
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
        return f"waits: {reasons[0][1]}"
    return "submitted"


def _cut(state: str) -> str:
    return state if len(state) <= STATE_MAX else state[: STATE_MAX - 3] + "..."


def _style(state: str) -> str:
    if state.startswith("waits"):
        return "yellow"
    return "green" if "stand" in state or state.startswith(("ended", "holds")) else ""

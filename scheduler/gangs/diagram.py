"""``docs/state-machine.md`` from the transition tables: ``python -m scheduler.gangs.diagram > FILE``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import Enum
from typing import TypeVar

from scheduler.gangs import machine, member_rules
from scheduler.gangs.attempt import LEAVING, OPEN, MemberState, Phase
from scheduler.gangs.events import Event

S = TypeVar("S", bound=Enum)

_HEAD = """\
# The gang machine

Generated from the tables in `scheduler/gangs/machine.py` and `scheduler/gangs/member_rules.py` by
`python -m scheduler.gangs.diagram`. A test fails when this page is stale. An event that a table does
not declare raises `InvalidTransition` with the last 50 events of the gang.

An attempt is one try to place a gang: its claim is written, then the volumes of its pods are provided where
some are still to be had ([volumes](volumes.md)), then its pods are bound, and when the gang cannot stand what
was bound is taken back. A single pod takes the same way without a claim and without a status. A gang that
stands and has to leave its nodes begins by claiming that (phase `Unwinding` of the Gang object), and a claim
that cannot be written in time does not keep it.
"""

_MEMBERS = """\
## A placed pod

Open states may still become bound: {open}. Leaving states are bound and on their way out: {leaving}.
Members are moved by the attempt, too: its claim acknowledged, planned ones are sent; unwinding, bound
ones are evicted and those that wait are given up.
"""


def render() -> str:
    """The whole page."""
    parts = [
        _HEAD,
        "## The attempt\n",
        _mermaid(machine.TABLE, Phase.CLAIMING.value, Phase.DONE.value),
        "Events after which an attempt stays where it is:\n",
        _stays(machine.TABLE, Phase),
        _MEMBERS.format(open=_names(OPEN), leaving=_names(LEAVING)),
        _mermaid({**member_rules.TABLE, **_BY_ATTEMPT}, MemberState.PLANNED.value, ""),
        "Events after which a pod stays where it is:\n",
        _stays(member_rules.TABLE, MemberState),
    ]
    return "\n".join(parts)


class ClaimHeld(Event):
    """For the picture only: the attempt's claim is acknowledged."""


class Unwinding(Event):
    """For the picture only: the attempt takes back what it bound."""


#: Moves that follow from the attempt's and not from an event about the member.
_BY_ATTEMPT: Mapping[tuple[MemberState, type[Event]], frozenset[MemberState]] = {
    (MemberState.PLANNED, ClaimHeld): frozenset({MemberState.BINDING}),
    (MemberState.PLANNED, Unwinding): frozenset({MemberState.REFUSED}),
    (MemberState.BACKOFF, Unwinding): frozenset({MemberState.REFUSED}),
    (MemberState.BOUND, Unwinding): frozenset({MemberState.EVICTING}),
}


def _names(states: Iterable[MemberState]) -> str:
    return ", ".join(sorted(state.value for state in states))


def _mermaid(table: Mapping[tuple[S, type[Event]], frozenset[S]], first: str, last: str) -> str:
    edges: dict[tuple[str, str], list[str]] = {}
    for (state, event), targets in table.items():
        for target in targets - {state}:
            edges.setdefault((state.value, target.value), []).append(event.__name__)
    lines = ["```mermaid", "stateDiagram-v2", f"    [*] --> {first}"]
    for (source, goal), events in sorted(edges.items()):
        lines.append(f"    {source} --> {goal}: {', '.join(sorted(events))}")
    if last:
        lines.append(f"    {last} --> [*]")
    return "\n".join([*lines, "```", ""])


def _stays(table: Mapping[tuple[S, type[Event]], frozenset[S]], states: type[S]) -> str:
    lines = ["| state | events |", "|---|---|"]
    for each in states:
        events = sorted(e.__name__ for (s, e), targets in table.items() if s is each and each in targets)
        if events:
            lines.append(f"| {each.value} | {', '.join(events)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    print(render(), end="")

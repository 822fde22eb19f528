"""Without a terminal the demo writes a line per change, never one per watch event."""

from __future__ import annotations

import io

from rich.console import Console

from deploy.local.demo import judge
from deploy.local.demo.screen import Screen
from deploy.local.demo.story import ACTS
from tests.demo.world import World, groups, waiting


def _subjects(world: World) -> dict[str, judge.Subject]:
    return judge.subjects(world.pods(), groups())


def test_a_state_is_told_when_it_changes_and_only_then() -> None:
    out = io.StringIO()
    now_s = 0.0
    end = World.right()
    before = World(missing=set(end.node_of) - {"sweep-0"}, told=end.told)
    with Screen(ACTS, lambda: now_s, Console(file=out, width=200, highlight=False)) as screen:
        for world in (before, before, end, end):
            screen.show(_subjects(world))
            now_s += 1.0
    told = [line.split() for line in out.getvalue().splitlines()]
    assert sum(words[3] == "sweep" for words in told) == 2
    assert sum(words[3] == "oversized" for words in told) == 1
    assert ["2.0", "s]", "sweep", "4", "of", "4", "stand"] in [words[1:] for words in told]


def test_a_terminal_shows_every_subject_with_its_state() -> None:
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=160, highlight=False)
    with Screen(ACTS, lambda: 1.5, console) as screen:
        screen.show(_subjects(World.right()))
    shown = out.getvalue()
    for act in ACTS:
        assert all(name in shown for name in act.subjects)
    assert "waits: needs more" in shown


def test_the_summary_marks_what_is_wrong() -> None:
    out = io.StringIO()
    world = World.right()
    world.missing.add("sweep-3")
    lines = list(world.judgements().values())
    Screen(ACTS, lambda: 0.0, Console(file=out, width=160)).summary(lines)
    marked = {words[0]: words[1] for words in map(str.split, out.getvalue().splitlines()) if len(words) > 1}
    assert marked["sweep"] == "WRONG"
    assert {marked[name] for act in ACTS for name in act.subjects if name != "sweep"} == {"ok"}


def test_hostile_text_does_not_reach_the_terminal_as_markup() -> None:
    out = io.StringIO()
    world = World(told={"sweep-0": waiting(message="[red]")})
    world.missing = {pod.metadata.name for pod in world.pods()} - {"sweep-0"}
    with Screen(ACTS, lambda: 0.0, Console(file=out, width=160)) as screen:
        screen.show(_subjects(world))
    assert "waits: [red]" in out.getvalue()

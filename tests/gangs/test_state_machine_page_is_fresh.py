from __future__ import annotations

from pathlib import Path

from scheduler.gangs.attempt import MemberState, Phase
from scheduler.gangs.diagram import render

PAGE = Path(__file__).parents[2] / "docs" / "state-machine.md"


def test_the_page_is_what_the_tables_say() -> None:
    assert PAGE.read_text() == render(), "run: python -m scheduler.gangs.diagram > docs/state-machine.md"


def test_every_state_is_in_the_picture() -> None:
    page = render()
    for state in (*Phase, *MemberState):
        assert f" {state.value}" in page

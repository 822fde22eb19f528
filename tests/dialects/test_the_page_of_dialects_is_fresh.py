"""docs/dialects.md says what the code does."""

from __future__ import annotations

from pathlib import Path

from scheduler.gangs.table import page

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"


def test_the_page_is_what_the_dialects_say() -> None:
    assert PAGE.read_text() == page()

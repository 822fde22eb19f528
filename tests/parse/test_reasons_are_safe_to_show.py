"""A tenant's text inside a reason can neither forge a line, nor garble a terminal, nor flood a message."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.parse.refusal import REASON_MAX, SHOWN_MAX, reject, shown


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=40), st.text(max_size=1_000))
def test_any_text_makes_a_short_printable_line(field: str, problem: str) -> None:
    reason = reject(field, problem).reason
    assert reason.isascii()
    assert reason.isprintable()
    assert len(reason) <= REASON_MAX


@settings(max_examples=100, deadline=None)
@given(st.text(max_size=200))
def test_a_shown_value_is_quoted_and_cut(value: str) -> None:
    told = shown(value)
    assert told[0] == told[-1]
    assert told[0] in "'\""
    assert told.isascii()
    assert told.isprintable()
    assert len(told) <= 10 * SHOWN_MAX + 5


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("red\nERROR gang=blue evicted", "red\\nERROR gang=blue evicted"),
        ("\x1b[31mred", "\\x1b[31mred"),
        ("\u202eabc", "\\u202eabc"),
    ],
)
def test_what_would_break_the_line_is_escaped(text: str, told: str) -> None:
    assert reject("name", text).reason == f"name: {told}"


def test_a_long_reason_is_cut() -> None:
    assert len(reject("field", "x" * 5_000).reason) == REASON_MAX


def test_plain_text_stays_as_it_is() -> None:
    assert reject("spec.nodeSelector", "100 entries: use at most 50").reason == (
        "spec.nodeSelector: 100 entries: use at most 50"
    )

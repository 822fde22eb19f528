"""Whatever tenants put into names and messages, a log event is one line of bounded length."""

from __future__ import annotations

import io
import json
import logging

from hypothesis import given
from hypothesis import strategies as st

from scheduler.live.logs import EXCEPTION_MAX, VALUE_MAX, Format, configure, logger, printable

HOSTILE = st.text(max_size=2000) | st.sampled_from(
    ["a\nERROR forged", "\x1b[2J", "\u202eevil", "\r\n{}", "\x00", "x" * 100_000, "\u2028", "\ud7ff\ue000"]
)


def _written(form: Format, **values: object) -> str:
    out = io.StringIO()
    configure(form, "info", out)
    logger("binder").info("bound", **values)
    return out.getvalue()


@given(HOSTILE)
def test_text_is_printable_and_cut(text: str) -> None:
    shown = printable(text)
    assert shown.isprintable()
    assert len(shown) <= VALUE_MAX


@given(st.text(alphabet=st.characters(categories=["L", "N"]), max_size=VALUE_MAX))
def test_ordinary_text_is_left_alone(text: str) -> None:
    assert printable(text) == text


@given(st.sampled_from(["json", "console"]), HOSTILE, st.lists(HOSTILE, max_size=40))
def test_an_event_is_one_bounded_line(form: Format, name: str, names: list[str]) -> None:
    written = _written(form, pod=name, pods=names, labels={name: names})
    assert written.endswith("\n")
    assert len(written.splitlines()) == 1
    assert len(written) < 64 * 1024


def test_json_keeps_fields_apart() -> None:
    line = json.loads(_written("json", pod='", "level": "error', bound=3, leading=True, none=None))
    assert line["pod"] == '", "level": "error'
    assert (line["level"], line["event"], line["component"]) == ("info", "bound", "binder")
    assert (line["bound"], line["leading"], line["none"]) == (3, True, None)


def test_what_is_below_the_level_is_not_written() -> None:
    out = io.StringIO()
    configure("json", "warning", out)
    logger("loop").info("cycle")
    assert out.getvalue() == ""


def test_a_traceback_is_kept_with_its_end() -> None:
    out = io.StringIO()
    configure("json", "info", out)
    try:
        raise ValueError("x" * 2 * EXCEPTION_MAX + "the end")
    except ValueError:
        logger("loop").exception("stopped")
    line = json.loads(out.getvalue())
    assert line["exception"].endswith("the end")
    assert len(line["exception"]) == EXCEPTION_MAX


def test_the_standard_library_logs_in_the_same_form() -> None:
    out = io.StringIO()
    configure("json", "info", out)
    logging.getLogger("asyncio").error("Task exception was never retrieved\nfuture: %s", "x")
    line = json.loads(out.getvalue())
    assert (line["level"], line["component"]) == ("error", "asyncio")
    assert line["event"] == "Task exception was never retrieved\\nfuture: x"

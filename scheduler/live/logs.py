"""Structured logs to stderr: one event a line, whatever a tenant put into a name or a message."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Literal, TextIO, cast

import msgspec

_rich = sys.modules.get("rich")
if _rich is None:
    # structlog imports rich when it is there, for tracebacks that are written plainly here. That is a
    # tenth of a second in which a restarting scheduler schedules nothing.
    sys.modules["rich"] = None  # type: ignore[assignment]  # documented way to make an import fail
import structlog  # noqa: E402 - after the lines above
from structlog.typing import FilteringBoundLogger, Processor, WrappedLogger  # noqa: E402 - likewise, beside it

if _rich is None:
    del sys.modules["rich"]

VALUE_MAX = 256
ITEMS_MAX = 16
EXCEPTION_MAX = 8192

Format = Literal["json", "console"]
Level = Literal["debug", "info", "warning", "error"]


def configure(format: Format, level: Level, stream: TextIO | None = None) -> None:
    """Set up structlog and route the standard library's logging through it.

    ``stream`` is standard error unless given.
    """
    out = sys.stderr if stream is None else stream
    number = logging.getLevelNamesMapping()[level.upper()]
    structlog.configure(
        processors=[*_PREPARE, _renderer(format, out)],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=structlog.WriteLoggerFactory(file=out),
        cache_logger_on_first_use=False,
    )
    logging.basicConfig(handlers=[_Forward()], level=max(number, logging.WARNING), force=True)


def logger(component: str) -> FilteringBoundLogger:
    """A logger whose lines name the component of stowplan that wrote them."""
    return cast(FilteringBoundLogger, structlog.get_logger(component=component))


def printable(text: str, limit: int = VALUE_MAX) -> str:
    """``text`` with control, bidirectional and other unprintable characters escaped, cut at ``limit``."""
    cut = text if len(text) <= limit else text[: limit - 3] + "..."
    if cut.isprintable():
        return cut
    escaped = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in cut)
    return escaped if len(escaped) <= limit else escaped[: limit - 3] + "..."


def _bounded(value: object) -> object:
    match value:
        case bool() | int() | float() | None:
            return value
        case str():
            return printable(value)
        case list() | tuple():
            return [printable(str(item)) for item in value[:ITEMS_MAX]]
        case _:
            return printable(str(value))


def _bound_values(
    _: WrappedLogger, __: str, event: MutableMapping[str, object]
) -> MutableMapping[str, object]:
    """Runs after tracebacks became text: those may be long, but never endless, and keep their lines."""
    traceback = event.pop("exception", None)
    bounded = {printable(key, 64): _bounded(value) for key, value in event.items()}
    if traceback is not None:
        bounded["exception"] = str(traceback)[-EXCEPTION_MAX:]
    return bounded


_PREPARE: tuple[Processor, ...] = (
    structlog.processors.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    structlog.processors.format_exc_info,
    _bound_values,
)


def _renderer(format: Format, out: TextIO) -> Processor:
    if format == "console":
        return structlog.dev.ConsoleRenderer(
            colors=out.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    return structlog.processors.JSONRenderer(serializer=_encode)


def _encode(event: object, **_: object) -> str:
    return msgspec.json.encode(event).decode()


class _Forward(logging.Handler):
    """Gives records of libraries, asyncio's among them, the same form as ours."""

    def emit(self, record: logging.LogRecord) -> None:
        log = structlog.get_logger(component=record.name)
        log.log(max(record.levelno, logging.DEBUG), record.getMessage(), exc_info=record.exc_info)

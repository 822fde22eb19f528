"""What happened in a storm, second by second, for the person who has to understand it."""

from __future__ import annotations

import contextvars
from collections.abc import Callable, MutableMapping
from typing import Any, Final

import structlog

LINES_MAX: Final = 20_000
VALUE_MAX: Final = 120
#: Log lines that say nothing about a decision.
_QUIET: Final = frozenset({"watch broke"})

#: Which process the running code belongs to.
who: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="")


class Story:
    """Lines of (virtual second, who, what)."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._lines: list[tuple[float, str, str]] = []

    def tell(self, who: str, what: str) -> None:
        if len(self._lines) < LINES_MAX:
            self._lines.append((self._clock(), who, what))

    def text(self) -> str:
        return "\n".join(f"{at_s:9.3f}  {who:<10} {what}" for at_s, who, what in self._lines)

    def listen(self) -> None:
        """Take what the live shell logs, until ``structlog.reset_defaults``."""
        structlog.configure(processors=[self._overhear], cache_logger_on_first_use=False)

    def _overhear(self, _: Any, method: str, event: MutableMapping[str, Any]) -> str:
        said = str(event.pop("event", ""))
        event.pop("component", None)
        if said not in _QUIET:
            words = " ".join(f"{key}={str(value)[:VALUE_MAX]}" for key, value in event.items())
            self.tell(who.get(), f"{said} {words}" if words else said)
        raise structlog.DropEvent

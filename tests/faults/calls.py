"""A request on its way through the proxy, and what may be done with it."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

import msgspec


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request and what it is for: parts of the path that are missing are empty."""

    method: str
    path: str
    query: str
    headers: dict[str, str]
    body: bytes
    group: str = ""
    namespace: str = ""
    resource: str = ""
    name: str = ""
    subresource: str = ""
    is_watch: bool = False

    @property
    def is_write(self) -> bool:
        return self.method in ("POST", "PUT", "PATCH", "DELETE")

    def json(self) -> Any:
        """The body; null for one that is no JSON."""
        try:
            return msgspec.json.decode(self.body) if self.body else None
        except msgspec.DecodeError:
            return None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    status: int
    body: bytes
    headers: dict[str, str] = field(default_factory=dict)


class Dropped(Exception):
    """The client gets no answer: its connection is reset."""


Forward = Callable[[], Awaitable[Answer]]
Action = Callable[[Call, Forward], Awaitable[Answer]]
Lines = AsyncGenerator[bytes, None]
Match = Callable[[Call], bool]


class WatchAction(Protocol):
    def __call__(self, call: Call, lines: Lines) -> Lines: ...

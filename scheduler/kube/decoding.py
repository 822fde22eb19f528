"""From the bytes of lists and watch lines to objects. An odd object never costs its neighbours."""

from __future__ import annotations

import gc
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

import msgspec

from scheduler.kube.depth import decode
from scheduler.kube.errors import ApiError, BadAnswer, Status, event_error
from scheduler.kube.versions import parse_version
from scheduler.kube.wire import Metadata

REASON_LENGTH_MAX = 256

ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]


class HasMetadata(Protocol):
    """Any wire object."""

    @property
    def metadata(self) -> Metadata: ...


T = TypeVar("T", bound=HasMetadata)


@dataclass(frozen=True, slots=True, kw_only=True)
class Undecodable:
    """An object that exists and breaks its type: it must be reckoned with, though it cannot be read.

    version: its resourceVersion; 0 if that could not be read either.
    """

    namespace: str
    name: str
    uid: str
    version: int
    reason: str


@dataclass(frozen=True, slots=True)
class Decoded(Generic[T]):
    """An object and its resourceVersion."""

    object: T
    version: int


@dataclass(frozen=True, slots=True)
class Page(Generic[T]):
    """One page of a list. ``token`` is empty on the last."""

    items: list[Decoded[T] | Undecodable]
    version: int
    token: str


@dataclass(frozen=True, slots=True)
class RawPage:
    """One page of a list with its objects as they came: each is read when its turn comes."""

    items: Sequence[msgspec.Raw]
    version: int
    token: str


@dataclass(frozen=True, slots=True)
class Change(Generic[T]):
    type: ChangeType
    item: Decoded[T] | Undecodable


@dataclass(frozen=True, slots=True)
class Bookmark:
    """Everything up to this version has been delivered."""

    version: int


class _ListMetadata(msgspec.Struct, rename="camel"):
    resource_version: str = ""
    token: str = msgspec.field(name="continue", default="")


class _Event(msgspec.Struct, Generic[T]):
    type: str
    object: T


class _ListOfRaw(msgspec.Struct):
    metadata: _ListMetadata
    items: list[msgspec.Raw] | None = None


class _RawEvent(msgspec.Struct):
    type: str
    object: msgspec.Raw


class _Text(msgspec.Struct, rename="camel"):
    """Metadata as far as it is text; what is not is left out."""

    namespace: object = ""
    name: object = ""
    uid: object = ""
    resource_version: object = ""


class _Odd(msgspec.Struct):
    metadata: _Text = msgspec.field(default_factory=_Text)


_CHANGES: Mapping[str, ChangeType] = {"ADDED": "ADDED", "MODIFIED": "MODIFIED", "DELETED": "DELETED"}
_raw_page = msgspec.json.Decoder(_ListOfRaw)
_raw_event = msgspec.json.Decoder(_RawEvent)
_odd = msgspec.json.Decoder(_Odd)
_status = msgspec.json.Decoder(Status)
#: A msgspec error, or text that is no UTF-8.
_UNREADABLE = (msgspec.MsgspecError, UnicodeDecodeError)


class ObjectDecoder(Generic[T]):
    """Decodes lists and watch events of one wire type. Raises BadAnswer for what is no list and no event."""

    def __init__(self, kind: type[T]) -> None:
        parametrised: Any = _Event  # A type parameter known at run time only.
        self._event: msgspec.json.Decoder[_Event[T]] = msgspec.json.Decoder(parametrised[kind])
        self._object: msgspec.json.Decoder[T] = msgspec.json.Decoder(kind)

    def page(self, body: bytes) -> Page[T]:
        """A page of a list, read at once."""
        raw = self.split(body)
        return Page(self.items(raw.items), raw.version, raw.token)

    def split(self, body: bytes) -> RawPage:
        """A page of a list, its objects yet to be read by ``items``."""
        try:
            raw = decode(_raw_page, body)
        except _UNREADABLE as error:
            raise BadAnswer(f"not a list: {error}") from error
        version = parse_version(raw.metadata.resource_version)
        if version is None:
            raise BadAnswer(f"a list of version {raw.metadata.resource_version[:64]!r}")
        return RawPage(raw.items or (), version, raw.metadata.token)

    def items(self, raw: Iterable[msgspec.Raw]) -> list[Decoded[T] | Undecodable]:
        """Objects of a page."""
        with collector_paused():
            return [self._item(item) for item in raw]

    def event(self, line: bytes) -> Change[T] | Bookmark:
        """A line of a watch. Raises the ApiError that an ERROR event carries."""
        try:
            event = decode(self._event, line)
        except _UNREADABLE:
            return self._odd_event(line)
        if change := _CHANGES.get(event.type):
            return Change(change, _versioned(event.object))
        if event.type == "BOOKMARK":
            return _bookmark(event.object.metadata.resource_version)
        return self._odd_event(line)

    def _odd_event(self, line: bytes) -> Change[T] | Bookmark:
        try:
            event = decode(_raw_event, line)
        except _UNREADABLE as error:
            raise BadAnswer(f"not a watch event: {error}") from error
        if change := _CHANGES.get(event.type):
            return Change(change, self._item(event.object))
        if event.type == "BOOKMARK":
            return _bookmark(str(_metadata(event.object).resource_version))
        if event.type == "ERROR":
            raise _error(event.object)
        raise BadAnswer(f"a watch event of type {event.type[:64]!r}")

    def _item(self, raw: msgspec.Raw) -> Decoded[T] | Undecodable:
        try:
            return _versioned(decode(self._object, raw))
        except _UNREADABLE as error:
            return _undecodable(raw, str(error))


def _versioned(value: T) -> Decoded[T] | Undecodable:
    meta = value.metadata
    version = parse_version(meta.resource_version)
    if version is None or not meta.uid:
        return Undecodable(
            namespace=meta.namespace,
            name=meta.name,
            uid=meta.uid,
            version=version or 0,
            reason="metadata.uid or metadata.resourceVersion is missing or not as the API promises",
        )
    return Decoded(value, version)


def _metadata(raw: msgspec.Raw) -> _Text:
    try:
        return decode(_odd, raw).metadata
    except _UNREADABLE:
        return _Text()


def _undecodable(raw: msgspec.Raw, reason: str) -> Undecodable:
    found = _metadata(raw)
    return Undecodable(
        namespace=_text(found.namespace),
        name=_text(found.name),
        uid=_text(found.uid),
        version=parse_version(_text(found.resource_version)) or 0,
        reason=reason[:REASON_LENGTH_MAX],
    )


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


def _bookmark(text: str) -> Bookmark:
    version = parse_version(text)
    if version is None:
        raise BadAnswer(f"a bookmark of version {text[:64]!r}")
    return Bookmark(version)


def _error(raw: msgspec.Raw) -> ApiError:
    try:
        return event_error(decode(_status, raw))
    except _UNREADABLE:
        return event_error(Status(message="an error that cannot be read"))


@contextmanager
def collector_paused() -> Iterator[None]:
    """Keep the cyclic garbage collector from walking a list again and again while it is built."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()

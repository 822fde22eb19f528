"""What a reflector knows of one resource type, and the order in which its sink learns of changes.

Pure bookkeeping: no I/O, no clock. It never goes back in time (INV6): an event or an object that is not newer
than what is known changes nothing, and a list older than the view is refused.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from scheduler.kube.decoding import Change, Decoded, HasMetadata, Undecodable
from scheduler.kube.errors import ClusterError

T = TypeVar("T", bound=HasMetadata)
U = TypeVar("U", bound=HasMetadata, contravariant=True)


@dataclass(frozen=True, slots=True)
class Ref:
    """An object that is gone."""

    uid: str
    namespace: str
    name: str


class Sink(Protocol[U]):
    """Where a view goes, in order. Called from the event loop; must not block and must not raise."""

    def put(self, objects: Sequence[U]) -> None:
        """Objects as they are now, new or changed."""

    def gone(self, refs: Sequence[Ref]) -> None:
        """Objects that are no more. One of the same name may follow, with another UID."""

    def odd(self, objects: Sequence[Undecodable]) -> None:
        """Objects that are there, new or changed, and cannot be read. ``gone`` tells when they leave."""


class Regressed(ClusterError):
    """The API server answered from before what it said earlier: a stale replica, or a restored backup."""


class View(Generic[T]):
    """The known objects of one type. Everything a call changes has reached the sink when it returns."""

    def __init__(self, sink: Sink[T]) -> None:
        self._sink = sink
        #: By namespace and name: the UID and the version.
        self._known: dict[tuple[str, str], tuple[str, int]] = {}
        self._listed: set[tuple[str, str]] = set()
        self._list_version = 0
        self._put: list[T] = []
        self._gone: list[Ref] = []
        self._odd: list[Undecodable] = []
        self.version = 0
        #: Events and objects that were older than the view.
        self.stale = 0

    def __len__(self) -> int:
        return len(self._known)

    def open_list(self, version: int) -> None:
        """Begin with the first page of a list. Raises Regressed if it is older than the view."""
        if version < self.version:
            raise Regressed(f"a list of version {version} is older than the view, {self.version}")
        self._list_version = version
        self._listed = set()

    def add_page(self, items: Iterable[Decoded[T] | Undecodable]) -> None:
        """Deliver what is new on one page."""
        for item in items:
            key = _key(item)
            self._listed.add(key)
            self._admit(key, item)
        self._flush()

    def close_list(self) -> None:
        """All pages are in: what is known and was not listed is gone, and the view has the list's version."""
        for key in [key for key in self._known if key not in self._listed]:
            self._drop(key)
        self._listed = set()
        self.version = self._list_version
        self._flush()

    def clear(self) -> None:
        """The type is no longer served: all of its objects are gone."""
        for key in list(self._known):
            self._drop(key)
        self._flush()

    def apply(self, change: Change[T]) -> None:
        """Take one event of a watch; the sink learns of it at the next ``deliver``."""
        key, item = _key(change.item), change.item
        if 0 < item.version <= self.version:
            self.stale += 1
            return
        self.version = max(self.version, item.version)
        if change.type == "DELETED":
            known = self._known.get(key)
            if known is not None and known[0] == _uid(item):
                self._drop(key)
        else:
            self._admit(key, item)

    def deliver(self) -> None:
        """Give the sink what ``apply`` took, in as few calls as keep the order."""
        self._flush()

    def advance(self, version: int) -> None:
        """A bookmark: all changes up to ``version`` have been applied."""
        self.version = max(self.version, version)

    def _admit(self, key: tuple[str, str], item: Decoded[T] | Undecodable) -> None:
        uid, version = _uid(item), item.version
        known = self._known.get(key)
        if known is not None and 0 < version <= known[1]:
            self.stale += version < known[1]
            return
        if known is not None and known[0] != uid:
            self._drop(key)
        self._known[key] = (uid, version)
        if isinstance(item, Undecodable):
            self._odd.append(item)
        else:
            if self._odd:
                self._flush()
            self._put.append(item.object)

    def _drop(self, key: tuple[str, str]) -> None:
        uid, _ = self._known.pop(key)
        if self._put or self._odd:
            self._flush()
        self._gone.append(Ref(uid, *key))

    def _flush(self) -> None:
        """What is held was told in this order: gone, put, odd."""
        put, gone, odd = self._put, self._gone, self._odd
        self._put, self._gone, self._odd = [], [], []
        if gone:
            self._sink.gone(gone)
        if put:
            self._sink.put(put)
        if odd:
            self._sink.odd(odd)


def _key(item: Decoded[T] | Undecodable) -> tuple[str, str]:
    if isinstance(item, Undecodable):
        return item.namespace, item.name
    meta = item.object.metadata
    return meta.namespace, meta.name


def _uid(item: Decoded[T] | Undecodable) -> str:
    return item.uid if isinstance(item, Undecodable) else item.object.metadata.uid

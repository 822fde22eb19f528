"""Objects and their versions, as etcd and an API server's watch cache keep them: one order for all."""

from __future__ import annotations

import asyncio
import hashlib
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final, Literal

import msgspec

Json = dict[str, Any]
#: Namespace, empty for what has none, and name.
Key = tuple[str, str]
ChangeType = Literal["ADDED", "MODIFIED", "DELETED"]

FIRST_REVISION: Final = 1_000
#: Virtual seconds begin here on the wall clock.
EPOCH_S: Final = 1_767_225_600.0

_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


def wall(at_s: float) -> str:
    """A time of the API, to the second."""
    return datetime.fromtimestamp(EPOCH_S + at_s, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


@dataclass(frozen=True, slots=True)
class Stored:
    """One object as it is now."""

    revision: int
    uid: str
    raw: bytes

    def read(self) -> Json:
        """A copy of one's own."""
        found: Json = _decode(self.raw)
        return found


@dataclass(frozen=True, slots=True)
class Change:
    """``line`` is what a watch shows of it."""

    revision: int
    at_s: float
    type: ChangeType
    key: Key
    line: bytes


class Collection:
    """All objects of one type. ``floor``: a watch from an earlier revision is too old."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.objects: dict[Key, Stored] = {}
        self.changes: list[Change] = []
        self.floor = 0
        self._revisions: list[int] = []
        self._waiting: dict[asyncio.Event, None] = {}

    def after(self, revision: int, namespace: str = "") -> list[bytes]:
        """Watch lines of every later change."""
        later = self.changes[bisect_right(self._revisions, revision) :]
        return [change.line for change in later if not namespace or change.key[0] == namespace]

    def unseen_since(self, revision: int) -> float | None:
        """When the first later change was made; None where there is none."""
        at = bisect_right(self._revisions, revision)
        return self.changes[at].at_s if at < len(self.changes) else None

    def subscribe(self, moved: asyncio.Event) -> None:
        """Set it at every change."""
        self._waiting[moved] = None

    def leave(self, moved: asyncio.Event) -> None:
        self._waiting.pop(moved, None)

    def add(self, change: Change) -> None:
        self.changes.append(change)
        self._revisions.append(change.revision)
        for moved in self._waiting:
            moved.set()


class Store:
    """``told`` hears of every change, with the object as it is then, or was where it is gone."""

    def __init__(self, clock: Callable[[], float], paths: tuple[str, ...]) -> None:
        self.revision = FIRST_REVISION
        self.told: list[Callable[[Collection, Change, Json], None]] = []
        self._clock = clock
        self._collections = {path: Collection(path) for path in paths}
        self._made = 0

    def __iter__(self) -> Iterator[Collection]:
        return iter(self._collections.values())

    def find(self, path: str) -> Collection | None:
        return self._collections.get(path)

    def at(self, path: str) -> Collection:
        """Raises: KeyError for a type that is not served."""
        return self._collections[path]

    def create(self, path: str, body: Json) -> Stored:
        """Its name must be free."""
        self._made += 1
        meta = body.setdefault("metadata", {})
        namespace = meta.get("namespace", "")
        meta |= {"uid": f"uid-{self._made:05}", "creationTimestamp": wall(self._clock())}
        return self._put(self.at(path), (namespace, meta["name"]), body, "ADDED")

    def change(self, path: str, key: Key, edit: Callable[[Json], None]) -> Stored | None:
        """Edit a copy and store it; None where there is no such object."""
        known = self.at(path).objects.get(key)
        if known is None:
            return None
        body = known.read()
        edit(body)
        if _encode(body) == known.raw:
            return known  # A write that changes nothing makes no version.
        return self._put(self.at(path), key, body, "MODIFIED")

    def remove(self, path: str, key: Key) -> None:
        collection = self.at(path)
        known = collection.objects.pop(key, None)
        if known is not None:
            body = known.read()
            self.revision += 1
            body["metadata"]["resourceVersion"] = str(self.revision)
            self._record(collection, key, body, "DELETED", _encode(body))

    def digest(self) -> str:
        """Of everything that ever happened: the same for two runs of the same."""
        found = hashlib.sha256()
        for collection in self:
            for change in collection.changes:
                found.update(b"%.6f" % change.at_s)
                found.update(change.line)
        return found.hexdigest()[:16]

    def forget(self) -> None:
        """The history is gone, as after an API server's restart: watches from before are too old."""
        for collection in self:
            collection.floor = self.revision

    def _put(self, collection: Collection, key: Key, body: Json, type_: ChangeType) -> Stored:
        self.revision += 1
        body["metadata"]["resourceVersion"] = str(self.revision)
        stored = Stored(self.revision, body["metadata"]["uid"], _encode(body))
        collection.objects[key] = stored
        self._record(collection, key, body, type_, stored.raw)
        return stored

    def _record(self, collection: Collection, key: Key, body: Json, type_: ChangeType, raw: bytes) -> None:
        line = b'{"type":"%s","object":%s}' % (type_.encode(), raw)
        change = Change(self.revision, self._clock(), type_, key, line)
        collection.add(change)
        for tell in self.told:
            tell(collection, change, body)

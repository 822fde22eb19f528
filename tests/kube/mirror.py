"""A sink that believes what it is told, and checks that it is never told of the past."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.kube import wire
from scheduler.kube.reflector import Ref, Undecodable


class Mirror:
    """Keeps objects by name, as a consumer of nodes does: order is all that keeps it right."""

    def __init__(self) -> None:
        self.objects: dict[str, tuple[str, int]] = {}
        self.odd_names: set[str] = set()
        self.calls = 0
        self.puts = 0
        self._newest: dict[str, int] = {}

    def put(self, objects: Sequence[wire.Namespace]) -> None:
        self.calls += 1
        self.puts += len(objects)
        for found in objects:
            meta = found.metadata
            self._take(meta.name, meta.uid, int(meta.resource_version))
            self.odd_names.discard(meta.name)

    def odd(self, objects: Sequence[Undecodable]) -> None:
        self.calls += 1
        for found in objects:
            self._take(found.name, found.uid, found.version)
            self.odd_names.add(found.name)

    def gone(self, refs: Sequence[Ref]) -> None:
        self.calls += 1
        for ref in refs:
            assert self.objects[ref.name][0] == ref.uid, "told of the end of another object"
            del self.objects[ref.name]
            self.odd_names.discard(ref.name)

    def _take(self, name: str, uid: str, version: int) -> None:
        assert version > self._newest.get(uid, 0), "told of the past"
        known = self.objects.get(name)
        assert known is None or known[0] == uid, "a name taken twice without an end between"
        self._newest[uid] = version
        self.objects[name] = (uid, version)

"""The actor's own account of what it did, as JSON."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec


class Rejection(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One pod the actor refused."""

    namespace: str
    name: str
    uid: str
    node: str
    reason: str
    message: str


class Report(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """Counts since the start. ``rejections`` lists the first 1,000 of them."""

    nodes: int
    admitted: int
    #: Pods found running at the start, admitted by an earlier actor.
    restored: int
    rejected: dict[str, int]
    finished: int
    removed: int
    heartbeats: int
    heartbeats_missed: int
    #: Writes the API server would not have, by reason: the pod was gone (NotFound), a namesake (Conflict).
    refused: dict[str, int]
    rejections: tuple[Rejection, ...]

    def write(self, path: Path) -> None:
        """Write the report; a reader sees a whole one or the one before."""
        whole = path.with_name(f"{path.name}.{os.getpid()}")
        whole.write_bytes(msgspec.json.format(msgspec.json.encode(self)) + b"\n")
        whole.replace(path)

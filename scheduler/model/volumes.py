"""Persistent volume claims, volumes and storage classes, as far as they restrict nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from scheduler.model.selection import NodeTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    namespace: str
    name: str
    #: Bound volume, or empty.
    volume: str
    storage_class: str
    is_deleting: bool = False
    #: Names a volume that the volume controller has not bound to it yet.
    is_prebound: bool = False
    #: ReadWriteOncePod: no two pods may use it at a time.
    is_exclusive: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PersistentVolume:
    name: str
    #: Required node affinity; None for every node.
    node_terms: tuple[NodeTerm, ...] | None
    #: Zone and region labels, whose values may be sets joined by ``__``.
    labels: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class StorageClass:
    name: str
    waits_for_consumer: bool
    #: None for every node.
    allowed_terms: tuple[NodeTerm, ...] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """Everything the volume rule looks up. Replaced as a whole when any of it changes."""

    claims: Mapping[tuple[str, str], Claim] = field(default_factory=dict)
    volumes: Mapping[str, PersistentVolume] = field(default_factory=dict)
    classes: Mapping[str, StorageClass] = field(default_factory=dict)

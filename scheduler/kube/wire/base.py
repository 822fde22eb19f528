"""What every API object shares."""

from __future__ import annotations

import msgspec

#: As text or, from hand-written clients, as a JSON number. ``scheduler.parse.quantity`` makes integers of it.
Quantity = str | int | float
Words = dict[str, str] | None
#: A raw subtree that was not sent. (A union of Raw and None does not decode.)
ABSENT = msgspec.Raw(b"")


class Wire(msgspec.Struct, rename="camel", gc=False, frozen=True):
    """The base of all wire types. Trees without cycles, so the garbage collector need not look at them."""


class Present(Wire, frozen=True):
    """Any JSON object, of which only the presence is kept."""


class OwnerReference(Wire, frozen=True):
    api_version: str = ""
    kind: str = ""
    name: str = ""
    uid: str = ""
    controller: bool | None = None


class Metadata(Wire, frozen=True):
    """``resource_version`` is compared through ``scheduler.kube.versions`` only."""

    name: str = ""
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    generation: int = 0
    creation_timestamp: str | None = None
    deletion_timestamp: str | None = None
    labels: Words = None
    annotations: Words = None
    owner_references: tuple[OwnerReference, ...] | None = None


class Condition(Wire, frozen=True):
    type: str = ""
    status: str = ""
    reason: str | None = None
    message: str | None = None
    last_transition_time: str | None = None
    observed_generation: int | None = None


class ObjectReference(Wire, frozen=True, omit_defaults=True):
    api_version: str = ""
    kind: str = ""
    namespace: str = ""
    name: str = ""
    uid: str = ""
    resource_version: str = ""


class ObjectOnly(Wire, frozen=True):
    """Any object, of which only the metadata is read."""

    metadata: Metadata

"""Which devices resource claims hold, as the API server tells: for ``gpus`` and ``doctor``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from scheduler.cli.cluster import list_all
from scheduler.devices.claims import DeviceClaims
from scheduler.kube.transport import Forbidden, NotFound, Transport
from scheduler.kube.wire.resource import ResourceClaim, ResourceSlice
from scheduler.live.device_claims import CLAIMS, SLICES
from scheduler.parse.device_claims import parse_claim, parse_slice

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Claims:
    """served: the API's version, empty where there is none. unread: what cannot be read, and what follows.

    claims, devices: how many hold GPUs, and how many those are.
    """

    book: DeviceClaims
    served: str = ""
    unread: str = ""
    claims: int = 0
    devices: int = 0


async def claimed(transport: Transport) -> Claims:
    """A cluster without the API has no claims."""
    book = DeviceClaims()
    try:
        slices, _ = await _list(transport, SLICES, ResourceSlice)
        claims, served = await _list(transport, CLAIMS, ResourceClaim)
    except Forbidden as error:
        told = "resource claims cannot be read: devices that they hold may be shown, and given, as free"
        return Claims(book=book, unread=f"{told} ({error.message})")
    held = [claim for claim in map(parse_claim, claims) if claim is not None]
    for one in map(parse_slice, slices):
        if one is not None:
            book.put_slice(one)
    for claim in held:
        book.put_claim(claim)
    return Claims(
        book=book, served=served, claims=len(held), devices=sum(len(claim.devices) for claim in held)
    )


async def _list(transport: Transport, paths: Sequence[str], kind: type[T]) -> tuple[list[T], str]:
    """The objects of the first version that is served, and that."""
    for path in paths:
        try:
            return await list_all(transport, path, kind), path.removeprefix("/apis/").rpartition("/")[0]
        except NotFound:
            continue
    return [], ""

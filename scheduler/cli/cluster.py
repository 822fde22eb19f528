"""Gangs and waiting pods as the API server shows them: what ``gangs`` and ``why`` read."""

from __future__ import annotations

from typing import TypeVar

import msgspec

from scheduler.gangs.registry import resolve
from scheduler.kube import wire
from scheduler.kube.client import Client
from scheduler.kube.depth import decode
from scheduler.kube.transport import NotFound, Transport
from scheduler.live.claims import DIALECT
from scheduler.model.gang import GangKey
from scheduler.parse.pod import skeleton

T = TypeVar("T")

PAGE = "500"
#: Pages of one list; more objects than this is no longer something to read.
PAGES_MAX = 400
GANGS = "/apis/stowplan.dev/v1alpha1"


class Row(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """A gang, or a pod of its own that waits."""

    namespace: str
    name: str
    kind: str
    phase: str
    members: int
    min_member: int
    bound: int
    reason: str
    message: str
    created: str


class Member(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """One pod of a gang."""

    name: str
    phase: str
    node: str
    reason: str
    message: str


class _PageMeta(msgspec.Struct, frozen=True):
    token: str = msgspec.field(name="continue", default="")


class _Page(msgspec.Struct):
    items: list[msgspec.Raw] | None = None
    metadata: _PageMeta = _PageMeta()


async def list_all(
    transport: Client, path: str, kind: type[T], params: dict[str, str] | None = None
) -> list[T]:
    """Every object of a list, page by page; one that cannot be read does not lose the others."""
    found: list[T] = []
    asked = {"limit": PAGE, **(params or {})}
    decoder = msgspec.json.Decoder(kind)
    for _ in range(PAGES_MAX):
        page = await transport.get(path, _Page, params=asked)
        for item in page.items or ():
            try:
                found.append(decode(decoder, item))
            except msgspec.ValidationError:
                continue
        if not page.metadata.token:
            break
        asked["continue"] = page.metadata.token
    return found


async def gangs(transport: Transport, namespace: str | None) -> list[wire.Gang]:
    """Raises: NotFound where the Gang resource is not installed."""
    return await list_all(transport, _path(GANGS, namespace, "gangs"), wire.Gang)


async def pods(
    transport: Transport, namespace: str | None, scheduler: str, *, phase: str | None = None
) -> list[wire.Pod]:
    """The pods that name ``scheduler``."""
    selector = f"spec.schedulerName={scheduler}" + (f",status.phase={phase}" if phase else "")
    return await list_all(
        transport, _path("/api/v1", namespace, "pods"), wire.Pod, {"fieldSelector": selector}
    )


async def pod(transport: Transport, namespace: str, name: str) -> wire.Pod | None:
    try:
        return await transport.get(f"/api/v1/namespaces/{namespace}/pods/{name}", wire.Pod)
    except NotFound:
        return None


def key_of(found: wire.Pod) -> GangKey | None:
    """The gang that a pod belongs to as the scheduler sees it, or None when its keys are refused."""
    key = resolve(skeleton(found))
    return key if isinstance(key, GangKey) else None


def gang_key(found: wire.Gang) -> GangKey:
    """The gang that an object speaks of."""
    metadata = found.metadata
    dialect = (metadata.labels or {}).get(DIALECT, "own")
    name = (metadata.annotations or {}).get(DIALECT, metadata.name)
    return GangKey(namespace=metadata.namespace, dialect=dialect, name=name)


def gang_row(found: wire.Gang) -> Row:
    status = found.status
    return Row(
        namespace=found.metadata.namespace,
        name=gang_key(found).name,
        kind="gang",
        phase=status.phase or "Pending",
        members=status.members,
        min_member=status.min_member,
        bound=status.bound,
        reason=status.reason,
        message=status.message,
        created=found.metadata.creation_timestamp or "",
    )


def pod_row(found: wire.Pod) -> Row:
    reason, message = told(found)
    return Row(
        namespace=found.metadata.namespace,
        name=found.metadata.name,
        kind="pod",
        phase=_phase(found),
        members=1,
        min_member=1,
        bound=int(bool(found.spec.node_name)),
        reason=reason,
        message=message,
        created=found.metadata.creation_timestamp or "",
    )


def member(found: wire.Pod) -> Member:
    reason, message = told(found)
    return Member(
        name=found.metadata.name,
        phase=_phase(found),
        node=found.spec.node_name,
        reason=reason,
        message=message,
    )


def told(found: wire.Pod) -> tuple[str, str]:
    """Reason and message of the condition PodScheduled=False, or empty."""
    for condition in found.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason or "", condition.message or ""
    return "", ""


def _phase(found: wire.Pod) -> str:
    if found.metadata.deletion_timestamp:
        return "Deleting"
    if found.status.phase == "Pending" and found.spec.node_name:
        return "Bound"
    return found.status.phase


def _path(group: str, namespace: str | None, resource: str) -> str:
    return f"{group}/{resource}" if namespace is None else f"{group}/namespaces/{namespace}/{resource}"

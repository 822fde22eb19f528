"""``stowplan gpus``: each node's devices as their agents tell, and which pods hold them."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from scheduler.cli.claims import claimed
from scheduler.cli.cluster import list_all
from scheduler.cli.connection import ask
from scheduler.cli.failure import Failure
from scheduler.cli.gangs import age
from scheduler.cli.output import Output, emit, table
from scheduler.devices.claims import DeviceClaims
from scheduler.inventory.parse import DeviceState, NodeInventory, Refused, parse
from scheduler.inventory.times import written
from scheduler.kube import wire
from scheduler.kube.transport import NotFound, Transport
from scheduler.kube.wire.inventory import GPUHolder, GPUNode
from scheduler.model.devices import DEVICES, Inventory
from scheduler.model.devices import Holder as Claimed
from scheduler.model.gpu_resources import stands_on
from scheduler.model.hami import ALLOCATED, given_by_hami
from scheduler.model.objects import Rejected
from scheduler.parse.devices import FRACTION, KAI_FRACTION, KAI_MEMORY, MEMORY, parse_inventory
from scheduler.parse.pod import skeleton

PATH: Final = "/apis/stowplan.dev/v1alpha1/gpunodes"
Use = Literal["free", "shared", "whole", "sick", "unknown", "foreign", "old", "mig"]
By = Literal["kubelet", "processes", "claim", "annotation"]
#: One sign for each device in the table's picture.
SIGNS: Final[Mapping[Use, str]] = {
    "free": ".",
    "shared": "o",
    "whole": "#",
    "sick": "x",
    "unknown": "~",
    "foreign": "!",
    "old": "?",
    "mig": "m",
}


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """``share`` as the pod's annotation says it; empty for a whole device.

    ``by``: what shows that the pod holds the device; an annotation alone is a wish. ``difference``: what
    its annotation says instead, or that it asks for no device at all.
    """

    pod: str
    share: str = ""
    by: By = "annotation"
    difference: str = ""


class Unnamed(msgspec.Struct, frozen=True, kw_only=True):
    """A pod, or a claim, that holds ``devices`` of its node; ``resource``: what a pod asks for."""

    holder: str
    by: Literal["claim", "request"]
    devices: int
    resource: str = ""


class DeviceRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    uuid: str
    model: str
    memory_mib: int
    use: Use
    health: str
    reason: str = ""
    clear: str = ""
    foreign_processes: int = 0
    #: NVLink island; equal ones reach each other.
    island: str = ""
    holders: list[Holder] = []


class NodeRow(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """``unnamed``: who holds devices of which nobody says which; while they do, none is given by name."""

    node: str
    state: str
    probed: str
    is_fresh: bool
    message: str
    driver: str
    picture: str
    devices: list[DeviceRow]
    unnamed: list[Unnamed] = []


def show(kubeconfig: Path | None, context: str | None, *, node: str | None, output: Output) -> None:
    rows, unread = ask(kubeconfig, context, lambda transport: _ask(transport, time.time()))
    if unread:
        print(unread, file=sys.stderr)
    if node is not None:
        rows = [row for row in rows if row.node == node]
        if not rows:
            raise Failure(f"no agent reports a node {node}; see: kubectl get gpunodes")
    if output != "table":
        emit(rows, output)
    elif node is None:
        _show_nodes(rows)
    else:
        _show_devices(rows[0])


async def read(transport: Transport, now_s: float) -> list[NodeRow]:
    """By name. Raises: Failure where GPUNodes are not installed."""
    return (await _ask(transport, now_s))[0]


async def _ask(transport: Transport, now_s: float) -> tuple[list[NodeRow], str]:
    """Rows, and what is missing in them."""
    try:
        found, pods, claims = await asyncio.gather(
            list_all(transport, PATH, GPUNode),
            list_all(transport, "/api/v1/pods", wire.Pod, {"fieldSelector": "spec.nodeName!="}),
            claimed(transport),
        )
    except NotFound as error:
        raise Failure("the cluster has no GPUNode resource; apply deploy/crds/gpunodes.yaml") from error
    return _rows(found, Pods(pods), claims.book, now_s), claims.unread


def _rows(found: Iterable[GPUNode], holders: Pods, claims: DeviceClaims, now_s: float) -> list[NodeRow]:
    parsed = ((one, parse(one)) for one in sorted(found, key=lambda one: one.metadata.name))
    return [
        _row(node, parse_inventory(one), holders, claims, now_s)
        for one, node in parsed
        if not isinstance(node, Refused)
    ]


class Pods:
    """Unfinished pods on nodes: what each wishes, and by whatever name evidence knows it."""

    def __init__(self, pods: Iterable[wire.Pod]) -> None:
        self._on_node: dict[str, list[wire.Pod]] = {}
        self._by_uid: dict[str, wire.Pod] = {}
        self._by_name: dict[tuple[str, str], wire.Pod] = {}
        self._wished: dict[str, list[wire.Pod]] = {}
        for pod in pods:
            if pod.status.phase in ("Succeeded", "Failed"):
                continue
            self._on_node.setdefault(pod.spec.node_name, []).append(pod)
            self._by_uid[pod.metadata.uid] = pod
            self._by_name[pod.metadata.namespace, pod.metadata.name] = pod
            for uuid in _wishes(pod):
                self._wished.setdefault(uuid, []).append(pod)

    def on(self, node: NodeInventory, claims: DeviceClaims) -> Mapping[str, list[Holder]]:
        """By UUID of a device or instance of the node: who holds it, by evidence before wishes."""
        evidence = {device.uuid: device.holders for device in node.devices}
        evidence |= {one.uuid: one.holders for device in node.devices for one in device.instances}
        held = claims.on(node.node)
        seen = {uuid: self._seen(holders, held.get(uuid, ())) for uuid, holders in evidence.items()}
        placed = {uid for pods in seen.values() for uid in pods}
        return {
            uuid: [self._held(uid, uuid, by) for uid, by in pods.items()]
            + [_holder(pod) for pod in self._wished.get(uuid, ()) if pod.metadata.uid not in placed]
            for uuid, pods in seen.items()
        }

    def unnamed(self, node: str, holders: Mapping[str, list[Holder]]) -> list[Unnamed]:
        """Pods of the node that ask for more devices than anybody named."""
        named = Counter(holder.pod for held in holders.values() for holder in held)
        found = []
        for pod in self._on_node.get(node, ()):
            name = f"{pod.metadata.namespace}/{pod.metadata.name}"
            asks = {key: count for key, count in skeleton(pod).shape.requests if stands_on(key)}
            missing = sum(asks.values()) - named[name]
            if missing > 0:
                found.append(Unnamed(holder=name, by="request", devices=missing, resource=", ".join(asks)))
        return found

    def _seen(self, holders: Iterable[GPUHolder], claims: Iterable[Claimed]) -> dict[str, By]:
        """UIDs, some of pods that the API server does not know, and names of claims that no pod uses.

        The kubelet's word goes first, then a claim's.
        """
        found: dict[str, By] = {one.uid or f"{one.namespace}/{one.claim}": "claim" for one in claims}
        for holder in holders:
            pod = self._by_name.get((holder.namespace, holder.name))
            if holder.uid:
                found.setdefault(holder.uid, "processes")
            elif pod is not None:
                found[pod.metadata.uid] = "kubelet"
        return found

    def _held(self, uid: str, uuid: str, by: By) -> Holder:
        pod = self._by_uid.get(uid)
        if pod is None and by == "claim":
            return Holder(pod=uid, by=by, difference="no pod that is there uses it")
        if pod is None:
            return Holder(pod=f"pod {uid}", by=by, difference="the API server has no such pod any more")
        wishes = _wishes(pod)
        if uuid in wishes or by == "claim":
            return _holder(pod, by=by)
        told = f"its annotation names {', '.join(wishes)}" if wishes else "no annotation names its devices"
        if not wishes and ALLOCATED in (pod.metadata.annotations or {}):
            told = f"its annotation {ALLOCATED} is not of this node, or cannot be read"
        return _holder(pod, by=by, difference=told)


def _wishes(pod: wire.Pod) -> list[str]:
    words = pod.metadata.annotations or {}
    ours = list(filter(None, words.get(DEVICES, "").split(",")))
    if ours or ALLOCATED not in words:
        return ours
    return [*given_by_hami(words, pod.spec.node_name or "", skeleton(pod).shape)]


def _holder(pod: wire.Pod, *, by: By = "annotation", difference: str = "") -> Holder:
    words = pod.metadata.annotations or {}
    share = next((words[key] for key in (FRACTION, KAI_FRACTION, MEMORY) if key in words), "")
    if not share and KAI_MEMORY in words:
        share = f"{words[KAI_MEMORY]}Mi"
    name = f"{pod.metadata.namespace}/{pod.metadata.name}"
    return Holder(pod=name, share=share, by=by, difference=difference)


def _row(
    node: NodeInventory, told: Inventory | Rejected, pods: Pods, claims: DeviceClaims, now_s: float
) -> NodeRow:
    is_fresh = node.state == "Ready" and node.is_fresh(now_s)
    holders = pods.on(node, claims)
    devices = [row for device in node.devices for row in _devices(device, holders, is_fresh=is_fresh)]
    return NodeRow(
        node=node.node,
        state=node.state,
        probed=written(node.probed_s) or "",
        is_fresh=is_fresh,
        message=node.message,
        driver=node.driver,
        picture="".join(SIGNS[device.use] for device in devices),
        devices=devices,
        unnamed=[*_unnamed_claims(told, claims), *pods.unnamed(node.node, holders)],
    )


def _unnamed_claims(told: Inventory | Rejected, claims: DeviceClaims) -> Iterable[Unnamed]:
    if isinstance(told, Inventory):
        for claim, count in claims.unnamed(told):
            yield Unnamed(holder="/".join(claim.key), by="claim", devices=count)


def _devices(
    device: DeviceState, holders: Mapping[str, list[Holder]], *, is_fresh: bool
) -> Iterable[DeviceRow]:
    """The device, and its MIG instances after it."""
    held = holders.get(device.uuid, [])
    row = DeviceRow(
        uuid=device.uuid,
        model=device.model,
        memory_mib=device.memory_bytes >> 20,
        use="mig" if device.is_mig and device.health != "Fatal" else _use(device, held, is_fresh=is_fresh),
        health=device.health,
        reason=device.reason,
        clear=device.clear,
        foreign_processes=device.foreign_processes,
        island=device.island,
        holders=held,
    )
    yield row
    for instance in device.instances:
        mine = holders.get(instance.uuid, [])
        use: Use = "whole" if mine else "free" if instance.is_usable else "sick"
        yield msgspec.structs.replace(
            row,
            uuid=instance.uuid,
            model=f"{device.model} MIG {instance.profile}",
            memory_mib=instance.memory_bytes >> 20,
            use="old" if use == "free" and not is_fresh else use,
            island="",
            holders=mine,
        )


def _use(device: DeviceState, held: list[Holder], *, is_fresh: bool) -> Use:
    if device.health == "Unknown":
        return "unknown"
    if device.health not in ("Healthy", "Noted"):
        return "sick"
    if device.foreign_processes:
        return "foreign"
    if held:
        return "shared" if any(holder.share for holder in held) else "whole"
    return "free" if is_fresh else "old"


def _show_nodes(rows: list[NodeRow]) -> None:
    now_s = time.time()
    counted: tuple[Use, ...] = ("free", "shared", "whole", "sick", "unknown", "foreign")
    columns = ["node", "state", "model", "devices", *counted, "unnamed", "probed"]
    told = []
    for row in rows:
        uses = [device.use for device in row.devices]
        models = {device.model for device in row.devices if " MIG " not in device.model}
        counts = [str(uses.count(use)) for use in counted]
        model = models.pop() if len(models) == 1 else "mixed" if models else ""
        unnamed = str(sum(one.devices for one in row.unnamed))
        told.append([row.node, row.state, model, row.picture, *counts, unnamed, age(row.probed, now_s)])
    table(columns, told)
    if rows:
        print("  ".join(f"{sign} {use}" for use, sign in SIGNS.items()))


def _show_devices(row: NodeRow) -> None:
    columns = ["device", "model", "memory", "use", "health", "island", "held by", "reason"]
    told = [
        [
            device.uuid,
            device.model,
            f"{device.memory_mib}Mi",
            device.use,
            device.health,
            device.island,
            ", ".join(map(_said, device.holders)),
            "; ".join(filter(None, (device.reason, device.clear))),
        ]
        for device in row.devices
    ]
    table(columns, told)
    if row.unnamed:
        print("nobody says which devices these hold, so that none is given by name here meanwhile:")
    for one in row.unnamed:
        print(f"  {one.holder} by {one.by}: {one.devices} {one.resource or 'devices'}")


def _said(holder: Holder) -> str:
    """The pod, its share, and by what it is known to hold the device where that is not its annotation."""
    share = f" ({holder.share})" if holder.share else ""
    by = "" if holder.by == "annotation" else f" by {holder.by}"
    difference = f", {holder.difference}" if holder.difference else ""
    return f"{holder.pod}{share}{by}{difference}"

"""``stowplan gpus``: each node's devices as their agents tell, and which pods hold them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final, Literal

import msgspec

from scheduler.cli.cluster import list_all
from scheduler.cli.connection import ask
from scheduler.cli.failure import Failure
from scheduler.cli.gangs import age
from scheduler.cli.output import Output, emit, table
from scheduler.inventory.parse import DeviceState, NodeInventory, Refused, parse
from scheduler.inventory.times import written
from scheduler.kube import wire
from scheduler.kube.transport import NotFound, Transport
from scheduler.kube.wire.inventory import GPUNode
from scheduler.model.devices import DEVICES
from scheduler.parse.devices import FRACTION, KAI_FRACTION, KAI_MEMORY, MEMORY

PATH: Final = "/apis/stowplan.dev/v1alpha1/gpunodes"
Use = Literal["free", "shared", "whole", "sick", "foreign", "old", "mig"]
#: One sign for each device in the table's picture.
SIGNS: Final[Mapping[Use, str]] = {
    "free": ".",
    "shared": "o",
    "whole": "#",
    "sick": "x",
    "foreign": "!",
    "old": "?",
    "mig": "m",
}


class Holder(msgspec.Struct, frozen=True, kw_only=True):
    """``share`` as the pod's annotation says it; empty for a whole device."""

    pod: str
    share: str = ""


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
    node: str
    state: str
    probed: str
    is_fresh: bool
    message: str
    driver: str
    picture: str
    devices: list[DeviceRow]


def show(kubeconfig: Path | None, context: str | None, *, node: str | None, output: Output) -> None:
    rows = ask(kubeconfig, context, lambda transport: read(transport, time.time()))
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
    try:
        found, pods = await asyncio.gather(
            list_all(transport, PATH, GPUNode),
            list_all(transport, "/api/v1/pods", wire.Pod, {"fieldSelector": "spec.nodeName!="}),
        )
    except NotFound as error:
        raise Failure("the cluster has no GPUNode resource; apply deploy/crds/gpunodes.yaml") from error
    holders = _holders(pods)
    parsed = (parse(one) for one in sorted(found, key=lambda one: one.metadata.name))
    return [_row(one, holders, now_s) for one in parsed if not isinstance(one, Refused)]


def _holders(pods: Iterable[wire.Pod]) -> dict[str, list[Holder]]:
    """By device UUID, the unfinished pods whose Binding names it."""
    found: dict[str, list[Holder]] = {}
    for pod in pods:
        words = pod.metadata.annotations or {}
        if pod.status.phase in ("Succeeded", "Failed"):
            continue
        share = next((words[key] for key in (FRACTION, KAI_FRACTION, MEMORY) if key in words), "")
        if not share and KAI_MEMORY in words:
            share = f"{words[KAI_MEMORY]}Mi"
        holder = Holder(pod=f"{pod.metadata.namespace}/{pod.metadata.name}", share=share)
        for uuid in filter(None, words.get(DEVICES, "").split(",")):
            found.setdefault(uuid, []).append(holder)
    return found


def _row(node: NodeInventory, holders: Mapping[str, list[Holder]], now_s: float) -> NodeRow:
    is_fresh = node.state == "Ready" and node.is_fresh(now_s)
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
    )


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
    if device.health not in ("Healthy", "Noted"):
        return "sick"
    if device.foreign_processes:
        return "foreign"
    if held:
        return "shared" if any(holder.share for holder in held) else "whole"
    return "free" if is_fresh else "old"


def _show_nodes(rows: list[NodeRow]) -> None:
    now_s = time.time()
    columns = ["node", "state", "model", "devices", "free", "shared", "whole", "sick", "foreign", "probed"]
    told = []
    for row in rows:
        uses = [device.use for device in row.devices]
        models = {device.model for device in row.devices if " MIG " not in device.model}
        counts = [str(uses.count(use)) for use in ("free", "shared", "whole", "sick", "foreign")]
        model = models.pop() if len(models) == 1 else "mixed" if models else ""
        told.append([row.node, row.state, model, row.picture, *counts, age(row.probed, now_s)])
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
            ", ".join(f"{h.pod}{f' ({h.share})' if h.share else ''}" for h in device.holders),
            "; ".join(filter(None, (device.reason, device.clear))),
        ]
        for device in row.devices
    ]
    table(columns, told)

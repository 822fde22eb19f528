"""What pods ask of devices in annotations, and GPUNodes as inventories. Total, as all of this package."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation

from scheduler.inventory.parse import DeviceState, NodeInventory, Refused, parse
from scheduler.kube.wire.inventory import GPUHolder, GPUNode
from scheduler.model.devices import WHOLE_GPU, DeviceAsk, Holder, Inventory, Slot
from scheduler.model.gpu_resources import is_gpu, mig_resource
from scheduler.model.objects import Rejected
from scheduler.parse.quantity import parse_quantity
from scheduler.parse.refusal import Refusal, shown
from scheduler.parse.requests import DEVICES as WHOLE_DEVICES
from scheduler.parse.requests import Requests

FRACTION = "stowplan.dev/gpu-fraction"
MEMORY = "stowplan.dev/gpu-memory"
NVLINK = "stowplan.dev/nvlink"
#: KAI's own keys; its memory counts MiB.
KAI_FRACTION = "gpu-fraction"
KAI_MEMORY = "gpu-memory"
KAI_DEVICES = "gpu-fraction-num-devices"
KEYS = (FRACTION, MEMORY, NVLINK, KAI_FRACTION, KAI_MEMORY, KAI_DEVICES)
MILLI = 1000
MIB = 1 << 20
_LENGTH_MAX = 64

Words = tuple[tuple[str, str], ...]


def device_words(annotations: Mapping[str, str] | None) -> Words:
    """Those annotations that ask something of devices; empty for nearly every pod."""
    if not annotations:
        return ()
    return tuple((key, annotations[key]) for key in KEYS if key in annotations)


def parse_ask(words: Words, requests: Requests) -> DeviceAsk | None:
    """What they ask, beside the requests. Raises Refusal."""
    if not words:
        return None
    said = dict(words)
    milli = _fraction(said)
    memory = _memory(said)
    if said.get(KAI_DEVICES, "1") != "1":
        raise Refusal(_field(KAI_DEVICES), "a share of several devices is not supported: ask for one")
    if milli and memory:
        raise Refusal(_field(MEMORY), f"is given beside {FRACTION}: use one of them")
    asked = dict(requests)
    if milli or memory:
        for name in asked:
            if name in WHOLE_DEVICES or is_gpu(name):
                problem = f"is given beside a request of {name}: remove that from resources.limits"
                raise Refusal(_field(FRACTION if milli else MEMORY), problem)
    nvlink = said.get(NVLINK, "")
    if nvlink not in ("", "required", "preferred"):
        raise Refusal(_field(NVLINK), f"{shown(nvlink)} is unknown: use required or preferred")
    if nvlink == "required" and WHOLE_GPU not in asked:
        raise Refusal(_field(NVLINK), f"needs whole devices: request {WHOLE_GPU}")
    word = "required" if nvlink == "required" else "preferred" if nvlink else ""
    return DeviceAsk(milli=milli, memory_bytes=memory, nvlink=word)  # type: ignore[arg-type] # one of the three


def _fraction(said: Mapping[str, str]) -> int:
    key = FRACTION if FRACTION in said else KAI_FRACTION
    text = said.get(key)
    if text is None:
        return 0
    try:
        # Bounded before it is read: an exponent of many digits would be costly.
        value = Decimal(text) if len(text) <= 16 else Decimal("NaN")
    except InvalidOperation:
        value = Decimal("NaN")
    if not value.is_finite() or not 0 < value < 1:
        remedy = f"use more than 0 and less than 1, or request {WHOLE_GPU} for a whole device"
        raise Refusal(_field(key), f"{shown(text)} is no fraction: {remedy}")
    if value.as_tuple().exponent < -16 or (value * MILLI) % 1:  # type: ignore[operator] # finite: an int
        raise Refusal(_field(key), f"{shown(text)} is finer than a thousandth: round it")
    return int(value * MILLI)


def _memory(said: Mapping[str, str]) -> int:
    key = MEMORY if MEMORY in said else KAI_MEMORY
    text = said.get(key)
    if text is None:
        return 0
    found = parse_quantity(text, scale="whole")
    if isinstance(found, Rejected) or found == 0:
        raise Refusal(_field(key), f"{shown(text)} is no amount of memory: use such as 20Gi")
    return found if key == MEMORY else found * MIB


def _field(key: str) -> str:
    return f"metadata.annotations[{key}]"


def parse_inventory(found: GPUNode) -> Inventory | Rejected:
    """A GPUNode for the planner; one that no agent could have written is refused."""
    node = parse(found)
    if isinstance(node, Refused):
        return Rejected(reason=node.reason)
    # One that could not be asked yet says nothing of what the others are.
    models = {device.model for device in node.devices if device.model}
    memories = {device.memory_bytes // MIB for device in node.devices if device.memory_bytes}
    cliques = {device.clique for device in node.devices}
    return Inventory(
        node=node.node,
        is_ready=node.state == "Ready",
        probed_s=node.probed_s,
        slots=tuple(slot for device in node.devices for slot in _slots(node, device)),
        model=models.pop() if len(models) == 1 else "",
        memory_mib=memories.pop() if len(memories) == 1 else 0,
        clique=cliques.pop() if len(cliques) == 1 else "",
        message=node.message or node.state,
        offences_s=tuple(sorted(at_s for device in node.devices for at_s in device.offences_s)),
    )


def _holders(found: tuple[GPUHolder, ...]) -> tuple[Holder, ...]:
    return tuple(Holder(namespace=one.namespace, name=one.name, uid=one.uid) for one in found)


def _slots(node: NodeInventory, device: DeviceState) -> list[Slot]:
    """A whole device, or its MIG instances, which the plugin counts under their profiles' names."""
    if not device.is_mig:
        return [
            Slot(
                uuid=device.uuid,
                resource=WHOLE_GPU,
                memory_bytes=device.memory_bytes,
                is_usable=device.is_usable,
                island=device.island,
                fatal_s=device.fatal_s,
                reason=device.reason,
                holders=_holders(device.holders),
            )
        ]
    return [
        Slot(
            uuid=instance.uuid,
            resource=mig_resource(instance.profile),
            memory_bytes=instance.memory_bytes,
            is_usable=instance.is_usable,
            fatal_s=device.fatal_s,
            reason=device.reason,
            holders=_holders(instance.holders),
        )
        for instance in device.instances
        if instance.uuid
    ]

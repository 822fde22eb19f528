"""A kubelet's own count of shared devices: who holds which, in exact fractions, apart from the scheduler's.

Whoever names devices in its annotation holds them: a fraction or an amount of memory of one, or as many as it
requests, whole. A slip of the scheduler shows here as a rejected pod. Told to, the device plugin chooses
whole devices for itself, as NVIDIA's does.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Final

from deploy.local.nodes.admission import BadQuantity, Denied, amount, pod_requests
from deploy.local.nodes.wire import NodePod

WHOLE: Final = "nvidia.com/gpu"
DEVICES: Final = "stowplan.dev/devices"
FRACTION: Final = ("stowplan.dev/gpu-fraction", "gpu-fraction")
MEMORY: Final = "stowplan.dev/gpu-memory"
#: KAI's key counts MiB.
MEMORY_MIB: Final = "gpu-memory"
_REASON: Final = "UnexpectedAdmissionError"


@dataclass(frozen=True, slots=True)
class Held:
    """One pod's part of one device: of its compute and memory, or of its memory alone."""

    share: Fraction
    is_whole: bool


@dataclass(frozen=True, slots=True)
class Given:
    """What the device plugin gave to a pod."""

    namespace: str
    name: str
    resource: str
    devices: tuple[str, ...]


@dataclass(slots=True)
class DeviceLedger:
    """Per node: device UUID -> pod UID -> what it holds; and what the plugin gave, by pod UID."""

    _held: dict[str, dict[str, dict[str, Held]]] = field(default_factory=dict)
    _given: dict[str, dict[str, Given]] = field(default_factory=dict)

    def admit(
        self, pod: NodePod, memory: Mapping[str, int], *, plugin_chooses: bool = False
    ) -> Denied | None:
        """Take what the pod names, or say why not. memory: bytes of each device that the node has."""
        try:
            wanted = _wanted(pod, memory)
            if plugin_chooses and _part(pod) is None:
                wanted = self._chosen(pod, memory, set(wanted))
        except BadQuantity as error:
            return Denied(reason=_REASON, message=f"Pod was rejected: {error}")
        devices = self._held.setdefault(pod.spec.node_name, {})
        for uuid, part in wanted.items():
            others = [held for uid, held in devices.get(uuid, {}).items() if uid != pod.uid]
            if others and (part.is_whole or any(other.is_whole for other in others)):
                return Denied(reason=_REASON, message=f"Pod was rejected: device {uuid} is in use")
            if part.share + sum(other.share for other in others) > 1:
                return Denied(reason=_REASON, message=f"Pod was rejected: device {uuid} would be above 1.0")
        for uuid, part in wanted.items():
            devices.setdefault(uuid, {})[pod.uid] = part
        whole = tuple(uuid for uuid, part in wanted.items() if part.is_whole)
        if whole:
            given = Given(pod.metadata.namespace, pod.metadata.name, WHOLE, whole)
            self._given.setdefault(pod.spec.node_name, {})[pod.uid] = given
        return None

    def given(self, node: str) -> tuple[Given, ...]:
        """What the node's plugin gave to pods that are there."""
        return tuple(self._given.get(node, {}).values())

    def _chosen(self, pod: NodePod, memory: Mapping[str, int], named: Set[str]) -> dict[str, Held]:
        """The plugin's own choice: of the free devices, those last that the pod names."""
        count = pod_requests(pod).get(WHOLE, 0)
        held = self._held.get(pod.spec.node_name, {})
        free = [uuid for uuid in memory if uuid.startswith("GPU-") and not held.get(uuid)]
        chosen = sorted(free, key=lambda uuid: uuid in named)[:count]
        return {uuid: Held(Fraction(1), is_whole=True) for uuid in chosen}

    def release(self, node: str, uid: str) -> None:
        """Give back what the pod held, if it held anything."""
        self._given.get(node, {}).pop(uid, None)
        devices = self._held.get(node, {})
        for uuid in [uuid for uuid, pods in devices.items() if uid in pods]:
            del devices[uuid][uid]
            if not devices[uuid]:
                del devices[uuid]

    def used(self, node: str) -> Mapping[str, Fraction]:
        """How much of each device in use is given out."""
        devices = self._held.get(node, {})
        return {
            uuid: sum((held.share for held in pods.values()), Fraction()) for uuid, pods in devices.items()
        }


def _wanted(pod: NodePod, memory: Mapping[str, int]) -> dict[str, Held]:
    """By device. Raises: BadQuantity for what cannot be meant, or is not on the node."""
    named = [uuid for uuid in pod.annotations.get(DEVICES, "").split(",") if uuid]
    part = _part(pod)
    if part is not None and len(named) != 1:
        raise BadQuantity(f"{DEVICES} must name the one device that the pod shares")
    wanted: dict[str, Held] = {}
    for uuid in named:
        if uuid not in memory:
            raise BadQuantity(f"{DEVICES}: no device {uuid[:64]} on this node")
        if part is None:
            wanted[uuid] = Held(Fraction(1), is_whole=True)
        elif isinstance(part, Fraction):
            wanted[uuid] = Held(part, is_whole=False)
        elif memory[uuid] <= 0:
            raise BadQuantity(f"{DEVICES}: the memory of {uuid[:64]} is not known")
        else:
            wanted[uuid] = Held(Fraction(part, memory[uuid]), is_whole=False)
    return wanted


def _part(pod: NodePod) -> Fraction | int | None:
    """A fraction, bytes, or None for a pod that asks for whole devices."""
    for key in FRACTION:
        if key in pod.annotations:
            try:
                share = Fraction(pod.annotations[key])
            except (ValueError, ZeroDivisionError) as error:
                raise BadQuantity(f"{key}: {pod.annotations[key][:32]!r} is not a number") from error
            if not 0 < share < 1:
                raise BadQuantity(f"{key}: {pod.annotations[key][:32]!r} is not between 0 and 1")
            return share
    if MEMORY in pod.annotations:
        return amount(pod.annotations[MEMORY], "memory")
    if MEMORY_MIB in pod.annotations:
        return amount(pod.annotations[MEMORY_MIB], "memory") << 20
    return None

"""INV1 device by device, and INV8: no device above 1.0 or its memory, none given that is not well."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from fractions import Fraction

from scheduler.invariants.capacity import VIEW_S
from scheduler.invariants.history import GPUNodeVersion, History, PodVersion, Violation
from scheduler.invariants.world import World, replay


def no_device_overcommit(history: History) -> list[Violation]:
    """INV1. At every bind of ours: who names a device holds it whole or shares it, up to 1.0 and its memory.

    Only what pods name is judged; pods count until they are gone or finished.
    """
    return [
        Violation("INV1", change.entry.revision, text)
        for world, change in replay(history)
        if change.pod is not None and change.is_bind and change.pod.devices
        for text in _overfull(world, change.pod)
    ]


def no_sick_device(history: History, *, view_s: float = VIEW_S) -> list[Violation]:
    """INV8. No bind of ours names a device that was out, or on no node, for ``view_s`` before."""
    out_s: dict[tuple[str, str], float] = {}
    found: list[Violation] = []
    for _, change in replay(history):
        now_s, version = change.entry.at_s, change.entry.version
        if isinstance(version, GPUNodeVersion):
            for uuid in version.memory:
                key = (version.name, uuid)
                if uuid in version.usable:
                    out_s.pop(key, None)
                else:
                    out_s.setdefault(key, now_s)
        pod = change.pod
        if pod is None or not change.is_bind or pod.scheduler != history.ours:
            continue
        for uuid in pod.devices:
            if now_s - out_s.get((pod.node, uuid), now_s) > view_s:
                text = f"{pod.title} bound to device {uuid} of node {pod.node}, which was out"
                found.append(Violation("INV8", change.entry.revision, text))
    return found


def _overfull(world: World, bound: PodVersion) -> Iterator[str]:
    memory = world.gpu_nodes[bound.node].memory if bound.node in world.gpu_nodes else {}
    holders: defaultdict[str, list[PodVersion]] = defaultdict(list)
    for pod in world.on_node(bound.node):
        if pod.is_live:
            for uuid in pod.devices:
                holders[uuid].append(pod)
    for uuid in bound.devices:
        pods = holders[uuid]
        whole = sum(pod.share is None for pod in pods)
        total = sum((part(pod, memory.get(uuid, 0)) for pod in pods), Fraction())
        if (whole and len(pods) > 1) or total > 1:
            text = f"device {uuid} of node {bound.node} holds {float(total):.3f} by {len(pods)} pods"
            yield f"{bound.title}: {text}, {whole} of them whole"


def part(pod: PodVersion, memory: int) -> Fraction:
    """How much of a device the pod holds: all of it, a fraction, or its bytes of the device's memory."""
    if pod.share is None:
        return Fraction(1)
    if isinstance(pod.share, Fraction):
        return pod.share
    return Fraction(pod.share, memory) if memory else Fraction()

"""What must be true when a storm is over and everything has come to rest, beside the auditor's invariants."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping

from scheduler.invariants import History, PodVersion, World, replay, unfinished
from simulations.faults.process import Replica
from simulations.faults.server import GPU_NODES, PODS, Server
from simulations.faults.users import GPU, OURS, free

_UNIT = 1000


def is_settled(world: World, history: Callable[[], History]) -> bool:
    """Nobody leaves, all that is bound has started, no gang is half bound, who waits was told why."""
    pods = [pod for pod in world.pods.values() if pod.scheduler == OURS]
    return not any(
        pod.is_deleting
        or (pod.waits and (pod.told is None or pod.told[0] != "False"))
        or (pod.node and pod.phase == "Pending")
        for pod in pods
    ) and not unfinished(history())


def unplaced(server: Server, world: World) -> list[str]:
    """INV12: gangs that wait although as many of their pods as are missing would fit.

    Pods of one job are equal, so they fit where the nodes have room for so many of them in all. Only where no
    team has a limit.
    """
    room = _room(server, world)
    waiting: dict[object, list[PodVersion]] = {}
    for pod in world.pods.values():
        if pod.scheduler == OURS and pod.waits:
            waiting.setdefault(pod.gang or pod.uid, []).append(pod)
    found: list[str] = []
    for pods in waiting.values():
        gang = pods[0].gang
        need = 1 if gang is None else max(1, world.missing(gang, lambda pod: pod.stands) or 0)
        gpus = pods[0].requests.get(GPU, 0) // _UNIT
        if len(pods) >= need and sum(left // gpus for left in room.values() if left > 0) >= need:
            found.append(f"INV12: {gang or pods[0].title} waits, and {need} of its pods would fit")
    return found


def misremembered(server: Server, world: World, leaders: Iterable[Replica]) -> list[str]:
    """INV4: what the leader charges is what the API server says is bound. No claim or Gang object is left."""
    bound: dict[str, str] = {}
    for stored in server.store.at(PODS).objects.values():
        pod = stored.read()
        if pod["spec"].get("nodeName") and pod["status"]["phase"] not in ("Succeeded", "Failed"):
            bound[stored.uid] = pod["spec"]["nodeName"]
    found: list[str] = []
    for replica in leaders:
        if replica.scheduler is not None:
            charged = {pod.uid: node for pod, node in replica.scheduler.state.charged()}
            found += [f"INV4: {replica.name} {line}" for line in _differences(charged, bound)]
    for ref in sorted(world.gangs):
        if world.gangs[ref].phase in ("Binding", "Unwinding"):
            found.append(f"INV4: the Gang object of {ref} still says {world.gangs[ref].phase}")
        if ref not in set(world.refs()):
            found.append(f"INV16: the Gang object of {ref} is left, and no pod of it")
    return found


def over_limit(history: History, limits: Mapping[str, int]) -> list[str]:
    """INV7: no bind of ours takes a team above its limit."""
    found: list[str] = []
    if not limits:
        return found
    for world, change in replay(history):
        pod = change.pod
        if pod is None or not change.is_bind or pod.scheduler != OURS or pod.namespace not in limits:
            continue
        held = sum(
            other.requests.get(GPU, 0)
            for other in world.pods.values()
            if other.namespace == pod.namespace and other.scheduler == OURS and other.holds
        )
        if held > limits[pod.namespace] * _UNIT:
            text = f"team {pod.namespace} holds {held // _UNIT} of at most {limits[pod.namespace]} GPUs"
            found.append(f"INV7 at revision {change.entry.revision}: {pod.title} was bound, and {text}")
    return found


def _room(server: Server, world: World) -> dict[str, int]:
    """Devices of each node that a pod may be given now: free, and well where an agent tells of them."""
    room = free(server)
    for (_, name), stored in server.store.at(GPU_NODES).objects.items():
        if name not in room:
            continue
        well = {
            device["uuid"] for device in stored.read()["status"]["devices"] if device["state"] == "Healthy"
        }
        live = [pod for pod in world.on_node(name) if pod.is_live]
        unnamed = sum(pod.requests.get(GPU, 0) // _UNIT for pod in live if not pod.devices)
        named = Counter(uuid for pod in live for uuid in pod.devices)
        room[name] = min(room[name], len(well - set(named)) - unnamed)
    return room


def _differences(charged: Mapping[str, str], bound: Mapping[str, str]) -> Iterator[str]:
    for uid in sorted({*charged, *bound}):
        if charged.get(uid) != bound.get(uid):
            yield f"charges {uid} to {charged.get(uid, 'no node')}; it is on {bound.get(uid, 'no node')}"

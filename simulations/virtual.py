"""The virtual cluster: pods and nodes as an API server, job controllers and kubelets would hold them.

It answers the gang machine's instructions by the table in ``scheduler.gangs.events``: 201, 404, 409.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from types import MappingProxyType

from msgspec import structs

from scheduler.gangs import events
from scheduler.gangs.attempt import Attempt
from scheduler.gangs.words import GANG, MIN_MEMBER, TOPOLOGY_REQUIRED
from scheduler.model.devices import DEVICES, DeviceAsk
from scheduler.model.gang import GangKey
from scheduler.model.objects import CPU, GPU, MEMORY, PODS, Pod, Shape
from scheduler.model.selection import NodeTerm, Requirement
from scheduler.service import ATTAINED, ESTIMATE
from simulations.nodes import MODEL_LABEL
from simulations.workload import MILLI, Job

SCHEDULER_NAME = "stowplan"
_Words = tuple[tuple[str, str], ...]


class VirtualCluster:
    """Objects by UID. Every change gives a pod a new resourceVersion."""

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        #: Gang -> (epoch, placement) as last claimed.
        self.claims: dict[GangKey, tuple[int, dict[str, str]]] = {}
        self._version = 0
        self._shapes: dict[tuple[object, ...], Shape] = {}

    def create(self, job: Job, index: int, life: int, attained_s: float) -> list[Pod]:
        """The pods of a job as its controller creates them, for the ``life``-th time."""
        words = _words(job, index, attained_s)
        pods = [
            self._pod(job, self._shape(job, rank), words, f"{_gang(index)}-{life}-{rank}", rank)
            for rank in range(job.pods)
        ]
        for pod in pods:
            self.pods[pod.uid] = pod
        return pods

    def delete(self, uid: str) -> None:
        self.pods.pop(uid, None)

    def answer(
        self,
        attempt: Attempt,
        instruction: events.Instruction,
        at_s: float,
        *,
        devices: Mapping[str, tuple[str, ...]] = MappingProxyType({}),
    ) -> events.Event | None:
        """Carry out one instruction and give its event; None for what is no request.

        devices: UUIDs that the Bindings name, by the UID of the pod.
        """
        match instruction:
            case events.BindPod(uid=uid, node=node):
                return self._bind(uid, node, at_s, devices.get(uid, ()))
            case events.ReadPod(uid=uid):
                return self._read(uid, at_s)
            case events.EvictPod(uid=uid):
                return self.evict(uid, at_s)
            case events.WriteClaim():
                self.claims[attempt.key] = (attempt.epoch, dict(attempt.placement))
                return events.ClaimAcked(at_s=at_s)
            case events.ReadClaim():
                is_ours = self.claims.get(attempt.key) == (attempt.epoch, dict(attempt.placement))
                return events.ClaimRead(at_s=at_s, is_ours=is_ours)
            case events.WriteStatus():
                self.claims.pop(attempt.key, None)
                return events.StatusAcked(at_s=at_s)
            case _:
                return None

    def again(self, pod: Pod) -> Pod:
        """A pod of the same job in the place of one that is gone."""
        version = self._next()
        fresh = structs.replace(
            pod,
            uid=f"{pod.uid}.{version}",
            resource_version=version,
            node_name="",
            nominated_node="",
            is_deleting=False,
            started_s=None,
        )
        self.pods[fresh.uid] = fresh
        return fresh

    def leave(self, uid: str) -> Pod | None:
        """The Eviction API on a pod that takes a while to end; None where it is gone already."""
        pod = self.pods.get(uid)
        if pod is not None:
            pod = self.pods[uid] = structs.replace(pod, is_deleting=True, resource_version=self._next())
        return pod

    def evict(self, uid: str, at_s: float) -> events.Event:
        """The Eviction API on a pod that leaves at once; or the end of one that took a while."""
        if self.pods.pop(uid, None) is None:
            return events.EvictGone(at_s=at_s, uid=uid)
        return events.EvictAcked(at_s=at_s, uid=uid)

    def _bind(self, uid: str, node: str, at_s: float, devices: Sequence[str]) -> events.Event:
        pod = self.pods.get(uid)
        if pod is None:
            return events.BindRefused(at_s=at_s, uid=uid, reason="404 NotFound", is_permanent=True)
        if pod.node_name:
            return events.BindConflict(at_s=at_s, uid=uid)
        bound = structs.replace(pod, node_name=node, resource_version=self._next(), started_s=at_s)
        if devices:
            # As the API server copies a Binding's annotations to the pod.
            words = {**dict(pod.annotations), DEVICES: ",".join(devices)}
            bound = structs.replace(bound, annotations=tuple(sorted(words.items())))
        self.pods[uid] = bound
        return events.BindAcked(at_s=at_s, uid=uid)

    def _read(self, uid: str, at_s: float) -> events.Event:
        pod = self.pods.get(uid)
        if pod is None:
            return events.PodRead(at_s=at_s, uid=uid, is_gone=True)
        return events.PodRead(at_s=at_s, uid=uid, node=pod.node_name, resource_version=pod.resource_version)

    def _next(self) -> str:
        self._version += 1
        return str(self._version)

    def _shape(self, job: Job, rank: int) -> Shape:
        """Equal requests are one object, as the parser makes them."""
        gpus = job.gpus_of(rank)
        key = (gpus, job.share_milli, job.cpu_milli, job.memory_mib, job.models)
        known = self._shapes.get(key)
        if known is None:
            asked = {CPU: job.cpu_milli, MEMORY: job.memory_mib << 20, GPU: gpus, PODS: 1}
            terms: tuple[NodeTerm, ...] | None = None
            if job.models:
                wanted = Requirement(key=MODEL_LABEL, operator="In", values=job.models)
                terms = (NodeTerm(expressions=(wanted,)),)
            ask = DeviceAsk(milli=job.share_milli) if job.share_milli else None
            requests = tuple(sorted((name, amount) for name, amount in asked.items() if amount))
            known = self._shapes[key] = Shape(requests=requests, node_terms=terms, ask=ask)
        return known

    def _pod(self, job: Job, shape: Shape, words: _Words, uid: str, rank: int) -> Pod:
        return Pod(
            uid=uid,
            namespace=job.team,
            name=f"{uid[: uid.rindex('-')]}-{rank}",
            resource_version=self._next(),
            shape=shape,
            labels=(),
            annotations=words,
            owner=None,
            scheduler_name=SCHEDULER_NAME,
            priority=job.priority,
            can_preempt=True,
            phase="Pending",
            node_name="",
            nominated_node="",
            pod_group="",
            is_deleting=False,
            gates=(),
            created_s=job.submit_s,
        )


@lru_cache(maxsize=1_024)
def milli_of(shape: Shape) -> int:
    """Thousandths of a GPU that one pod holds; a share by memory counts as nothing."""
    share = 0 if shape.ask is None else shape.ask.milli
    return MILLI * dict(shape.requests).get(GPU, 0) + share


def _gang(index: int) -> str:
    """A job's gang: names, which decide where all else is equal, are in the order of the jobs."""
    digits = str(index)
    return f"j{chr(ord('a') + len(digits) - 1)}{digits}"


def _words(job: Job, index: int, attained_s: float) -> _Words:
    """The annotations of the job's pods; a single pod is no gang."""
    words: list[tuple[str, str]] = []
    if job.estimate_s is not None:
        words.append((ESTIMATE, f"{job.estimate_s:.3f}"))
    if attained_s:
        words.append((ATTAINED, f"{attained_s:.3f}"))
    if job.pods > 1 or job.topology:
        words += [(GANG, _gang(index)), (MIN_MEMBER, str(job.min_pods))]
    if job.topology:
        words.append((TOPOLOGY_REQUIRED, job.topology))
    return tuple(sorted(words))

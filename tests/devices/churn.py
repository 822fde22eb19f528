"""A cluster of devices without an API server: pods come, are planned, are bound, and leave."""

from __future__ import annotations

from fractions import Fraction
from random import Random

import msgspec

from deploy.local.audit.facts import pod_fact
from deploy.local.nodes.devices import DeviceLedger
from deploy.local.nodes.wire import NodePod
from scheduler.invariants import (
    Entry,
    GPUNodeVersion,
    History,
    PodVersion,
    no_device_overcommit,
)
from scheduler.invariants.history import Kind, Version
from scheduler.kube import wire
from scheduler.model.devices import DEVICES, WHOLE_GPU, Inventory, Slot
from scheduler.model.objects import Node, Rejected
from scheduler.model.plan import Assignment, Budget, Policy
from scheduler.parse.pod import parse_pod
from scheduler.planner import plan
from scheduler.state import ClusterState

NODES = 6
GPUS = 4
GIB = 2**30
NOW_S = 1_000_000.0
#: Sizes that do not divide a power of two, on purpose.
MEMORY = (81_559 << 20, 24 * GIB, 40_003 << 20)
BUDGET = Budget(per_gang=0.0, total=0.0)


class Churn:
    """``story``: every placement. ``rejected``: what a node would not take."""

    def __init__(self, seed: int) -> None:
        self.state = ClusterState("stowplan")
        self.state.at(NOW_S)
        self.rejected: list[str] = []
        self.story: list[tuple[str, str, tuple[str, ...]]] = []
        self.placed = 0
        self._chance = Random(seed)
        self._ledger = DeviceLedger()
        self._memory: dict[str, dict[str, int]] = {}
        #: By UID what the pod asked, and by UID its node.
        self._waiting: dict[str, tuple[dict[str, str], int]] = {}
        self._running: dict[str, str] = {}
        self._entries: list[Entry] = []
        self._made = 0
        self._fullest = Fraction()
        for number in range(NODES):
            self._add_node(f"n{number}", MEMORY[number % len(MEMORY)])

    def arrive(self, count: int) -> int:
        """Pods of every kind come; how many."""
        for _ in range(count):
            self._made += 1
            uid = f"u{self._made}"
            self._waiting[uid] = self._wish()
            self._see(_pod(uid, *self._waiting[uid]))
        return count

    def plan(self) -> None:
        """One cycle, carried out at once."""
        planned = plan(self.state.snapshot(), Policy(), BUDGET)
        for place in planned.places:
            assert self.state.objection(place) is None
            for assignment in place.assignments:
                self.state.assume(assignment)
                self._bind(assignment)
        self._fullest = max(self._fullest, self._used())

    def depart(self) -> None:
        """Some that run end, most of those that wait give up."""
        for uid in [uid for uid in self._running if self._chance.random() < 0.3]:
            self._ledger.release(self._running.pop(uid), uid)
            self.state.remove_pod(uid)
            self._write("Pod", uid, None)
        for uid in [uid for uid in self._waiting if self._chance.random() < 0.95]:
            self._waiting.pop(uid)
            self.state.remove_pod(uid)

    def violations(self) -> list[str]:
        return [str(found) for found in no_device_overcommit(History(self._entries, until_s=1e9))]

    def utilisation(self) -> float:
        """The most of all devices that was ever in use, by the nodes' own count."""
        return float(self._fullest / (NODES * GPUS))

    # -- inside ------------------------------------------------------------------------------

    def _wish(self) -> tuple[dict[str, str], int]:
        match self._chance.randrange(5):
            case 0:
                return {}, self._chance.randint(1, GPUS)
            case 1:
                return {"stowplan.dev/gpu-memory": f"{self._chance.randint(1, 60_000)}Mi"}, 0
            case 2:
                return {"gpu-memory": str(self._chance.randint(1, 30_000))}, 0
            case 3:
                return {"gpu-fraction": f"0.{self._chance.randint(1, 9)}"}, 0
            case _:
                return {"stowplan.dev/gpu-fraction": f"{self._chance.randint(1, 999) / 1000:.3f}"}, 0

    def _bind(self, assignment: Assignment) -> None:
        uid = assignment.pod.uid
        self.placed += 1
        self.story.append((uid, assignment.node, assignment.devices))
        asked, gpus = self._waiting.pop(uid)
        bound = _pod(uid, {**asked, DEVICES: ",".join(assignment.devices)}, gpus, node=assignment.node)
        self._running[uid] = assignment.node
        self._see(bound)
        told = msgspec.json.decode(bound, type=NodePod)
        denied = self._ledger.admit(told, self._memory[assignment.node])
        if denied is not None:
            self.rejected.append(f"{uid}: {denied.message}")

    def _see(self, pod: bytes) -> None:
        parsed = parse_pod(msgspec.json.decode(pod, type=wire.Pod))
        assert not isinstance(parsed, Rejected), parsed
        self.state.set_pod(parsed)
        fact = pod_fact(pod)[1]
        assert isinstance(fact, PodVersion)
        self._write("Pod", fact.uid, fact)

    def _used(self) -> Fraction:
        parts = (self._ledger.used(node).values() for node in self._memory)
        return sum((sum(part, Fraction()) for part in parts), Fraction())

    def _add_node(self, name: str, memory: int) -> None:
        uuids = [f"GPU-{name}-{i}" for i in range(GPUS)]
        self._memory[name] = dict.fromkeys(uuids, memory)
        amounts = {"cpu": 10**9, "memory": 2**40, "pods": 10_000, WHOLE_GPU: GPUS}
        self.state.set_node(
            Node(
                name=name,
                uid=name,
                resource_version="1",
                labels={},
                taints=(),
                is_unschedulable=False,
                allocatable=amounts,
            )
        )
        slots = tuple(
            Slot(uuid=uuid, resource=WHOLE_GPU, memory_bytes=memory, is_usable=True) for uuid in uuids
        )
        self.state.set_inventory(Inventory(node=name, is_ready=True, probed_s=NOW_S, slots=slots))
        told = GPUNodeVersion(name=name, memory=self._memory[name], usable=frozenset(uuids))
        self._write("GPUNode", name, told)

    def _write(self, kind: Kind, key: str, version: Version | None) -> None:
        number = len(self._entries) + 1
        self._entries.append(Entry(revision=number, at_s=float(number), kind=kind, key=key, version=version))


def _pod(uid: str, words: dict[str, str], gpus: int, node: str = "") -> bytes:
    """As the API server would send it; state, auditor and node each read it for themselves."""
    asked = {WHOLE_GPU: str(gpus)} if gpus else {}
    container = {"name": "main", "resources": {"requests": asked, "limits": asked}}
    when = "2026-01-01T00:00:00Z"
    metadata = {"name": uid, "namespace": "team", "uid": uid, "creationTimestamp": when, "annotations": words}
    spec = {"schedulerName": "stowplan", "nodeName": node, "containers": [container]}
    return msgspec.json.encode({"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}})

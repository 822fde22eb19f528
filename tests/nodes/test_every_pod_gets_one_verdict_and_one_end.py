"""The kubelets on random walks through bindings, deletions, relists, time and mischief.

The machine's writes land in a small store, and the store's events reach the kubelets late but in
order, as a watch delivers them.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from random import Random

import msgspec
import pytest

from deploy.local.nodes.admission import denial, pod_requests
from deploy.local.nodes.instructions import (
    Instruction,
    MarkFinished,
    MarkRunning,
    Reject,
    Remove,
    StartProcess,
    StopProcess,
)
from deploy.local.nodes.kubelet import EXIT_CODE, RUN_COMMAND, RUN_SECONDS, Kubelets
from deploy.local.nodes.mischief import ANNOTATION, EVERYWHERE, GOOD, Mischief
from deploy.local.nodes.wire import NodePod
from tests.nodes import manifests

NODES = tuple(manifests.node(f"node-{number}", pool=f"pool-{number}") for number in range(2))
SOMEBODY_ELSES = "somebody-elses"
STEPS = 250


class Walk:
    def __init__(self, seed: int) -> None:
        self.random = Random(seed)
        self.kubelets = Kubelets(NODES, {})
        self.mischief: dict[str, Mischief] = {}
        self.now_s = 1_000.0
        self.version = 0
        self.store: dict[str, NodePod] = {}
        self.events: deque[NodePod | str] = deque()
        self.processes: set[str] = set()
        self.stopping: set[str] = set()
        self.once: Counter[tuple[str, str]] = Counter()

    def step(self) -> None:
        moves = [self.bind, self.bind, self.delete, self.watch, self.watch, self.watch, self.relist]
        moves += [self.time_passes, self.time_passes, self.process_ends, self.somebody_ends, self.misbehave]
        self.random.choice(moves)()

    def bind(self) -> None:
        node = self.random.choice([*(node.name for node in NODES), SOMEBODY_ELSES])
        pod = manifests.pod(
            f"uid-{self.version}",
            node,
            {manifests.GPU: self.random.randrange(5), "cpu": f"{self.random.randrange(3000)}m"},
            annotations=self._wishes(),
            restart_policy=self.random.choice(["Never", "OnFailure", "Always"]),
        )
        self._put(pod)

    def delete(self) -> None:
        for pod in self._some():
            if pod.is_finished or self.random.random() < 0.2:
                self._drop(pod.uid)
            elif not pod.is_deleting:
                self._put(manifests.deleting(pod))

    def watch(self) -> None:
        while self.events:
            event = self.events.popleft()
            self._do(
                self.kubelets.gone(event) if isinstance(event, str) else self.kubelets.seen(event, self.now_s)
            )

    def relist(self) -> None:
        pods = self.random.sample(list(self.store.values()), len(self.store))
        self.events.clear()
        self._do(self.kubelets.replaced(pods, self.now_s))

    def time_passes(self) -> None:
        self.now_s += self.random.uniform(0.1, 6)
        self._do(self.kubelets.due(self.now_s))
        due_s = self.kubelets.next_due_s
        assert due_s is None or due_s > self.now_s

    def process_ends(self) -> None:
        for uid in self.random.sample(sorted(self.processes), min(1, len(self.processes))):
            self._exit(uid, self.random.choice([0, 1]))

    def somebody_ends(self) -> None:
        for pod in self._some():
            if pod.status.phase == "Running" and not pod.is_deleting:
                self._put(manifests.in_phase(pod, "Failed"))

    def misbehave(self) -> None:
        target = self.random.choice([NODES[0].name, NODES[1].name, "pool/pool-0", EVERYWHERE])
        told = Mischief(
            delay_s=self.random.choice([0.0, 3.0]),
            never_finish_deletion=self.random.random() < 0.3,
            lost=self.random.random() < 0.3,
        )
        self.mischief = {target: told} if self.random.random() < 0.5 else {}
        self._do(self.kubelets.misbehave(self.mischief, self.now_s))

    def check(self) -> None:
        for node in NODES:
            used = self.kubelets.used(node.name)
            assert denial(node.amounts, {}, used) is None
            assert all(value >= 0 for value in used.values())
        assert all(times == 1 for times in self.once.values())
        live = [pod.status.pod_ip for pod in self.store.values() if pod.status.phase == "Running"]
        assert len(live) == len(set(live))

    def settle(self) -> None:
        """Good nodes again, and nothing new: deletions finish, processes stop, what is left adds up."""
        self.mischief = {}
        self._do(self.kubelets.misbehave({}, self.now_s))
        for _ in range(4):
            self.watch()
            for uid in sorted(self.stopping & self.processes):
                self._exit(uid, 137)
            self.now_s += 4
            self._do(self.kubelets.due(self.now_s))
        self.watch()
        ours = [pod for pod in self.store.values() if pod.spec.node_name != SOMEBODY_ELSES]
        assert not [p for p in ours if p.is_deleting and "never" not in p.annotations.get(ANNOTATION, "")]
        assert not [p for p in ours if p.status.phase == "Pending" and not p.is_deleting]
        assert self.processes <= {p.uid for p in ours if not p.is_finished}
        for node in NODES:
            held: Counter[str] = Counter()
            for pod in ours:
                if pod.spec.node_name == node.name and not pod.is_finished:
                    held.update({} if pod.status.phase == "Pending" else pod_requests(pod))
            assert {r: n for r, n in self.kubelets.used(node.name).items() if n} == dict(held)

    def _wishes(self) -> dict[str, str]:
        wishes = {
            RUN_SECONDS: ["0", "forever", "1.5", "20", "soon"],
            EXIT_CODE: ["0", "3", "-1"],
            RUN_COMMAND: ["true"],
            ANNOTATION: ["", "delay=2", "reject", "never-finish-deletion", "explode"],
        }
        return {
            key: self.random.choice(values) for key, values in wishes.items() if self.random.random() < 0.25
        }

    def _some(self) -> Iterable[NodePod]:
        ours = [pod for pod in self.store.values() if pod.spec.node_name != SOMEBODY_ELSES]
        return self.random.sample(ours, min(2, len(ours)))

    def _do(self, wanted: Iterable[Instruction]) -> None:
        for instruction in wanted:
            match instruction:
                case Reject(pod=pod):
                    self._once("verdict", pod)
                    self._phase(pod, "Failed")
                case MarkRunning(pod=pod, ip=ip, restarts=restarts):
                    if restarts == 0:
                        self._once("verdict", pod)
                    self._phase(pod, "Running", pod_ip=ip)
                case MarkFinished(pod=pod, exit_code=code):
                    assert not pod.is_finished, "somebody else ended it before"
                    self._once("end", pod)
                    self._phase(pod, "Succeeded" if code == 0 else "Failed")
                case Remove(pod=pod):
                    assert pod.is_deleting
                    self._once("removal", pod)
                    self._drop(pod.uid)
                case StartProcess(pod=pod):
                    assert pod.uid not in self.processes
                    self.processes.add(pod.uid)
                case StopProcess(uid=uid, grace_s=grace_s):
                    self.once["stop" if grace_s else "kill", uid] += 1
                    if uid in self.processes:
                        self.stopping.add(uid)

    def _once(self, what: str, pod: NodePod) -> None:
        assert pod.spec.node_name != SOMEBODY_ELSES
        told = (self.mischief.get(t, GOOD) for t in (pod.spec.node_name, EVERYWHERE))
        assert not any(mischief.lost for mischief in told), "a lost node says nothing"
        self.once[what, pod.uid] += 1

    def _exit(self, uid: str, code: int) -> None:
        self.processes.discard(uid)
        self.kubelets.exited(uid, code, self.now_s)

    def _phase(self, pod: NodePod, phase: str, *, pod_ip: str | None = None) -> None:
        """A status write lands on the object as the server has it now, unless that has ended."""
        present = self.store.get(pod.uid)
        if present is not None and not present.is_finished:
            self._put(manifests.in_phase(present, phase, pod_ip=pod_ip))

    def _put(self, pod: NodePod) -> None:
        self.version += 1
        metadata = msgspec.structs.replace(pod.metadata, resource_version=str(self.version))
        self.store[pod.uid] = msgspec.structs.replace(pod, metadata=metadata)
        self.events.append(self.store[pod.uid])

    def _drop(self, uid: str) -> None:
        if self.store.pop(uid, None) is not None:
            self.events.append(uid)


@pytest.mark.parametrize("seed", range(25))
def test_on_any_walk_the_books_balance(seed: int) -> None:
    walk = Walk(seed)
    for _ in range(STEPS):
        walk.step()
        walk.check()
    walk.settle()
    walk.check()

"""Small clusters with teams: nodes, quotas and pods in a state, and plans carried out at once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import msgspec

from scheduler.kube import wire
from scheduler.model.devices import DEVICES
from scheduler.model.objects import Pod, Rejected
from scheduler.model.plan import Budget, Plan, Policy, Snapshot
from scheduler.parse.teamquota import TeamQuota, parse_team_quota
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import node

BUDGET = Budget(per_gang=1.0, total=3.0)
H100 = "NVIDIA-H100-80GB-HBM3"
START_S = 1_700_000_000.0


def quota(name: str, spec: Mapping[str, Any] | None = None, *, created: int = 0) -> TeamQuota:
    """A TeamQuota as the API server would hand it out; its namespace is its name unless told otherwise."""
    body = {
        "metadata": {
            "name": name,
            "uid": f"uid-{name}",
            "creationTimestamp": f"2026-01-01T00:00:{created:02}Z",
        },
        "spec": {"namespaces": [name], **(spec or {})},
    }
    parsed = parse_team_quota(msgspec.convert(body, wire.TeamQuota))
    assert not isinstance(parsed, Rejected), parsed
    return parsed


def cluster(nodes: Sequence[int], quotas: Sequence[TeamQuota], *, models: Sequence[str] = ()) -> ClusterState:
    """Nodes with so many GPUs, of the models named if any; a namespace for each one that a quota names."""
    state = ClusterState("stowplan")
    for index, gpus in enumerate(nodes):
        labels = {"nvidia.com/gpu.product": models[index]} if models else {}
        state.set_node(node(f"n{index}", gpu=gpus, labels=labels))
    for one in quotas:
        for namespace in one.namespaces:
            state.set_namespace(namespace, {})
        state.set_team_quota(one)
    return state


def planned(state: ClusterState, at_s: float = START_S) -> tuple[Snapshot, Plan]:
    snapshot = state.snapshot(at_s)
    return snapshot, plan(snapshot, Policy(), BUDGET)


@dataclass(slots=True)
class World:
    """A cluster on which every plan is carried out: Bindings at once, Evictions after ``grace_s``."""

    state: ClusterState
    now_s: float = START_S
    grace_s: float = 0.0
    budget: Budget = BUDGET
    pods: dict[str, Pod] = field(default_factory=dict)
    leaving: dict[str, float] = field(default_factory=dict)
    last: Plan | None = None

    def submit(self, *pods: Pod) -> None:
        for pod in pods:
            self._put(pod)

    def end(self, *uids: str) -> None:
        for uid in uids:
            self.pods.pop(uid)
            self.leaving.pop(uid, None)
            self.state.remove_pod(uid)

    def cycle(self) -> Plan:
        """Plan once and do it."""
        for uid in [uid for uid, at_s in self.leaving.items() if at_s <= self.now_s]:
            self.end(uid)
        done = plan(self.state.snapshot(self.now_s), Policy(), self.budget)
        for place in done.places:
            assert self.state.objection(place) is None
            for a in place.assignments:
                named = ((DEVICES, ",".join(a.devices)),) if a.devices else ()
                self._put(
                    replace(
                        self.pods[a.pod.uid],  # as it is written, whatever the planner made of it
                        node_name=a.node,
                        phase="Running",
                        started_s=self.now_s,
                        nominated_node="",
                        annotations=(*a.pod.annotations, *named),
                    )
                )
        for clearing in done.clearings:
            for gang in clearing.beneficiaries:
                nodes = {p.uid: clearing.nominated[p.uid] for p in gang.pods if p.uid in clearing.nominated}
                self.state.roll.nominate(gang.key, nodes, [v.gang.key for v in clearing.victims])
            for victim in clearing.victims:
                for pod in victim.pods:
                    self._put(replace(self.pods[pod.uid], is_deleting=True))
                    self.leaving[pod.uid] = self.now_s + self.grace_s
        self.last = done
        return done

    def settle(self, cycles: int = 10, step_s: float = 1.0) -> None:
        """Plan until nothing happens any more."""
        for _ in range(cycles):
            done = self.cycle()
            self.now_s += step_s
            if not done.places and not done.clearings and not self.leaving:
                return

    def running(self, namespace: str) -> list[str]:
        """Names of the pods of a namespace that run and stay."""
        return sorted(
            p.name
            for p in self.pods.values()
            if p.namespace == namespace and p.node_name and not p.is_deleting
        )

    def _put(self, pod: Pod) -> None:
        self.pods[pod.uid] = pod
        self.state.set_pod(pod)

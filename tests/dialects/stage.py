"""A cluster in memory for recordings: what arrives goes through the parser into ClusterState, plans bind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import partial
from typing import TypeVar

import msgspec

from scheduler.gangs.groups import Group
from scheduler.kube import wire
from scheduler.kube.decoding import HasMetadata
from scheduler.live.sources import JOBSET, KAI, KOORDINATOR, KUBEFLOW, LWS, RAY, VOLCANO, Source
from scheduler.model.objects import Pod, Rejected
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.parse.groups import parse_coscheduling, parse_job, parse_pod_group
from scheduler.parse.pod import parse_pod, skeleton
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import node
from tests.dialects.recorded import Body, Made, Recording

T = TypeVar("T", bound=HasMetadata)


def _reading(source: Source[T]) -> tuple[str, Callable[[bytes], Group]]:
    return source.kind, lambda body: source.parse(msgspec.json.decode(body, type=source.wire_type))


READERS: Mapping[str, Callable[[bytes], Group]] = {
    **dict(map(_reading, KUBEFLOW)),
    **dict((_reading(KOORDINATOR), _reading(VOLCANO), _reading(KAI), _reading(JOBSET))),
    **dict((_reading(RAY), _reading(LWS))),
    "PodGroup": lambda body: partial(parse_pod_group, api_version="scheduling.k8s.io/v1beta1")(
        msgspec.json.decode(body, type=wire.PodGroup)
    ),
    "CoschedulingPodGroup": lambda body: parse_coscheduling(
        msgspec.json.decode(body, type=wire.CoschedulingPodGroup)
    ),
    "Job": lambda body: parse_job(msgspec.json.decode(body, type=wire.Job)),
}


class Stage:
    """Nodes of 8 GPUs. ``plan`` binds what it places at once, as the API server would show it."""

    def __init__(self, nodes: int) -> None:
        self.state = ClusterState("stowplan")
        for i in range(nodes):
            self.state.set_node(node(f"n{i}"))
        self.bound: dict[str, str] = {}

    def give(self, made: Made) -> None:
        self.state.set_group(READERS[made.kind](msgspec.json.encode(made.body)))

    def arrive(self, found: Body) -> Pod:
        decoded = msgspec.json.decode(msgspec.json.encode(found), type=wire.Pod)
        parsed = parse_pod(decoded)
        if isinstance(parsed, Rejected):
            self.state.set_pod(skeleton(decoded), parsed)
            return skeleton(decoded)
        self.state.set_pod(parsed)
        return parsed

    def take_all(self, recordings: Iterable[Recording]) -> None:
        for recording in recordings:
            for made in recording.objects:
                self.give(made)
            for found in recording.pods:
                self.arrive(found)

    def plan(self) -> Plan:
        planned = plan(self.state.snapshot(), Policy(), Budget())
        for place in planned.places:
            assert self.state.objection(place) is None
            for assignment in place.assignments:
                self.state.set_pod(replace(assignment.pod, node_name=assignment.node, phase="Running"))
                self.bound[assignment.pod.name] = assignment.node
        return planned

    def change(self, name: str, **fields: object) -> None:
        """The pod of that name, with other fields."""
        found = self.pod(name)
        self.state.set_pod(replace(found, **fields))  # type: ignore[arg-type] # fields of Pod by name

    def pod(self, name: str) -> Pod:
        for uid in (f"uid-{name}", name):
            found = self.state.pod(uid)
            if found is not None:
                return found
        raise AssertionError(f"no pod {name}")

    def told(self, name: str) -> str:
        """What the pod's owner is told: a refusal or its gang's verdict; empty when nothing."""
        pod = self.pod(name)
        refused = {found.uid: why.reason for found, why in self.state.rejected()}
        if pod.uid in refused:
            return refused[pod.uid]
        key = self.state.gang_of(pod.uid)
        return next((v.message for v in self.plan().verdicts if v.key == key), "")

"""Demo clusters as API objects, without a cluster: nodes of the node file, pods of the manifests."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache

import msgspec
from msgspec.structs import replace

from deploy.local.demo import judge
from deploy.local.demo.story import ACTS, NODES, Act
from deploy.local.nodes.pools import read_pools, specs
from scheduler.kube.wire import Condition, Node, Pod, PodGroup, PodStatus

Object = dict[str, object]


def waiting(*, reason: str = "Unschedulable", message: str = "needs more") -> Condition:
    return Condition(type="PodScheduled", status="False", reason=reason, message=message)


@cache
def nodes() -> tuple[Node, ...]:
    """The nodes of the demo."""
    return tuple(
        msgspec.convert(
            {
                "metadata": {"name": spec.name, "labels": spec.labels},
                "status": {"allocatable": spec.allocatable},
            },
            Node,
        )
        for spec in specs(read_pools(NODES))
    )


@dataclass
class World:
    """Every pod of the story with where it is bound and what it was told; the right end by default."""

    node_of: dict[str, str] = field(default_factory=dict)
    told: dict[str, Condition] = field(default_factory=dict)
    phase: dict[str, str] = field(default_factory=dict)
    missing: set[str] = field(default_factory=set)

    @classmethod
    def right(cls) -> World:
        """As the demo should end: what can be placed is, first come first served."""
        world = cls()
        free = {node.metadata.name: judge.gpus_on(node) for node in nodes()}
        for act in ACTS:
            for pod in pods_of(act):
                name = pod.metadata.name
                if act.outcome == "never":
                    world.told[name] = waiting()
                elif act.outcome == "whole":
                    world._place(pod, free)
            if act.subjects == ("pretrain",):
                # It ends before the one that waits for it begins.
                for pod in pods_of(act):
                    world.phase[pod.metadata.name] = "Succeeded"
                    free[world.node_of[pod.metadata.name]] += judge.gpus_of(pod)
        return world

    def _place(self, pod: Pod, free: dict[str, int]) -> None:
        selector = set((pod.spec.node_selector or {}).items())
        gpus = judge.gpus_of(pod)
        for node in nodes():
            name = node.metadata.name
            if selector <= set((node.metadata.labels or {}).items()) and free[name] >= gpus:
                free[name] -= gpus
                self.node_of[pod.metadata.name] = name
                return
        raise LookupError(pod.metadata.name)

    def pods(self) -> list[Pod]:
        found: list[Pod] = []
        for act in ACTS:
            for pod in pods_of(act):
                name = pod.metadata.name
                if name not in self.missing:
                    found.append(self._as_it_is(pod))
        return found

    def _as_it_is(self, pod: Pod) -> Pod:
        name = pod.metadata.name
        told = (self.told[name],) if name in self.told else None
        return replace(
            pod,
            spec=replace(pod.spec, node_name=self.node_of.get(name, "")),
            status=PodStatus(phase=self.phase.get(name, "Pending"), conditions=told),
        )

    def judgements(self, waited: dict[str, judge.Waited] | None = None) -> dict[str, judge.Judgement]:
        subjects = judge.subjects(self.pods(), groups())
        lines = judge.judge(ACTS, subjects, nodes(), WAITED if waited is None else waited)
        return {line.subject: line for line in lines}

    def is_right(self, waited: dict[str, judge.Waited] | None = None) -> bool:
        return all(line.is_right for line in self.judgements(waited).values()) and not judge.overcommitted(
            nodes(), self.pods()
        )


WAITED = {
    "evaluate": judge.Waited(message="needs 4", room=0),
    "oversized": judge.Waited(message="needs 5", room=0),
}


@cache
def pods_of(act: Act) -> tuple[Pod, ...]:
    return tuple(msgspec.convert(manifest, Pod) for manifest in _kind(act, "Pod"))


@cache
def groups() -> tuple[PodGroup, ...]:
    return tuple(msgspec.convert(manifest, PodGroup) for act in ACTS for manifest in _kind(act, "PodGroup"))


def _kind(act: Act, kind: str) -> Iterator[Object]:
    return (manifest for manifest in act.manifests() if manifest["kind"] == kind)

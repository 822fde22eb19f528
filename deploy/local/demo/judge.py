"""Whether each gang is whole or wholly pending with a true reason, from API objects alone.

Shares no decision with the scheduler: membership, minimum, capacity and the truth of a reason are worked
out here from what the API server holds.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from deploy.local.demo.story import SCHEDULER, Act
from scheduler.kube.wire import Node, Pod, PodGroup

GPU = "nvidia.com/gpu"
GANG = "stowplan.dev/gang"
MIN_MEMBER = "stowplan.dev/gang-min-member"

#: Nodes a pod may go to and the GPUs it takes: pods that agree in both are alike for the count.
Kind = tuple[tuple[tuple[str, str], ...], int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """A gang or a single pod, with the members that exist."""

    name: str
    minimum: int
    members: tuple[Pod, ...]

    @property
    def standing(self) -> int:
        """Bound and not failed, or succeeded."""
        return sum(_stands(pod) for pod in self.members)

    @property
    def bound(self) -> int:
        """Bound at any time, whatever became of it."""
        return sum(bool(pod.spec.node_name) for pod in self.members)

    @property
    def finished(self) -> int:
        return sum(pod.status.phase == "Succeeded" for pod in self.members)

    @property
    def reasons(self) -> set[tuple[str, str]]:
        """(reason, message) of PodScheduled=False over the members; ("", "") for one without."""
        return {told(pod) for pod in self.members}

    @property
    def is_whole(self) -> bool:
        return self.standing >= self.minimum

    @property
    def is_pending_with_reason(self) -> bool:
        """No member ever bound, and each says why."""
        return self.bound == 0 and all(reason and message for reason, message in self.reasons)

    @property
    def waits_as_one(self) -> bool:
        """All members are there and carry one and the same reason: the word on the gang is spoken."""
        is_complete = len(self.members) >= self.minimum
        return is_complete and self.is_pending_with_reason and len(self.reasons) == 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Waited:
    """A subject when it was first seen to wait as one: what it was told, and what would have fitted."""

    message: str
    room: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Judgement:
    """One line of the summary."""

    subject: str
    is_right: bool
    found: str


def subjects(pods: Iterable[Pod], groups: Iterable[PodGroup]) -> dict[str, Subject]:
    """Gangs by name; a pod that names none is its own."""
    minimum_of = {group.metadata.name: _min_count(group) for group in groups}
    members: dict[str, list[Pod]] = {}
    minimum: dict[str, int] = {}
    for pod in pods:
        words = pod.metadata.annotations or {}
        group = pod.spec.scheduling_group
        if GANG in words:
            name, least = words[GANG], int(words[MIN_MEMBER])
        elif group is not None and group.pod_group_name:
            name = group.pod_group_name
            least = minimum_of.get(name, 1)
        else:
            name, least = pod.metadata.name, 1
        members.setdefault(name, []).append(pod)
        minimum[name] = max(least, minimum.get(name, 0))
    return {
        name: Subject(name=name, minimum=minimum[name], members=tuple(found))
        for name, found in members.items()
    }


def judge(
    acts: Sequence[Act],
    found: Mapping[str, Subject],
    nodes: Sequence[Node],
    waited: Mapping[str, Waited],
) -> list[Judgement]:
    """One judgement per subject of the story."""
    lines: list[Judgement] = []
    for act in acts:
        for name in act.subjects:
            subject = found.get(name)
            if subject is None:
                lines.append(Judgement(subject=name, is_right=False, found="does not exist"))
                continue
            is_right, text = _verdict(act, subject, nodes)
            if act.waits_first:
                truth = _waited_truly(subject, waited.get(name))
                is_right, text = is_right and truth is None, text if truth is None else f"{text}; {truth}"
            lines.append(Judgement(subject=name, is_right=is_right, found=text))
    return lines


def _verdict(act: Act, subject: Subject, nodes: Sequence[Node]) -> tuple[bool, str]:
    match act.outcome:
        case "whole":
            nodes_used = len({pod.spec.node_name for pod in subject.members if pod.spec.node_name})
            ended = f", {subject.finished} of them ended" if subject.finished else ""
            where = f"{nodes_used} node" + ("s" if nodes_used != 1 else "")
            text = f"{subject.standing} of {subject.minimum} stand on {where}{ended}"
            return subject.is_whole, text
        case "never":
            most = room(nodes, subject.members, ())
            text = f"wholly pending; empty nodes have room for {most} of {subject.minimum}"
            if not subject.is_pending_with_reason:
                return False, f"{subject.bound} bound, reasons {sorted(subject.reasons)}"
            return most < subject.minimum, text
        case "alone":
            (pod,) = subject.members
            untouched = not pod.spec.node_name and not pod.status.conditions
            return untouched, "left alone" if untouched else "was touched, and is not ours"


def _waited_truly(subject: Subject, waited: Waited | None) -> str | None:
    """What is wrong with the reason it gave while it waited, or None."""
    if waited is None:
        return "it never said why it waited"
    if waited.room >= subject.minimum:
        return f"it waited although {waited.room} of {subject.minimum} had room"
    return None


def room(nodes: Sequence[Node], wanted: Iterable[Pod], placed: Iterable[Pod]) -> int:
    """How many of ``wanted`` can be placed beside ``placed``, at most, by GPUs and node selector.

    An upper bound: each kind of pod is counted as if it had the nodes for itself.
    """
    taken: Counter[str] = Counter()
    for pod in placed:
        if pod.spec.node_name and pod.status.phase not in ("Succeeded", "Failed"):
            taken[pod.spec.node_name] += gpus_of(pod)
    kinds = Counter(_kind(pod) for pod in wanted)
    return sum(min(count, _slots(nodes, kind, taken)) for kind, count in kinds.items())


def overcommitted(nodes: Sequence[Node], pods: Iterable[Pod]) -> list[str]:
    """Nodes whose unfinished pods hold more GPUs than there are."""
    taken: Counter[str] = Counter()
    for pod in pods:
        if pod.spec.node_name and pod.status.phase not in ("Succeeded", "Failed"):
            taken[pod.spec.node_name] += gpus_of(pod)
    has = {node.metadata.name: gpus_on(node) for node in nodes}
    return [
        f"{name}: {held} of {has.get(name, 0)}" for name, held in taken.items() if held > has.get(name, 0)
    ]


def _slots(nodes: Sequence[Node], kind: Kind, taken: Mapping[str, int]) -> int:
    selector, gpus = kind
    fitting = [node for node in nodes if set(selector) <= set((node.metadata.labels or {}).items())]
    if not gpus:
        return 1_000_000 if fitting else 0
    return sum(max(0, gpus_on(node) - taken.get(node.metadata.name, 0)) // gpus for node in fitting)


def _kind(pod: Pod) -> Kind:
    return tuple(sorted((pod.spec.node_selector or {}).items())), gpus_of(pod)


def gpus_of(pod: Pod) -> int:
    containers = pod.spec.containers or ()
    limits = [c.resources.limits or {} for c in containers if c.resources is not None]
    return sum(int(each.get(GPU, 0)) for each in limits)


def gpus_on(node: Node) -> int:
    return int((node.status.allocatable or {}).get(GPU, 0))


def _min_count(group: PodGroup) -> int:
    policy = group.spec.scheduling_policy
    gang = None if policy is None else policy.gang
    return 1 if gang is None else gang.min_count or 1


def _stands(pod: Pod) -> bool:
    if pod.metadata.deletion_timestamp or pod.status.phase == "Failed":
        return False
    return bool(pod.spec.node_name)


def told(pod: Pod) -> tuple[str, str]:
    """(reason, message) of its PodScheduled=False, or empty."""
    for condition in pod.status.conditions or ():
        if condition.type == "PodScheduled" and condition.status == "False":
            return condition.reason or "", condition.message or ""
    return "", ""


def is_ours(pod: Pod) -> bool:
    return pod.spec.scheduler_name == SCHEDULER

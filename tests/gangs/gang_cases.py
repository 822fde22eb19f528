"""Builders of pods, groups and attempts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from scheduler.gangs.attempt import Attempt, Limits
from scheduler.gangs.events import Event, Instruction
from scheduler.gangs.groups import Group, GroupKind
from scheduler.gangs.machine import start, step
from scheduler.model.gang import GangKey, PendingGang, PendingRole
from scheduler.model.objects import GPU, Owner, Phase, Pod, Shape
from scheduler.model.plan import Assignment

SMALL = Shape(requests=((GPU, 1), ("pods", 1)))
LARGE = Shape(requests=((GPU, 8), ("pods", 1)))
TEAM = "red"


def pod(
    name: str,
    *,
    uid: str = "",
    namespace: str = TEAM,
    annotations: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    owner: Owner | None = None,
    pod_group: str = "",
    node: str = "",
    phase: Phase = "Pending",
    is_deleting: bool = False,
    gates: tuple[str, ...] = (),
    created_s: float = 0.0,
    priority: int = 0,
    shape: Shape = SMALL,
) -> Pod:
    return Pod(
        uid=uid or f"uid-{name}",
        namespace=namespace,
        name=name,
        resource_version="1",
        shape=shape,
        labels=tuple(sorted((labels or {}).items())),
        annotations=tuple(sorted((annotations or {}).items())),
        owner=owner,
        scheduler_name="stowplan",
        priority=priority,
        can_preempt=True,
        phase=phase,
        node_name=node,
        nominated_node="",
        pod_group=pod_group,
        is_deleting=is_deleting,
        gates=gates,
        created_s=created_s,
    )


@dataclass
class Objects:
    """Gang-defining objects by kind and name."""

    groups: list[Group] = field(default_factory=list)
    missing: dict[GroupKind, str] = field(default_factory=dict)

    def unreadable(self, kind: GroupKind) -> str | None:
        return self.missing.get(kind)

    def get(self, kind: GroupKind, namespace: str, name: str) -> Group | None:
        for group in self.groups:
            if (group.kind, group.namespace, group.name) == (kind, namespace, name):
                return group
        return None


def gang_of(
    roles: Mapping[str, tuple[int, int]], *, min_member: int, standing: int = 0, dialect: str = "own"
) -> PendingGang:
    """A pending gang; roles are name -> (pods, minimum)."""
    made = tuple(
        PendingRole(
            name=name,
            shape=SMALL,
            minimum=minimum,
            pods=tuple(pod(f"{name}-{i}", uid=f"{name}-{i}") for i in range(count)),
        )
        for name, (count, minimum) in roles.items()
    )
    name = made[0].pods[0].uid if dialect == "pod" else "bert"
    return PendingGang(
        key=GangKey(namespace=TEAM, dialect=dialect, name=name),
        generation=1,
        priority=0,
        created_s=0.0,
        min_member=min_member,
        standing=standing,
        standing_nodes=(),
        roles=made,
    )


def planned(gang: PendingGang) -> tuple[Assignment, ...]:
    return tuple(Assignment(pod=p, node=f"node-{i}") for i, p in enumerate(gang.pods))


def begin(
    count: int,
    *,
    min_member: int | None = None,
    standing: int = 0,
    limits: Limits | None = None,
    needs_volumes: bool = False,
) -> tuple[Attempt, tuple[Instruction, ...]]:
    """An attempt for a gang of ``count`` pods w-0, w-1 ...; all of them are needed unless said."""
    gang = gang_of({"w": (count, 0)}, min_member=min_member or count, standing=standing)
    return start(gang, planned(gang), epoch=1, at_s=0.0, limits=limits, needs_volumes=needs_volumes)


def after(attempt: Attempt, events: Sequence[Event]) -> tuple[Attempt, list[Instruction]]:
    """The attempt after some events, with everything it instructed on the way."""
    todo: list[Instruction] = []
    for event in events:
        attempt, more = step(attempt, event)
        todo.extend(more)
    return attempt, todo

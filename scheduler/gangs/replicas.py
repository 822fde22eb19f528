"""Which pods of a gang make up replicas beyond its minimum, so that each starts whole or not at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from scheduler.gangs import words
from scheduler.model.gang import GangSpec, ReplicaSpec
from scheduler.model.objects import Pod


@dataclass(frozen=True, slots=True)
class Growth:
    """Pods that wait and are beyond the gang's minimum, where they come by replicas."""

    #: By uid, the replica that the pod starts with.
    replica_of: Mapping[str, str] = field(default_factory=dict)
    #: By uid, the replica that has not all its pods yet, in words.
    awaited: Mapping[str, str] = field(default_factory=dict)


def growth(
    spec: GangSpec, standing: Sequence[Pod], waiting: Sequence[Pod], role_of: Callable[[Pod], str]
) -> Growth:
    """The replicas beyond the minimum. Those of which most stands, then most exists, make up the minimum."""
    replica_of: dict[str, str] = {}
    awaited: dict[str, str] = {}
    stand = {pod.uid for pod in standing}
    for replicas in spec.replicas:
        mine = [pod for pod in (*standing, *waiting) if role_of(pod) == replicas.role]
        found = sorted(
            _apart(replicas, mine), key=lambda some: (-sum(p.uid in stand for p in some[1]), -len(some[1]))
        )
        for name, pods in found[replicas.minimum :]:
            left = [pod.uid for pod in pods if pod.uid not in stand]
            if len(pods) >= replicas.size:
                replica_of |= dict.fromkeys(left, f"{replicas.role}/{name}")
            else:
                told = (
                    f"{len(pods)} of {replicas.size} members of replica {name} of role {replicas.role} exist"
                )
                awaited |= dict.fromkeys(left, told)
    return Growth(replica_of, awaited)


def _apart(replicas: ReplicaSpec, pods: Sequence[Pod]) -> Iterator[tuple[str, list[Pod]]]:
    """The replicas by name: as the pods say, and of those who say nothing as they come."""
    named: dict[str, list[Pod]] = {}
    alike: list[Pod] = []
    for pod in pods:
        name = words.label(pod, replicas.label)
        (alike if name is None else named.setdefault(name, [])).append(pod)
    yield from named.items()
    for start in range(0, len(alike), replicas.size):
        yield str(start // replicas.size), alike[start : start + replicas.size]

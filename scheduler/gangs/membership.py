"""Who belongs to a gang, of all pods that name it: those of the run under way that do not contradict it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scheduler.gangs import words
from scheduler.gangs.dialect import Dialect
from scheduler.gangs.groups import GroupObjects
from scheduler.gangs.registry import BY_NAME
from scheduler.gangs.runs import runs_of
from scheduler.model.gang import GangKey, GangSpec
from scheduler.model.objects import Pod, Rejected


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """``belonging`` in the order given; ``strangers`` by UID, each with the reason its owner is shown."""

    dialect: Dialect
    belonging: Sequence[Pod]
    strangers: Mapping[str, Rejected]


def membership(key: GangKey, members: Sequence[Pod], objects: GroupObjects) -> Membership:
    """``members`` are the parsed pods that name the gang, which is of more than one pod."""
    dialect = BY_NAME[key.dialect]

    def minimum(pods: Sequence[Pod]) -> int:
        spec = dialect.spec(key, pods, objects)
        return spec.min_member if isinstance(spec, GangSpec) else 1

    # A Job says itself which pods are its own, whether its gang is asked for or not.
    is_by_name = dialect.is_explicit and "Job" not in dialect.kinds
    runs = runs_of(members, objects, dialect.kinds, minimum if is_by_name else None)
    strangers = dict(dialect.outsiders(key, runs.members, objects))
    belonging = [pod for pod in runs.members if pod.uid not in strangers] if strangers else runs.members
    for pod in runs.earlier:
        strangers[pod.uid] = _left_behind(pod)
    return Membership(dialect=dialect, belonging=belonging, strangers=strangers)


def _left_behind(pod: Pod) -> Rejected:
    owner = pod.owner
    maker = "run of its gang" if owner is None else f"{words.shown(owner.kind)} {words.shown(owner.name)}"
    return Rejected(reason=f"the pod belongs to an earlier {maker}, which is gone: delete the pod")

"""The gang as it runs: what it stands on, and which members could leave without the rest."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.gangs.description import described
from scheduler.gangs.groups import GroupObjects
from scheduler.gangs.membership import membership
from scheduler.gangs.view import natural
from scheduler.model.gang import GangKey, GangSpec
from scheduler.model.objects import Pod
from scheduler.model.team import RunningGang


def running_gang(key: GangKey, members: Sequence[Pod], groups: GroupObjects) -> RunningGang | None:
    """The gang with its members that hold capacity and stay, or None when there are none.

    Members in natural order fill the roles' minimums, then the gang's: those are what it stands on. A
    gang that cannot be understood stands on all that it has.
    """
    staying = [pod for pod in members if pod.holds_capacity and not pod.is_deleting]
    if not staying:
        return None
    if key.is_single:
        return RunningGang(key=key, priority=staying[0].priority, pods=tuple(staying), base=len(staying))
    found = membership(key, members, groups)
    dialect, belonging = found.dialect, found.belonging
    mine = {pod.uid for pod in belonging}
    staying = sorted((pod for pod in staying if pod.uid in mine), key=natural)
    if not staying:
        return None
    spec = described(dialect, key, belonging, groups)
    priority = min(pod.priority for pod in staying)
    if not isinstance(spec, GangSpec):
        return RunningGang(key=key, priority=priority, pods=tuple(staying), base=len(staying))
    done = [pod for pod in belonging if pod.phase == "Succeeded"]
    left = {role.name: role.minimum for role in spec.roles}
    for pod in done:
        left[dialect.role(pod)] = left.get(dialect.role(pod), 0) - 1
    base: list[Pod] = []
    rest: list[Pod] = []
    for pod in staying:
        role = dialect.role(pod)
        (base if left.get(role, 0) > 0 else rest).append(pod)
        left[role] = left.get(role, 0) - 1
    missing = max(0, spec.min_member - len(done) - len(base))
    base, rest = base + rest[:missing], rest[missing:]
    return RunningGang(
        key=key,
        priority=priority if spec.priority is None else spec.priority,
        pods=(*base, *rest),
        base=len(base),
        given_priority=spec.priority,
    )

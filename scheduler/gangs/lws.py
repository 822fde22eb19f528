"""LeaderWorkerSet (kubernetes-sigs/lws, api/leaderworkerset/v1, pkg/controllers/pod_controller.go).

Each group, a leader and its workers, is a gang of its own. The workers of a group are made when its leader
is ready (``startupPolicy: LeaderReady``) or has a node (exclusive topology), if the set says so: then the
leader starts first and the workers follow together.
"""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.gangs import words
from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects, Workload
from scheduler.model.gang import GangKey, GangSpec, RoleSpec, Waiting
from scheduler.model.objects import Pod, Rejected

_PREFIX = "leaderworkerset.sigs.k8s.io"
NAME = f"{_PREFIX}/name"
GROUP_INDEX = f"{_PREFIX}/group-index"
WORKER_INDEX = f"{_PREFIX}/worker-index"
SIZE = f"{_PREFIX}/size"
EXCLUSIVE = f"{_PREFIX}/exclusive-topology"
LEADER, WORKER = "leader", "worker"

DOC = Doc(
    title="LeaderWorkerSet",
    keys=(
        (f"labels {NAME}, {GROUP_INDEX}", "each group is a gang; nothing need be set"),
        (f"annotation {SIZE}", "pods of the group, its leader included; set by the controller"),
        ("LeaderWorkerSet spec.startupPolicy: LeaderReady", "the leader first, then all workers together"),
        (f"annotation {EXCLUSIVE}", "the same, since LeaderWorkerSet makes the workers follow the leader"),
    ),
    size=SIZE,
    replaced_by="LeaderWorkerSet: by default all of the group, with `restartPolicy: None` the pod alone",
)


class LeaderWorkerSet(Described):
    def __init__(self) -> None:
        super().__init__("lws", DOC, ("LeaderWorkerSet",), title="LeaderWorkerSet")

    def group_name(self, pod: Pod) -> str | Rejected | None:
        name, group = words.label(pod, NAME), words.label(pod, GROUP_INDEX)
        if name is None or group is None:
            return None
        if not (group.isascii() and group.isdigit() and len(group) <= 6):
            return Rejected(reason=f"label {GROUP_INDEX} is {words.shown(group)}: that is no index")
        return f"{name}/{int(group)}"

    def role(self, pod: Pod) -> str:
        return LEADER if words.label(pod, WORKER_INDEX) == "0" else WORKER

    def stranger(self, pod: Pod, found: Workload) -> bool:
        return False

    def undescribed(self, key: GangKey, members: Sequence[Pod], why: str) -> GangSpec | Waiting | Rejected:
        """The pods say the size; whether the leader goes first nobody can tell, so it may."""
        told = f"LeaderWorkerSet {key.object_name} cannot be read ({why}), so its leader may start first"
        return self._group(key, members, None, is_leader_first=True, notice=f"{told}: let stowplan read it")

    def before_others(self, key: GangKey, members: Sequence[Pod], objects: GroupObjects) -> int | None:
        spec = self.spec(key, members, objects)
        is_alone = isinstance(spec, GangSpec) and len(spec.roles) == 1
        said = words.majority(members, lambda pod: words.annotation(pod, SIZE))
        return 1 if is_alone and said != "1" else None

    def _described(
        self, key: GangKey, members: Sequence[Pod], found: Workload, objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        is_first = any(role.is_late for role in found.roles)
        return self._group(key, members, found, is_leader_first=is_first, notice="")

    def _group(
        self,
        key: GangKey,
        members: Sequence[Pod],
        found: Workload | None,
        *,
        is_leader_first: bool,
        notice: str,
    ) -> GangSpec | Waiting | Rejected:
        said = words.majority(members, lambda pod: words.annotation(pod, SIZE))
        size = words.count_of(said or "")
        if size is None:
            return Rejected(
                reason=f"annotation {SIZE} is {words.shown(said or '')}: it must be a whole number from 1 to "
                f"{words.MEMBERS_MAX:,}"
            )
        exclusive = any(words.annotation(pod, EXCLUSIVE) is not None for pod in members)
        roles = [RoleSpec(name=LEADER, minimum=1)]
        is_late = is_leader_first or exclusive
        if size > 1 and (not is_late or any(self.role(pod) == WORKER for pod in members)):
            roles.append(RoleSpec(name=WORKER, minimum=size - 1, is_late=is_late))
        return words.describe(
            key,
            members,
            min_member=sum(role.minimum for role in roles),
            group=found,
            min_field=SIZE,
            roles=tuple(roles),
            notice=notice,
        )

"""Guards of what a dialect counts: who succeeded and is gone is no loss, and nobody else is taken for one."""

from __future__ import annotations

from tests.mutations.guards import Mutation

RUNS_ON = "tests/dialects/test_a_jobset_counts_who_succeeded_in_a_job_that_runs_on.py"
REPLICAS = "tests/dialects/test_a_ray_cluster_grows_by_whole_replicas.py"
JOBS = "tests/gangs/test_each_dialect_says_who_starts_together.py"

DIALECT_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="what a Job says reaches the gang of the JobSet that made it",
        file="scheduler/state/gangs.py",
        old="        names = (group.name, group.parent)\n",
        new="        names = (group.name,)\n",
        test=RUNS_ON,
    ),
    Mutation(
        name="a Job speaks of the pods it made and of no others",
        file="scheduler/gangs/jobset.py",
        old=" or job.uid != owner.uid:",
        new=":",
        test=RUNS_ON,
    ),
    Mutation(
        name="pods that succeeded in a Job that runs on are not missed",
        file="scheduler/gangs/jobset.py",
        old="        count -= sum(self._gone(part, role, pods, objects) for pods in running)\n",
        new="",
        test=RUNS_ON,
    ),
    Mutation(
        name="a size said by the pods shrinks with those that are done",
        file="scheduler/gangs/described.py",
        old="(late or left < most)",
        new="late",
        test=RUNS_ON,
    ),
    Mutation(
        name="a size said by the pods is held against all the pods there ever were",
        file="scheduler/gangs/described.py",
        old="        most = sum(role.pods_max for role in started)",
        new="        most = sum(role.pods_max for role in remaining)",
        test=RUNS_ON,
    ),
    Mutation(
        name="a succeeded pod that is leaving is asked for no more",
        file="scheduler/gangs/job.py",
        old="staying=sum(not pod.is_deleting for pod in ended)",
        new="staying=len(ended)",
        test=RUNS_ON,
    ),
    Mutation(
        name="a Job's status counts where its pods are gone",
        file="scheduler/gangs/groups.py",
        old="max(self.succeeded, succeeded_seen)",
        new="succeeded_seen",
        test=JOBS,
    ),
    Mutation(
        name="a replica beyond the minimum is planned whole",
        file="scheduler/planning/placing.py",
        old="roles=tuple(replace(role, minimum=len(role.pods)) for role in mine)",
        new="roles=tuple(mine)",
        test=REPLICAS,
    ),
    Mutation(
        name="a Binding refused to one pod of a replica takes it back",
        file="scheduler/planning/placing.py",
        old="            gang=replace(gang, roles=roles),",
        new="            gang=gang,",
        test=REPLICAS,
    ),
    Mutation(
        name="replicas wait until the gang stands",
        file="scheduler/planning/placing.py",
        old="    if gang.need or any(role.minimum for role in own):\n",
        new="    if False:\n",
        test=REPLICAS,
    ),
    Mutation(
        name="what the gang stands on is counted without the replicas beyond it",
        file="scheduler/gangs/view.py",
        old="        if not place[2] and left",
        new="        if left",
        test=REPLICAS,
    ),
    Mutation(
        name="two halves are no replica",
        file="scheduler/gangs/replicas.py",
        old="key=lambda some: (-sum(p.uid in stand for p in some[1]), -len(some[1]))",
        new="key=lambda some: 0",
        test=REPLICAS,
    ),
    Mutation(
        name="room promised to a part of a replica is no promise",
        file="scheduler/teams/clearing.py",
        old=" or gang.tears(nodes)",
        new="",
        test=REPLICAS,
    ),
    Mutation(
        name="a gated pod is not planned",
        file="scheduler/gangs/view.py",
        old=' and pod.phase == "Pending" and not pod.is_deleting and not pod.gates',
        new=' and pod.phase == "Pending" and not pod.is_deleting',
        test="tests/gangs/test_what_stands_counts_and_what_leaves_does_not.py",
    ),
)

"""Guards of what a dialect counts: who succeeded and is gone is no loss, and nobody else is taken for one."""

from __future__ import annotations

from tests.mutations.guards import Mutation

RUNS_ON = "tests/dialects/test_a_jobset_counts_who_succeeded_in_a_job_that_runs_on.py"
JOBS = "tests/gangs/test_each_dialect_says_who_starts_together.py"

DIALECT_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="what a Job says reaches the gang of the JobSet that made it",
        file="scheduler/state.py",
        old="        for name in (group.name, group.parent):",
        new="        for name in (group.name,):",
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
)

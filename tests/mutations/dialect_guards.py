"""Guards of what a dialect counts: who succeeded and is gone is no loss, and nobody else is taken for one."""

from __future__ import annotations

from tests.mutations.guards import Mutation

RUNS_ON = "tests/dialects/test_a_jobset_counts_who_succeeded_in_a_job_that_runs_on.py"
REPLICAS = "tests/dialects/test_a_ray_cluster_grows_by_whole_replicas.py"
JOBS = "tests/gangs/test_each_dialect_says_who_starts_together.py"

AGAIN = "tests/dialects/test_a_name_is_used_again.py"
NEWEST = "tests/dialects/test_the_newest_word_of_an_owner_counts.py"
INDEX = "tests/dialects/test_an_index_that_failed_for_good_is_not_awaited.py"
LATE = "tests/dialects/test_who_comes_when_the_others_run_is_not_awaited.py"
REFUSED = "tests/state/test_a_node_that_turned_a_pod_down_is_avoided.py"
STARTED = "tests/planner/test_what_is_started_goes_first_among_its_like.py"
DONE = "tests/acting/test_who_did_its_work_is_not_gone.py"
NAMES = "tests/dialects/test_legal_names_are_taken.py"
VERSIONS = "tests/kube/test_an_optional_type_keeps_nothing_waiting.py"

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
        old="    staying = [pod for pod in ended if not pod.is_deleting]",
        new="    staying = ended",
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
        file="scheduler/teams/promises.py",
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
    Mutation(
        name="pods of an object that another one of its name has followed are of an earlier run",
        file="scheduler/gangs/runs.py",
        old="        if len(several) > 1:",
        new="        if False:",
        test=AGAIN,
    ),
    Mutation(
        name="who was made after all the others had ended is of another run",
        file="scheduler/gangs/runs.py",
        old="        if span.start_s > reach_s:",
        new="        if False:",
        test=AGAIN,
    ),
    Mutation(
        name="one object's pods are of one run, however far apart",
        file="scheduler/gangs/runs.py",
        old="        made.setdefault(_maker(pod), []).append(pod)",
        new="        made.setdefault(pod.uid, []).append(pod)",
        test=AGAIN,
    ),
    Mutation(
        name="each run of a CronJob is a gang of its own",
        file="scheduler/gangs/registry.py",
        old="    return key if not run or key.name != key.object_name else",
        new="    return key if True else",
        test=AGAIN,
    ),
    Mutation(
        name="an object made nothing that was there before it",
        file="scheduler/gangs/groups.py",
        old="        return 0.0 < than_s < self.created_s",
        new="        return False",
        test=AGAIN,
    ),
    Mutation(
        name="who succeeded and was deleted is not missed",
        file="scheduler/state/ended.py",
        old="found = [*(known.get(pod.uid, pod) if pod.is_deleting else pod for pod in pods), *gone]",
        new="pass",
        test=AGAIN,
    ),
    Mutation(
        name="who ended because it was deleted did not succeed",
        file="scheduler/state/ended.py",
        old=' or pod.phase != "Succeeded" or pod.is_deleting:',
        new=' or pod.phase != "Succeeded":',
        test=AGAIN,
    ),
    Mutation(
        name="a Job tells a new leader who succeeded, whatever describes the gang",
        file="scheduler/state/gangs.py",
        old="                self._note_job(pod, found)\n",
        new="",
        test=AGAIN,
    ),
    Mutation(
        name="those who wait have the say on the size of a gang",
        file="scheduler/gangs/words.py",
        old="        (votes if _is_new(pod) else beside)[value] += 1",
        new="        votes[value] += 1",
        test=NEWEST,
    ),
    Mutation(
        name="the newest pods of an owner speak for all of them",
        file="scheduler/gangs/words.py",
        old="    return {pod.uid: told.get(maker(pod), says(pod)) for pod in members}",
        new="    return {pod.uid: says(pod) for pod in members}",
        test=NEWEST,
    ),
    Mutation(
        name="a Deployment is one owner over all of its ReplicaSets",
        file="scheduler/gangs/words.py",
        old='    return f"{owner.name.removesuffix(revision)}/" if revision else owner.uid',
        new="    return owner.uid",
        test=NEWEST,
    ),
    Mutation(
        name="a StatefulSet that makes one pod after the other is told so",
        file="scheduler/gangs/view.py",
        old='    return _ORDERED if is_ordered else ""',
        new='    return ""',
        test=NEWEST,
    ),
    Mutation(
        name="an index that failed for good is not awaited",
        file="scheduler/gangs/groups.py",
        old="max(self.succeeded, succeeded_seen) - self.failed",
        new="max(self.succeeded, succeeded_seen)",
        test=INDEX,
    ),
    Mutation(
        name="nobody is awaited in a work queue after its first success",
        file="scheduler/gangs/job.py",
        old="    if job.completions is None and (ended or job.succeeded):",
        new="    if False:",
        test=INDEX,
    ),
    Mutation(
        name="who is made when the others run is not awaited by a PodGroup",
        file="scheduler/gangs/description.py",
        old="    if most is None or spec.min_member <= most:",
        new="    if True:",
        test=LATE,
    ),
    Mutation(
        name="pods of somebody else in a group are awaited",
        file="scheduler/gangs/description.py",
        old="None if most is None or len(mine) < len(members) else",
        new="None if most is None else",
        test=LATE,
    ),
    Mutation(
        name="the replacement of a pod that a kubelet turned down goes elsewhere",
        file="scheduler/translation.py",
        old="        allowed[rows] = False",
        new="",
        test=REFUSED,
    ),
    Mutation(
        name="a kubelet's refusal is forgotten after its time",
        file="scheduler/state/refusals.py",
        old="if self._until_s(whose, name) > at_s)",
        new=")",
        test=REFUSED,
    ),
    Mutation(
        name="single pods that may not go alike are not planned alike",
        file="scheduler/planning/turns.py",
        old=" and first.avoided == other.avoided",
        new="",
        test=REFUSED,
    ),
    Mutation(
        name="started work passes no higher priority",
        file="quotas/order.py",
        old="    urgency = (-priority, not is_started)",
        new="    urgency = (not is_started, -priority)",
        test=STARTED,
    ),
    Mutation(
        name="started work comes before other work of its priority",
        file="quotas/order.py",
        old="    urgency = (-priority, not is_started)",
        new="    urgency = (-priority, False)",
        test=STARTED,
    ),
    Mutation(
        name="a member that succeeds while others are bound is not gone",
        file="scheduler/live/actor.py",
        old="            running.done.add(uid)",
        new="            pass",
        test=DONE,
    ),
    Mutation(
        name="every gang has an object whose name the API server takes",
        file="scheduler/live/claims.py",
        old="    if is_legal and len(name) <= NAME_MAX:",
        new="    if len(name) <= NAME_MAX:",
        test=NAMES,
    ),
    Mutation(
        name="the version of a type that is served is found",
        file="scheduler/kube/reflector.py",
        old="            if self._turns_to_another_version():\n                return 0.0\n",
        new="",
        test=VERSIONS,
    ),
)

"""batch/v1 Job as a gang, where its pod template asks for it.

A Job is no gang by default: its pods are independent unless they say otherwise. A Job that uses
``spec.scheduling`` (Kubernetes 1.37, KEP-5547) needs nothing here: its pods name a PodGroup.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from scheduler.gangs import groups, words
from scheduler.gangs.dialect import Doc
from scheduler.gangs.groups import GroupObjects
from scheduler.model.gang import GangKey, GangSpec, Waiting
from scheduler.model.objects import Owner, Pod, Rejected

_PARALLELISM = "Job spec.parallelism"

DOC = Doc(
    title="Job (batch/v1)",
    keys=(
        (
            f"annotation or label {words.POLICY}: {words.ALL_OR_NOTHING} on the pod template",
            "the Job is a gang",
        ),
        (f"annotation or label {words.MIN_MEMBER} on the pod template", "fewer than all (elastic Jobs)"),
        ("Job status.failedIndexes", "indexes that failed for good (`backoffLimitPerIndex`) are not awaited"),
    ),
    size="min(parallelism, completions - succeeded - failed for good), or the minimum on the pod template",
    replaced_by="its controller, after a pause that grows ([healing](healing.md))",
)


class BatchJob:
    name = "job"
    doc = DOC
    kinds: tuple[groups.GroupKind, ...] = ("Job",)
    is_explicit = True

    def key(self, pod: Pod) -> GangKey | Rejected | None:
        policy = words.word(pod, words.POLICY)
        if policy is None:
            return None
        if policy != words.ALL_OR_NOTHING:
            return words.wrong_policy(policy)
        owner = _job_owner(pod)
        if owner is None:
            return Rejected(
                reason=f"{words.POLICY} is set but no batch/v1 Job controls the pod: "
                f"set {words.GANG} and {words.MIN_MEMBER} instead"
            )
        return words.fault(pod) or GangKey(namespace=pod.namespace, dialect=self.name, name=owner.name)

    def outsiders(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> Mapping[str, Rejected]:
        job = objects.get("Job", key.namespace, key.name)
        strangers = [
            pod
            for pod in members
            if job and pod.owner and (pod.owner.uid != job.uid or job.is_younger(pod.created_s))
        ]
        reason = f"the pod belongs to an earlier Job {key.name}, which is gone: delete the pod"
        found = {pod.uid: Rejected(reason=reason) for pod in strangers}
        own = [pod for pod in members if pod.uid not in found]
        return {**words.dissenters(own, (words.MIN_MEMBER, *words.TOPOLOGY)), **found}

    def spec(
        self, key: GangKey, members: Sequence[Pod], objects: GroupObjects
    ) -> GangSpec | Waiting | Rejected:
        job = objects.get("Job", key.namespace, key.name)
        if not isinstance(job, groups.Job):
            return Waiting(reason=f"Job {key.name} is not seen yet, or is gone")
        if job.is_suspended:
            return Waiting(reason=f"Job {key.name} is suspended")
        size = size_of(job, members)
        asked = words.agreed(members, words.MIN_MEMBER)
        if asked is not None and int(asked) > job.parallelism:
            return Rejected(
                reason=f"{words.MIN_MEMBER} is {asked} but {_PARALLELISM} is {job.parallelism}: "
                f"at most {job.parallelism} pods ever run together, so lower the one or raise the other"
            )
        minimum = size if asked is None else min(size, int(asked))
        return words.describe(
            key,
            members,
            min_member=minimum,
            group=job,
            min_field=_PARALLELISM if asked is None else words.MIN_MEMBER,
        )

    def role(self, pod: Pod) -> str:
        return words.role_of(pod)


def size_of(job: groups.Job, pods: Collection[Pod]) -> int:
    """Members the Job has when it is whole; ``pods`` are those of the Job that exist."""
    ended = [pod for pod in pods if pod.phase == "Succeeded"]
    staying = [pod for pod in ended if not pod.is_deleting]
    if job.completions is None and (ended or job.succeeded):
        # Of a work queue no pod is made after the first success: those who are there are all that will be.
        live = sum(not pod.has_ended and not pod.is_deleting for pod in pods)
        return max(1, min(job.parallelism, live) + len(staying))
    return job.size(succeeded_seen=len(ended), staying=len(staying))


def _job_owner(pod: Pod) -> Owner | None:
    owner = pod.owner
    if owner is None or owner.kind != "Job" or not owner.api_version.startswith("batch/"):
        return None
    return owner

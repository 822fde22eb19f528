"""All dialects in the order in which they are asked; a new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from scheduler.gangs import words
from scheduler.gangs.coscheduling import Coscheduling
from scheduler.gangs.dialect import Dialect
from scheduler.gangs.jaxjob import JAXJOB
from scheduler.gangs.job import BatchJob
from scheduler.gangs.jobset import JOBSET
from scheduler.gangs.kai import Kai
from scheduler.gangs.koordinator import Koordinator
from scheduler.gangs.kueue import Kueue
from scheduler.gangs.lws import LeaderWorkerSet
from scheduler.gangs.mpijob import MPIJOB
from scheduler.gangs.own import Own
from scheduler.gangs.paddlejob import PADDLEJOB
from scheduler.gangs.podgroup import Native
from scheduler.gangs.pytorchjob import PYTORCHJOB
from scheduler.gangs.ray import Ray
from scheduler.gangs.runs import part
from scheduler.gangs.spark import Spark
from scheduler.gangs.tfjob import TFJOB
from scheduler.gangs.trainjob import TRAINJOB
from scheduler.gangs.volcano import Volcano
from scheduler.gangs.xgboostjob import XGBOOSTJOB
from scheduler.gangs.yunikorn import YuniKorn
from scheduler.model.gang import SINGLE, GangKey
from scheduler.model.objects import Pod, Rejected
from scheduler.model.written import WRITTEN
from scheduler.service import ATTAINED, ESTIMATE

#: Own keys, then Kubernetes' PodGroup, then explicit group keys, then what an owner implies.
DIALECTS: tuple[Dialect, ...] = (
    Own(),
    Native(),
    Coscheduling(),
    Volcano(),
    Kai(),
    Koordinator(),
    YuniKorn(),
    Kueue(),
    PYTORCHJOB,
    TFJOB,
    XGBOOSTJOB,
    PADDLEJOB,
    JAXJOB,
    MPIJOB,
    TRAINJOB,
    JOBSET,
    Ray(),
    LeaderWorkerSet(),
    Spark(),
    BatchJob(),
)

DIALECT_NAMES: tuple[str, ...] = tuple(dialect.name for dialect in DIALECTS)

BY_NAME: Mapping[str, Dialect] = {dialect.name: dialect for dialect in DIALECTS}

#: Controllers whose pods are independent of each other.
SINGLES = frozenset({"ReplicaSet", "ReplicationController", "StatefulSet", "DaemonSet", "Job", "Node"})


#: Annotations of our own that say nothing of gangs.
_SILENT = frozenset({ESTIMATE, ATTAINED, *WRITTEN})


def _says_nothing(pod: Pod) -> bool:
    """Whether there is nothing on the pod that a dialect could read: most pods, and twenty questions less."""
    if pod.labels or pod.owner is not None or pod.pod_group:
        return False
    return all(key in _SILENT for key, _ in pod.annotations)


def resolve(pod: Pod) -> GangKey | Rejected:
    """The gang of a pod; a pod that names none is a gang of its own.

    The first dialect that recognises the pod decides, even if it decides to reject.
    """
    single = GangKey(namespace=pod.namespace, dialect=SINGLE, name=pod.uid)
    if _says_nothing(pod):
        return single
    for dialect in DIALECTS:
        found = dialect.key(pod)
        if found is not None:
            return found if isinstance(found, Rejected) or "Job" in dialect.kinds else _of_run(found, pod)
    for key in (words.MIN_MEMBER, words.ROLE_MIN):
        if words.word(pod, key) is not None:
            return Rejected(reason=f"{key} is set but the pod names no gang: set {words.GANG}")
    return single


def _of_run(key: GangKey, pod: Pod) -> GangKey:
    """The gang of one run, where several of one name may go on at once."""
    run = part(pod)
    return key if not run or key.name != key.object_name else replace(key, name=f"{key.name}/{run}")


def warning(pod: Pod, found: GangKey) -> str | None:
    """What the owner of a pod of that gang should know although the pod is scheduled; None mostly."""
    return _of_unknown_owner(pod) if found.is_single else contradictions(pod)


def contradictions(pod: Pod) -> str | None:
    """A warning when the pod names its gang in more than one dialect, saying which one is followed.

    What an owner implies is no contradiction: a group that the pod names goes before it, as it should.
    """
    claims = [(dialect, dialect.key(pod)) for dialect in DIALECTS if dialect.is_explicit]
    found = [(dialect, key) for dialect, key in claims if key is not None]
    if len(found) < 2:
        return None
    told = [
        f"{dialect.doc.title}: {'not valid' if isinstance(key, Rejected) else key.name}"
        for dialect, key in found
    ]
    return f"the pod names more than one gang; followed is {told[0]}; ignored is {'; '.join(told[1:])}"


def _of_unknown_owner(pod: Pod) -> str | None:
    owner = pod.owner
    if owner is None or owner.kind in SINGLES:
        return None
    return (
        f"pods of a {words.shown(owner.kind)} ({words.shown(owner.api_version)}) are not known to be a gang, "
        f"so this one starts by itself: {words.remedy()}"
    )

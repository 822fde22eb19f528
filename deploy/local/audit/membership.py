"""Which gang a pod is in, by the auditor's own reading of every dialect's keys.

It shares no line with ``scheduler.gangs`` and is smaller: it reads what controllers write and leaves hostile
keys to others, for a pod that the scheduler refuses is never bound, so nothing is asked of its gang.
Two things it does not judge: pods under JobSet's exclusive topology, which JobSet lets in by turns, and
whether executors that a Spark driver makes under YuniKorn's keys start together.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from typing import Final, TypeVar

import msgspec

from deploy.local.audit import wire
from scheduler.invariants import GangRef

GANG: Final = "stowplan.dev/gang"
MIN_MEMBER: Final = "stowplan.dev/gang-min-member"
POLICY: Final = "stowplan.dev/gang-policy"
COSCHEDULING: Final = "scheduling.x-k8s.io/pod-group"
KOORDINATOR: Final = "gang.scheduling.koordinator.sh"
LWS: Final = "leaderworkerset.sigs.k8s.io"
TRAINING: Final = "training.kubeflow.org"
JOBSET: Final = "jobset.sigs.k8s.io"
YUNIKORN: Final = "yunikorn.apache.org"
KUEUE: Final = "kueue.x-k8s.io"
_TIMED: Final = re.compile(r".+-([1-9][0-9]{7,9})")
#: Owner kinds of kubeflow.org whose dialect is the kind in lower case.
KUBEFLOW: Final = frozenset({"PyTorchJob", "TFJob", "XGBoostJob", "PaddleJob", "JAXJob", "MPIJob"})


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """``dialect`` is empty for a pod that starts by itself. The rest as in ``PodVersion``."""

    dialect: str
    name: str = ""
    minimum: int = 0
    role: str = ""
    together: tuple[str, ...] = ()


SINGLE: Final = Membership(dialect="")


T = TypeVar("T")


class _TaskGroup(msgspec.Struct, rename="camel", frozen=True):
    name: str
    min_member: int


class _Said:
    """A pod's words: labels, annotations, and either with the annotation first."""

    def __init__(self, pod: wire.Pod) -> None:
        self.labels = pod.metadata.labels or {}
        self.annotations = pod.metadata.annotations or {}
        self.words = {**self.labels, **self.annotations}
        owners = pod.metadata.owner_references or ()
        self.owner = next((owner for owner in owners if owner.controller), wire.OwnerReference())
        self.group = pod.spec.scheduling_group

    def is_owned(self, kind: str, group: str) -> bool:
        return self.owner.kind == kind and self.owner.api_version.partition("/")[0] == group

    def count(self, key: str) -> int:
        """0 where nothing readable is said."""
        text = self.words.get(key, "")
        return int(text) if text.isascii() and text.isdigit() and len(text) < 6 else 0


def member_of(pod: wire.Pod, served: Collection[str]) -> Membership:
    """served: dialects whose gangs are described by objects that can be read; other pods are singles."""
    said = _Said(pod)
    found = next((found for read in _READERS if (found := read(said)) is not None), SINGLE)
    run = _TIMED.fullmatch(said.owner.name) if said.owner.kind in ("Job", "Workflow") else None
    if run is not None and found.dialect not in ("", "job") and "/" not in found.name:
        # A CronJob's Jobs carry the time of their run; each is a gang of its own.
        found = replace(found, name=f"{found.name}/{run.group(1)}")
    return found if found.dialect in served or found.dialect in BY_PODS else SINGLE


def ref_of(pod: wire.Pod, found: Membership) -> GangRef | None:
    return GangRef(pod.metadata.namespace, found.dialect, found.name) if found.dialect else None


def _own(said: _Said) -> Membership | None:
    if GANG not in said.words:
        return None
    return Membership(dialect="own", name=said.words[GANG], minimum=said.count(MIN_MEMBER))


def _native(said: _Said) -> Membership | None:
    name = said.group.pod_group_name if said.group is not None else None
    return Membership(dialect="podgroup", name=name) if name else None


def _coscheduling(said: _Said) -> Membership | None:
    name = said.labels.get(COSCHEDULING) or said.annotations.get(COSCHEDULING)
    return Membership(dialect="coscheduling", name=name) if name else None


def _volcano(said: _Said) -> Membership | None:
    keys = ("scheduling.k8s.io/group-name", "scheduling.volcano.sh/group-name")
    name = next((said.annotations[key] for key in keys if said.annotations.get(key)), None)
    return _described("volcano", name, said, said.words.get("volcano.sh/task-spec", ""))


def _kai(said: _Said) -> Membership | None:
    role = said.labels.get("kai.scheduler/subgroup-name", "")
    return _described("kai", said.annotations.get("pod-group-name"), said, role)


def _koordinator(said: _Said) -> Membership | None:
    light = "pod-group.scheduling.sigs.k8s.io"
    group = said.labels.get(light)
    if group:
        return Membership(dialect="koordinator", name=group)
    gang = said.labels.get(f"{light}/name") or said.annotations.get(f"{KOORDINATOR}/name")
    if not gang:
        return None
    size = said.count(f"{light}/min-available") or said.count(f"{KOORDINATOR}/min-available")
    listed = _decoded(said.annotations.get(f"{KOORDINATOR}/groups", "[]"), str)
    together = tuple(item.rpartition("/")[2] for item in listed)
    if gang not in together:
        return Membership(dialect="koordinator", name=gang, minimum=size, role=gang)
    return Membership(
        dialect="koordinator", name=min(together), minimum=size, role=gang, together=tuple(sorted(together))
    )


def _yunikorn(said: _Said) -> Membership | None:
    role = said.annotations.get(f"{YUNIKORN}/task-group-name", "")
    text = said.annotations.get(f"{YUNIKORN}/task-groups")
    if not role and text is None:
        return None
    labels = [said.labels.get(key) for key in (f"{YUNIKORN}/app-id", "applicationId", "spark-app-selector")]
    name = labels[0] or said.annotations.get(f"{YUNIKORN}/app-id") or labels[1] or labels[2] or ""
    groups = _decoded(text or "[]", _TaskGroup)
    is_driver = said.labels.get("spark-role") == "driver"
    minimum = sum(group.min_member for group in groups if not is_driver or group.name == role)
    return Membership(dialect="yunikorn", name=name, minimum=minimum, role=role)


def _kueue(said: _Said) -> Membership | None:
    name = said.words.get(f"{KUEUE}/pod-group-name")
    minimum = said.count(f"{KUEUE}/pod-group-total-count")
    return Membership(dialect="kueue", name=name, minimum=minimum) if name else None


def _kubeflow(said: _Said) -> Membership | None:
    role = said.labels.get(f"{TRAINING}/replica-type") or said.labels.get(f"{TRAINING}/job-role", "")
    kind = said.owner.kind
    if kind in KUBEFLOW and said.is_owned(kind, "kubeflow.org"):
        return _described(kind.lower(), said.owner.name, said, role)
    # The mpi-operator has a Job make the launcher.
    if said.is_owned("Job", "batch") and said.labels.get(f"{TRAINING}/operator-name") == "mpi-operator":
        return _described("mpijob", said.labels.get(f"{TRAINING}/job-name"), said, role)
    return None


def _jobset(said: _Said) -> Membership | None:
    is_train = "trainer.kubeflow.org/trainjob-ancestor-step" in said.labels
    name = said.labels.get(f"{JOBSET}/jobset-name")
    if name and f"alpha.{JOBSET}/exclusive-topology" in said.annotations:
        return SINGLE
    role = said.labels.get(f"{JOBSET}/replicatedjob-name", "")
    return _described("trainjob" if is_train else "jobset", name, said, role)


def _ray(said: _Said) -> Membership | None:
    if not said.is_owned("RayCluster", "ray.io"):
        return None
    is_head = said.labels.get("ray.io/node-type") == "head"
    role = "head" if is_head else said.labels.get("ray.io/group", "")
    return _described("raycluster", said.owner.name, said, role)


def _leader_worker_set(said: _Said) -> Membership | None:
    name, group = said.labels.get(f"{LWS}/name"), said.labels.get(f"{LWS}/group-index", "")
    if not name or not group.isdigit():
        return None
    role = "leader" if said.labels.get(f"{LWS}/worker-index") == "0" else "worker"
    return Membership(dialect="lws", name=f"{name}/{int(group)}", role=role)


def _spark(said: _Said) -> Membership | None:
    name = said.labels.get("spark-app-selector")
    if not name or POLICY not in said.words:
        return None
    return Membership(dialect="spark", name=name, minimum=said.count(MIN_MEMBER), role="executor")


def _job(said: _Said) -> Membership | None:
    if POLICY not in said.words or not said.is_owned("Job", "batch"):
        return None
    return _described("job", said.owner.name, said, "")


def _described(dialect: str, name: str | None, said: _Said, role: str) -> Membership | None:
    """Of a gang that an object describes; what its pods say under our own key goes before that."""
    if not name:
        return None
    return Membership(dialect=dialect, name=name, minimum=said.count(MIN_MEMBER), role=role)


def _decoded(text: str, item: type[T]) -> tuple[T, ...]:
    try:
        return msgspec.json.decode(text, type=tuple[item, ...])  # type: ignore[valid-type] # a type at run time
    except (msgspec.DecodeError, RecursionError):
        return ()


#: Stowplan's keys, Kubernetes' PodGroup, the keys of other schedulers, then what an owner implies.
_READERS: tuple[Callable[[_Said], Membership | None], ...] = (
    _own,
    _native,
    _coscheduling,
    _volcano,
    _kai,
    _koordinator,
    _yunikorn,
    _kueue,
    _kubeflow,
    _jobset,
    _ray,
    _leader_worker_set,
    _spark,
    _job,
)
#: Dialects whose pods say all, or whose object every API server has.
BY_PODS: Final = frozenset(
    {"own", "podgroup", "coscheduling", "koordinator", "yunikorn", "kueue", "spark", "job"}
)

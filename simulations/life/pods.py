"""Sets of pods and the controllers that keep them: replace, retry, finish, clear away, scale, suspend."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Literal

from simulations.faults.server import COSCHEDULING_GROUPS, JOBS, NATIVE_GROUPS, PODS, Server
from simulations.faults.store import Change, Collection, Json, Key, Stored
from simulations.faults.story import Story
from simulations.faults.users import GPU, OURS

Dialect = Literal["own", "podgroup", "coscheduling", "job", "single"]
DONE: Final = ("Succeeded", "Failed")


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """What a controller keeps. ``pods`` of ``gpus`` each, of which ``minimum`` start together.

    run_s: how long a pod runs; None for ever. keeps_names: a pod made anew has the name of the one before,
    which must be gone. retry_s: after a failure, twice as long after each further one where it ``doubles``.
    fails: how likely a pod fails once. clear_s: after the end, when pods are deleted; None for never.
    collects: how likely a pod that succeeded is deleted while others run. least: of a disruption budget.
    apart_s: between one pod and the next when they are made.
    """

    name: str
    namespace: str
    dialect: Dialect
    pods: int
    minimum: int
    gpus: int
    priority: int = 0
    run_s: float | None = None
    keeps_names: bool = False
    retry_s: float = 1.0
    doubles: bool = False
    fails: float = 0.0
    gives_up: bool = False
    clear_s: float | None = 60.0
    collects: float = 0.0
    grace_s: int = 0
    least: int | None = None
    restarts: bool = False
    apart_s: float = 0.0


@dataclass(slots=True, kw_only=True)
class Site:
    """The cluster that controllers work in. ``told``: whoever wants to know of a pod, by its key."""

    server: Server
    story: Story
    seed: int
    loop: asyncio.AbstractEventLoop
    told: dict[Key, Callable[[Change, Json], None]] = field(default_factory=dict)
    _is_calm: bool = False

    def __post_init__(self) -> None:
        self.server.store.told.append(self._hear)

    def _hear(self, collection: Collection, change: Change, pod: Json) -> None:
        if collection.path == PODS and (hear := self.told.get(change.key)) is not None:
            hear(change, pod)

    def calm_down(self) -> None:
        """From now on nobody wants anything new."""
        self._is_calm = True

    def is_calm(self) -> bool:
        return self._is_calm

    def pod(self, key: Key) -> Stored | None:
        return self.server.store.at(PODS).objects.get(key)

    def chance(self, what: str) -> random.Random:
        """Each has its own, so that nobody's draws depend on when others act."""
        return random.Random(f"{self.seed} {what}")


class PodSet:
    """Keeps the pods of one run of a spec until all have succeeded, or for ever.

    over: called once all are done. gang: the gang's name, where it is not the spec's.
    """

    def __init__(
        self, site: Site, spec: Spec, *, run: str = "", over: Callable[[], None] | None = None
    ) -> None:
        self.spec = spec
        self.minimum = spec.minimum
        self.ranks = set(range(spec.pods))
        self.is_suspended = self.is_over = False
        self._site = site
        self._run = run
        self._over = over
        self._chance = site.chance(f"{spec.namespace}/{spec.name}{run}")
        self._owner = f"{spec.name}{run}"
        self._name_of: dict[int, str] = {}
        self._rank_of: dict[str, int] = {}
        self._done: set[int] = set()
        self._failures: dict[int, int] = {}
        self._due: set[int] = set()
        #: How often each rank was made. Names so do not depend on who of several is made first.
        self._serials: dict[int, int] = {}
        self._plans: set[str] = set()
        self._given_up: set[int] = set()

    def start(self) -> None:
        spec = self.spec
        self._site.story.tell(
            "users", f"{spec.namespace}/{self._owner}: {spec.minimum} of {spec.pods} x {spec.gpus} GPUs"
        )
        for rank in sorted(self.ranks):
            self._later(rank, rank * (self._chance.choice((0.0, 0.001, 0.05)) + spec.apart_s))

    def key(self, rank: int) -> Key:
        return (self.spec.namespace, self._name_of.get(rank, ""))

    def phase(self, rank: int) -> str:
        stored = self._site.pod(self.key(rank))
        return "" if stored is None else str(stored.read()["status"]["phase"])

    @property
    def runs(self) -> int:
        return sum(self.phase(rank) == "Running" for rank in self.ranks)

    # -- habits ------------------------------------------------------------------------------------

    def scale(self, pods: int) -> None:
        """Make more, or delete those of the highest ranks."""
        for rank in range(pods):
            if rank not in self.ranks:
                self.ranks.add(rank)
                self._later(rank, self._chance.uniform(0.0, 0.5))
        for rank in sorted(self.ranks):
            if rank >= pods:
                self.ranks.discard(rank)
                self._leave(rank)

    def grow(self, by: int) -> None:
        """All of so many more or fewer, two at least, are asked for together, which is said first."""
        self.minimum = max(2, len(self.ranks) + by)
        set_group(self._site, self.spec, self.minimum)
        self.scale(self.minimum)

    def suspend(self) -> None:
        self.is_suspended = True
        for rank in self.ranks - self._done:
            self._leave(rank)

    def resume(self) -> None:
        self.is_suspended = False
        for rank in sorted(self.ranks - self._done):
            self._later(rank, self._chance.uniform(0.0, 0.5))

    def end(self) -> None:
        """Everything is deleted, as by a user who cancels."""
        self.is_over = True
        for rank in sorted(self._name_of):
            self._leave(rank)

    def replace(self, rank: int) -> None:
        """One pod goes and is made anew: a rolling update."""
        self._leave(rank)

    def fail(self, rank: int) -> None:
        """Its container ends with an error."""
        stored = self._site.pod(self.key(rank))
        if stored is not None:
            self._finish(self.key(rank), stored.uid, "Failed")

    def give_up(self, rank: int) -> None:
        """It fails, and nobody makes it anew."""
        if self.phase(rank) == "Running":
            self._done.add(rank)
            self._given_up.add(rank)
            self.fail(rank)
            self._count()
            self._look()

    # -- pods --------------------------------------------------------------------------------------

    def _leave(self, rank: int) -> None:
        self._site.server.leave(self.key(rank))

    def _later(self, rank: int, in_s: float) -> None:
        if rank not in self._due:
            self._due.add(rank)
            self._site.loop.call_later(in_s, self._make, rank)

    def _make(self, rank: int) -> None:
        self._due.discard(rank)
        if self.is_over or self.is_suspended or rank in self._done or rank not in self.ranks:
            return
        known = self._site.pod(self.key(rank))
        if known is not None and (self.spec.keeps_names or _is_there(known.read())):
            return
        self._serials[rank] = serial = self._serials.get(rank, 0) + 1
        spec = self.spec
        name = f"{self._owner}-{rank}" if spec.keeps_names else f"{self._owner}-{rank}-{serial}"
        self._name_of[rank], self._rank_of[name] = name, rank
        self._site.told[(spec.namespace, name)] = self._told
        self._site.server.store.create(PODS, self._manifest(name))

    def _manifest(self, name: str) -> Json:
        pod = manifest(self.spec, name, minimum=self.minimum, owner=self._owner)
        if self.spec.dialect == "job":
            job = self._site.server.store.at(JOBS).objects[(self.spec.namespace, self.spec.name)]
            pod["metadata"]["ownerReferences"][0] |= {"apiVersion": "batch/v1", "kind": "Job", "uid": job.uid}
        return pod

    def _told(self, change: Change, pod: Json) -> None:
        rank = self._rank_of[change.key[1]]
        if self._name_of[rank] != change.key[1] or rank in self._done or self.is_over:
            return
        phase, meta = pod["status"]["phase"], pod["metadata"]
        if phase == "Succeeded":
            self._succeed(rank, change.key)
        elif change.type == "DELETED" or (meta.get("deletionTimestamp") and not self.spec.keeps_names):
            self._again(rank, is_failure=False)
        elif phase == "Failed":
            if self.spec.gives_up and self._failures.get(rank):
                self._done.add(rank)
                self._given_up.add(rank)
                self._count()
                self._look()
                return
            if self.spec.keeps_names:
                self._site.loop.call_later(
                    self._chance.uniform(0.1, 1.0), self._site.server.leave, change.key
                )
            self._again(rank, is_failure=True)
        elif phase == "Running" and meta["uid"] not in self._plans:
            self._plans.add(meta["uid"])
            self._plan_end(change.key, meta["uid"])

    def _again(self, rank: int, *, is_failure: bool) -> None:
        spec = self.spec
        failures = self._failures.get(rank, 0)
        if is_failure:
            self._failures[rank] = failures + 1
        wait_s = spec.retry_s * (2**failures if spec.doubles else 1)
        self._later(rank, min(360.0, wait_s) * self._chance.uniform(0.8, 1.2))

    def _plan_end(self, key: Key, uid: str) -> None:
        spec, chance = self.spec, self._chance
        if chance.random() < spec.fails and not self._site.is_calm():
            at_s = chance.uniform(2.0, min(spec.run_s or 600.0, 600.0))
            self._site.loop.call_later(at_s, self._finish, key, uid, "Failed")
        elif spec.run_s is not None:
            at_s = spec.run_s * chance.uniform(0.95, 1.05)
            self._site.loop.call_later(at_s, self._finish, key, uid, "Succeeded")

    def _finish(self, key: Key, uid: str, phase: str) -> None:
        stored = self._site.pod(key)
        if stored is None or stored.uid != uid:
            return
        pod = stored.read()
        if pod["status"]["phase"] != "Running" or pod["metadata"].get("deletionTimestamp"):
            return
        self._site.story.tell("users", f"{key[1]} {phase.lower()}")
        self._site.server.store.change(PODS, key, lambda pod: pod["status"].update(phase=phase))

    def _count(self) -> None:
        """What a Job says of its indexes, a moment later."""
        spec = self.spec
        if spec.dialect == "job":
            done = {
                "succeeded": len(self._done - self._given_up),
                "failedIndexes": ",".join(map(str, sorted(self._given_up))),
            }
            key = (spec.namespace, spec.name)
            self._site.loop.call_later(
                self._chance.uniform(0.05, 1.0),
                self._site.server.store.change,
                JOBS,
                key,
                lambda job: job.update(status=done),
            )

    def _succeed(self, rank: int, key: Key) -> None:
        self._done.add(rank)
        self._count()
        if self._chance.random() < self.spec.collects:
            self._site.loop.call_later(self._chance.uniform(0.5, 5.0), self._site.server.leave, key)
        self._look()

    def _look(self) -> None:
        if self.ranks <= self._done:
            self.is_over = True
            if self.spec.clear_s is not None:
                self._site.loop.call_later(self.spec.clear_s, self.clear)
            if self._over is not None:
                self._over()

    def clear(self) -> None:
        """Delete what is left of a run that ended."""
        for rank in sorted(self._name_of):
            self._leave(rank)


def _is_there(pod: Json) -> bool:
    return not pod["metadata"].get("deletionTimestamp") and pod["status"]["phase"] not in DONE


def manifest(spec: Spec, name: str, *, minimum: int, owner: str) -> Json:
    limits = {GPU: str(spec.gpus)}
    words: dict[str, str] = {}
    labels = {"app": spec.name}
    pod: Json = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "namespace": spec.namespace,
            "name": name,
            "labels": labels,
            "annotations": words,
            "ownerReferences": [
                {
                    "apiVersion": "example.com/v1",
                    "kind": "Work",
                    "name": owner,
                    "uid": owner,
                    "controller": True,
                }
            ],
        },
        "spec": {
            "schedulerName": OURS,
            "terminationGracePeriodSeconds": spec.grace_s,
            "priority": spec.priority,
            "containers": [
                {"name": "main", "image": "none", "resources": {"limits": limits, "requests": limits}}
            ],
        },
        "status": {"phase": "Pending"},
    }
    match spec.dialect:
        case "own":
            words |= {"stowplan.dev/gang": spec.name, "stowplan.dev/gang-min-member": str(minimum)}
        case "podgroup":
            pod["spec"]["schedulingGroup"] = {"podGroupName": spec.name}
        case "coscheduling":
            labels["scheduling.x-k8s.io/pod-group"] = spec.name
        case "job":
            words["stowplan.dev/gang-policy"] = "all-or-nothing"
        case "single":
            pass
    if spec.restarts:
        words["stowplan.dev/gang-on-loss"] = "restart"
    return pod


def set_group(site: Site, spec: Spec, minimum: int) -> None:
    """Write the object that says the gang's size, where its dialect has one."""
    key = (spec.namespace, spec.name)
    store = site.server.store
    meta = {"namespace": spec.namespace, "name": spec.name, "generation": 1}
    body: Json
    if spec.dialect == "podgroup":
        path, body = NATIVE_GROUPS, {"schedulingPolicy": {"gang": {"minCount": minimum}}}
    elif spec.dialect == "coscheduling":
        path, body = COSCHEDULING_GROUPS, {"minMember": minimum}
    elif spec.dialect == "job":
        path, body = JOBS, {"parallelism": spec.pods, "completions": spec.pods}
    else:
        return
    if key in store.at(path).objects:
        store.change(path, key, lambda group: _regenerate(group, body))
    else:
        store.create(path, {"metadata": meta, "spec": body})


def drop_group(site: Site, spec: Spec) -> None:
    """Its Job is deleted: another one of its name has other indexes."""
    if spec.dialect == "job":
        site.server.store.remove(JOBS, (spec.namespace, spec.name))


def _regenerate(group: Json, spec: Json) -> None:
    if group["spec"] != spec:
        group["spec"] = spec
        group["metadata"]["generation"] += 1

"""Who submits, ends and changes work in a storm: owners of jobs, their controllers, and another scheduler."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

from simulations.faults.server import COSCHEDULING_GROUPS, NATIVE_GROUPS, NODES, PODS, Server
from simulations.faults.store import Change, Collection, Json, Key, Stored
from simulations.faults.story import Story

GPU: Final = "nvidia.com/gpu"
OURS: Final = "stowplan"
Dialect = Literal["own", "podgroup", "coscheduling", "single"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What somebody submits: ``pods`` of ``gpus`` each, of which ``minimum`` start together.

    for_s: how long it runs; None for ever. again: whether its controller makes lost pods anew, under the same
    name or the next. gated: seconds before its scheduling gates are taken away.
    """

    name: str
    namespace: str
    dialect: Dialect
    pods: int
    minimum: int
    gpus: int
    priority: int
    for_s: float | None
    again: Literal["same name", "next name", "never"]
    gated_s: float
    grace_s: int


@dataclass(slots=True)
class Life:
    """A job that was submitted. ``ranks``: the rank of each of its pods, by name."""

    job: Job
    ranks: dict[str, int] = field(default_factory=dict)
    made: int = 0
    is_over: bool = False


class Users:
    """until_s: when they stop asking for anything new; controllers go on for what there is."""

    def __init__(
        self,
        server: Server,
        story: Story,
        *,
        chance: random.Random,
        jobs: Sequence[tuple[float, Job]],
        until_s: float,
    ) -> None:
        self.lives: dict[tuple[str, str], Life] = {}
        self._server = server
        self._store = server.store
        self._story = story
        self._chance = chance
        self._jobs = jobs
        self._until_s = until_s
        self._loop = asyncio.get_running_loop()
        self._of_pod: dict[Key, Life] = {}
        self._store.told.append(self._told)

    def start(self) -> None:
        for at_s, job in self._jobs:
            self._loop.call_at(at_s, self._submit, job)

    # -- jobs --------------------------------------------------------------------------------------

    def _submit(self, job: Job) -> None:
        self._story.tell(
            "users", f"submit {job.namespace}/{job.name}: {job.minimum} of {job.pods} x {job.gpus} GPUs"
        )
        life = Life(job)
        self.lives[job.namespace, job.name] = life
        if job.dialect == "podgroup":
            policy = {"schedulingPolicy": {"gang": {"minCount": job.minimum}}}
            self._store.create(NATIVE_GROUPS, _named(job, job.name) | {"spec": policy})
        elif job.dialect == "coscheduling":
            self._store.create(
                COSCHEDULING_GROUPS, _named(job, job.name) | {"spec": {"minMember": job.minimum}}
            )
        for rank in range(job.pods):
            # A controller makes pods one after the other.
            self._loop.call_later(rank * self._chance.choice((0.0, 0.001, 0.05)), self._make, life, rank)

    def _make(self, life: Life, rank: int) -> None:
        job = life.job
        if life.is_over:
            return
        life.made += 1
        name = f"{job.name}-{rank}" if job.again != "next name" else f"{job.name}-{rank}-{life.made}"
        key = (job.namespace, name)
        if key in self._store.at(PODS).objects:
            return
        life.ranks[name] = rank
        self._of_pod[key] = life
        self._store.create(PODS, manifest(job, name))
        if job.gated_s:
            self._loop.call_later(job.gated_s, self._open, key)

    def _open(self, key: Key) -> None:
        self._store.change(PODS, key, lambda pod: pod["spec"].pop("schedulingGates", None))

    def _told(self, collection: Collection, change: Change, pod: Json) -> None:
        """Controllers watch the pods of their jobs."""
        life = self._of_pod.get(change.key) if collection.path == PODS else None
        if life is None or life.is_over:
            return
        phase = pod.get("status", {}).get("phase")
        if change.type == "DELETED":
            if life.job.again != "never":
                rank = life.ranks[change.key[1]]
                self._loop.call_later(self._chance.uniform(0.05, 3.0), self._make, life, rank)
        elif phase == "Failed":
            self._loop.call_later(self._chance.uniform(0.05, 3.0), self._server.leave, change.key)
        elif phase == "Running" and life.job.for_s is not None:
            self._loop.call_later(life.job.for_s, self._finish, life)

    def _finish(self, life: Life) -> None:
        """All pods of a job end well; later they are deleted."""
        if life.is_over or self._loop.time() >= self._until_s:
            return
        keys = [key for key, owner in self._of_pod.items() if owner is life]
        running = [key for key in keys if _phase(self._store.at(PODS).objects.get(key)) == "Running"]
        if len(running) < life.job.minimum:
            return
        self._story.tell("users", f"{life.job.namespace}/{life.job.name} succeeds")
        life.is_over = True
        for key in running:
            self._store.change(PODS, key, lambda pod: pod["status"].update(phase="Succeeded"))
        self._loop.call_later(self._chance.uniform(0.0, 5.0), self._remove, life)

    def _remove(self, life: Life) -> None:
        life.is_over = True
        for key in [key for key, owner in self._of_pod.items() if owner is life]:
            self._server.leave(key)

    # -- what they do besides ----------------------------------------------------------------------

    async def meddle(self) -> None:
        """Cancel jobs, delete pods, label them, bind pods of another scheduler."""
        number = 0
        while True:
            await asyncio.sleep(self._chance.expovariate(0.6))
            if self._loop.time() >= self._until_s:
                return
            number += 1
            match self._chance.randrange(8):
                case 0:
                    self._cancel()
                case 1 | 2:
                    self._delete()
                case 3 | 4:
                    self._label(number)
                case _:
                    self._foreign(number)

    def _cancel(self) -> None:
        living = [life for life in self.lives.values() if not life.is_over]
        if len(living) > 2:
            life = self._chance.choice(living)
            self._story.tell("users", f"cancel {life.job.namespace}/{life.job.name}")
            self._remove(life)

    def _delete(self) -> None:
        keys = [
            key
            for key, life in self._of_pod.items()
            if not life.is_over and key in self._store.at(PODS).objects
        ]
        if keys:
            key = self._chance.choice(keys)
            self._story.tell("users", f"delete pod {key[1]}")
            self._server.leave(key)

    def _label(self, number: int) -> None:
        """A pod changes in nothing but its version, so what was planned on the old one is refused."""
        keys = list(self._store.at(PODS).objects)
        if keys:
            key = self._chance.choice(keys)
            self._store.change(
                PODS, key, lambda pod: pod["metadata"].setdefault("labels", {}).update(seen=str(number))
            )

    def _foreign(self, number: int) -> None:
        """Another scheduler binds where it sees room, and now and then where there is none."""
        gpus = self._chance.choice((1, 1, 2, 4))
        room = free(self._server)
        fits = [name for name, left in room.items() if left >= gpus]
        names = fits if self._chance.random() < 0.8 else list(room)
        if not names:
            return
        node = self._chance.choice(names)
        key = ("others", f"theirs-{number}")
        self._story.tell("others", f"bind {key[1]} with {gpus} GPUs to node {node}")
        self._store.create(PODS, _pod(key, gpus, scheduler="another", grace_s=1))
        self._loop.call_later(self._chance.uniform(0.0, 0.3), self._server.assign, key, node)
        self._loop.call_later(self._chance.uniform(3.0, 40.0), self._server.leave, key)


def free(server: Server) -> dict[str, int]:
    """Devices of each node that takes pods which no pod bound to it asks for."""
    nodes = (stored.read() for stored in server.store.at(NODES).objects.values())
    found = {
        node["metadata"]["name"]: int(node["status"]["allocatable"].get(GPU, "0"))
        for node in nodes
        if not node["spec"].get("unschedulable") and not node["spec"].get("taints")
    }
    for stored in server.store.at(PODS).objects.values():
        pod = stored.read()
        node = pod["spec"].get("nodeName", "")
        if node in found and pod["status"]["phase"] not in ("Succeeded", "Failed"):
            found[node] -= asked(pod).get(GPU, 0)
    return found


def asked(pod: Json) -> Mapping[str, int]:
    """What a pod of these storms asks: whole numbers, in one container."""
    limits = pod["spec"]["containers"][0]["resources"]["limits"]
    return {name: int(amount) for name, amount in limits.items()} | {"pods": 1}


def manifest(job: Job, name: str) -> Json:
    """A pod of a job."""
    pod = _pod((job.namespace, name), job.gpus, scheduler=OURS, grace_s=job.grace_s)
    meta = pod["metadata"]
    match job.dialect:
        case "own":
            meta["annotations"] = {
                "stowplan.dev/gang": job.name,
                "stowplan.dev/gang-min-member": str(job.minimum),
            }
        case "podgroup":
            pod["spec"]["schedulingGroup"] = {"podGroupName": job.name}
        case "coscheduling":
            meta["labels"] = {"scheduling.x-k8s.io/pod-group": job.name}
        case "single":
            pass
    if job.priority:
        pod["spec"]["priority"] = job.priority
    if job.gated_s:
        pod["spec"]["schedulingGates"] = [{"name": "example.com/later"}]
    return pod


def _pod(key: Key, gpus: int, *, scheduler: str, grace_s: int) -> Json:
    limits = {GPU: str(gpus)}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": key[0], "name": key[1]},
        "spec": {
            "schedulerName": scheduler,
            "terminationGracePeriodSeconds": grace_s,
            "containers": [
                {"name": "main", "image": "none", "resources": {"limits": limits, "requests": limits}}
            ],
        },
        "status": {"phase": "Pending"},
    }


def _named(job: Job, name: str) -> Json:
    return {"metadata": {"namespace": job.namespace, "name": name}}


def _phase(stored: Stored | None) -> str:
    return "" if stored is None else str(stored.read()["status"]["phase"])

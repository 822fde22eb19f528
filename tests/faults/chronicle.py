"""Histories as an auditor would record them of a scheduler that does everything right, and ways to sin."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from scheduler.invariants import (
    Entry,
    EventVersion,
    GangRef,
    GangVersion,
    GroupVersion,
    History,
    LeaseVersion,
    NodeVersion,
    PodVersion,
)
from scheduler.invariants.history import Kind, Version

GPU = "nvidia.com/gpu"
NAMESPACE = "team"
DIALECTS = ("own", "podgroup", "coscheduling")


class Chronicle:
    """Writes entries one revision after another; a tenth of a second lies between two of them."""

    def __init__(self, seed: int) -> None:
        self.chance = Random(seed)
        self.entries: list[Entry] = []
        self.pods: dict[str, PodVersion] = {}
        self.claims: dict[GangRef, GangVersion] = {}
        self.epoch = 1
        self.now_s = 100.0
        self.revision = self.chance.randint(1, 10_000)
        self.write("Lease", "stowplan", LeaseVersion(holder="a", epoch=1))

    def write(self, kind: Kind, key: str, version: Version | None) -> None:
        self.revision += self.chance.randint(1, 3)
        self.now_s += 0.1
        self.entries.append(
            Entry(revision=self.revision, at_s=self.now_s, kind=kind, key=key, version=version)
        )

    def history(self, *, quiet_s: float = 0.0) -> History:
        """In any order, as several watches tell it; ``quiet_s`` passed since the last entry."""
        shuffled = self.chance.sample(self.entries, len(self.entries))
        return History(shuffled, until_s=self.now_s + quiet_s)

    def node(self, name: str, gpus: int) -> None:
        self.write("Node", name, NodeVersion(name=name, allocatable={GPU: gpus * 1000, "pods": 110_000}))

    def pod(
        self, name: str, *, gpus: int = 1, gang: GangRef | None = None, minimum: int = 0, **more: str
    ) -> str:
        """A pending pod; its UID."""
        made = PodVersion(
            uid=f"uid-{name}",
            namespace=NAMESPACE,
            name=name,
            scheduler=more.get("scheduler", "stowplan"),
            created=f"{len(self.pods):06}",
            node=more.get("node", ""),
            requests={GPU: gpus * 1000, "pods": 1000},
            gang=gang,
            minimum=minimum if gang is not None and gang.dialect == "own" else 0,
        )
        self.change(made)
        return made.uid

    def change(self, pod: PodVersion) -> None:
        self.pods[pod.uid] = pod
        self.write("Pod", pod.uid, pod)

    def gang(
        self, name: str, size: int, *, minimum: int | None = None, gpus: int = 1
    ) -> tuple[GangRef, list[str]]:
        """Pending members of a gang of any dialect, and its group object where it needs one."""
        ref = GangRef(NAMESPACE, self.chance.choice(DIALECTS), name)
        least = size if minimum is None else minimum
        if ref.dialect != "own":
            self.write("Group", f"group-{name}", GroupVersion(ref=ref, minimum=least))
        return ref, [self.pod(f"{name}-{i}", gang=ref, minimum=least, gpus=gpus) for i in range(size)]

    def claim(self, ref: GangRef, placement: dict[str, str], phase: str = "Binding") -> None:
        claim = GangVersion(ref=ref, phase=phase, epoch=self.epoch, placement=placement)
        self.claims[ref] = claim
        self.write("Gang", f"gang-{ref.name}", claim)

    def store_anew(self, ref: GangRef) -> None:
        """A Gang object is written as it is, by an administrator who wants another version of it stored."""
        self.write("Gang", f"gang-{ref.name}", self.claims[ref])

    def bind(self, uid: str, node: str) -> None:
        self.change(replace(self.pods[uid], node=node, epoch=self.epoch, told=("True", "", "")))

    def evict(self, uid: str, why: str = "", *, leaves: bool = True) -> None:
        """The Eviction API marks the pod, then it goes; an Event says why, where anything does."""
        self.change(replace(self.pods[uid], is_evicted=True))
        if why:
            self.write(
                "Event", f"event-{uid}-{self.revision}", EventVersion(uid=uid, reason="Evicted", note=why)
            )
        if leaves:
            self.remove(uid)

    def fail(self, uid: str) -> None:
        """It ends by itself, and is cleared away."""
        self.change(replace(self.pods[uid], phase="Failed"))
        self.remove(uid)

    def remove(self, uid: str) -> None:
        self.write("Pod", uid, None)
        del self.pods[uid]

    def say_scheduled(self, uid: str) -> None:
        self.write("Event", f"event-{uid}-{self.revision}", EventVersion(uid=uid, reason="Scheduled"))

    def tell(self, uid: str) -> None:
        """Why it waits."""
        self.change(replace(self.pods[uid], told=("False", "Unschedulable", "no room")))

    def place(self, ref: GangRef, uids: list[str], node: str) -> None:
        """Claim, bind, announce, as it should be."""
        self.claim(ref, dict.fromkeys(uids, node))
        for uid in self.chance.sample(uids, len(uids)):
            self.bind(uid, node)
        self.claim(ref, dict.fromkeys(uids, node), "Bound")
        for uid in uids:
            self.say_scheduled(uid)

    def take_over(self) -> None:
        self.epoch += 1
        self.renew()

    def renew(self) -> None:
        self.write("Lease", "stowplan", LeaseVersion(holder=f"leader-{self.epoch}", epoch=self.epoch))


def honest(seed: int) -> Chronicle:
    """A run in which nothing is wrong: gangs, singles, ends, a foreign pod, a takeover, one who waits."""
    told = Chronicle(seed)
    chance = told.chance
    for number in range(4):
        told.node(f"n{number}", 8)
    told.pod("theirs", gpus=4, scheduler="another", node="n3")
    for number in range(chance.randint(2, 6)):
        ref, uids = told.gang(f"g{number}", chance.randint(2, 4))
        told.place(ref, uids, f"n{number % 3}")
        if chance.random() < 0.5:
            for uid in uids:
                told.change(replace(told.pods[uid], phase="Succeeded"))
        if chance.random() < 0.3:
            told.take_over()
    single = told.pod("lone")
    told.bind(single, "n3")
    told.say_scheduled(single)
    _, waiting = told.gang("wide", 5, gpus=8)
    for uid in waiting:
        told.tell(uid)
    return told

"""Kubelets, whoever administers nodes, and the collector of pods on nodes that are gone."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Callable
from typing import Final

from simulations.faults.server import NODES, PODS, Server
from simulations.faults.store import Change, Collection, Json, Key
from simulations.faults.story import Story
from simulations.faults.users import GPU, asked

COLLECT_S: Final = 5.0


class Nodes:
    """until_s: when nothing is changed on purpose any more; kubelets go on.

    begins_s: how long a kubelet takes to see a pod, from and to. ends_s: how long it takes to stop one.

    Each kubelet counts for itself: it admits a pod where its node has room by its own count, and rejects it
    otherwise, whoever bound it there.
    """

    def __init__(
        self,
        server: Server,
        story: Story,
        *,
        chance: random.Random,
        until_s: float,
        begins_s: tuple[float, float] = (0.05, 1.5),
        ends_s: Callable[[Json, random.Random], float] = lambda pod, chance: chance.uniform(0.2, 3.0),
    ) -> None:
        self.rejected = 0
        self._begins_s = begins_s
        self._ends_s = ends_s
        self._server = server
        self._store = server.store
        self._story = story
        self._chance = chance
        self._until_s = until_s
        self._loop = asyncio.get_running_loop()
        #: Pods that a kubelet has admitted and not yet let go, by UID: node and what they hold.
        self._held: dict[str, tuple[str, dict[str, int]]] = {}
        self._seen: set[str] = set()
        self._stopping: set[str] = set()
        self._silent: set[str] = set()
        self._store.told.append(self._told)

    def add(self, name: str, gpus: int) -> None:
        """A node joins."""
        self._store.create(
            NODES,
            {
                "metadata": {"name": name, "labels": {"kubernetes.io/hostname": name}},
                "spec": {},
                "status": {
                    "allocatable": {GPU: str(gpus), "cpu": "64", "memory": "256Gi", "pods": "110"},
                    "conditions": [{"type": "Ready", "status": "True"}],
                },
            },
        )

    def silence(self, name: str) -> None:
        """The kubelet of a node does nothing any more."""
        self._silent.add(name)

    def speak(self, name: str) -> None:
        """It goes on."""
        self._silent.discard(name)

    # -- kubelets ----------------------------------------------------------------------------------

    def _told(self, collection: Collection, change: Change, pod: Json) -> None:
        if collection.path != PODS:
            return
        uid, node = pod["metadata"]["uid"], pod["spec"].get("nodeName")
        if change.type == "DELETED" or pod["status"]["phase"] in ("Succeeded", "Failed"):
            self._held.pop(uid, None)
        elif node and uid not in self._seen:
            self._seen.add(uid)
            self._loop.call_later(self._chance.uniform(*self._begins_s), self._admit, change.key, uid)
        is_stopped = pod["metadata"].get("deletionTimestamp") and node and uid not in self._stopping
        if change.type == "MODIFIED" and is_stopped:
            self._stopping.add(uid)
            self._loop.call_later(self._ends_s(pod, self._chance), self._stop, change.key, uid)

    def _admit(self, key: Key, uid: str) -> None:
        pod = self._pod(key, uid)
        if pod is None or pod["status"]["phase"] != "Pending":
            return
        name = pod["spec"]["nodeName"]
        node = self._store.at(NODES).objects.get(("", name))
        if node is None or name in self._silent:
            if node is not None:
                self._loop.call_later(1.0, self._admit, key, uid)
            return
        need = dict(asked(pod))
        held: Counter[str] = Counter()
        for at, what in self._held.values():
            if at == name:
                held.update(what)
        allocatable = node.read()["status"]["allocatable"]
        short = [one for one, count in need.items() if count + held[one] > int(allocatable.get(one, "0"))]
        if short:
            self.rejected += 1
            self._story.tell("kubelets", f"{name} rejects {key[1]}: OutOf{short[0]}")
            told = {"phase": "Failed", "reason": f"OutOf{short[0]}"}
            self._store.change(PODS, key, lambda pod: pod["status"].update(told))
            return
        self._held[uid] = (name, need)
        self._store.change(PODS, key, lambda pod: pod["status"].update(phase="Running"))

    def _stop(self, key: Key, uid: str) -> None:
        pod = self._pod(key, uid)
        if pod is None:
            return
        if pod["spec"]["nodeName"] in self._silent:
            self._loop.call_later(1.0, self._stop, key, uid)
        else:
            self._store.remove(PODS, key)

    def _pod(self, key: Key, uid: str) -> Json | None:
        stored = self._store.at(PODS).objects.get(key)
        return stored.read() if stored is not None and stored.uid == uid else None

    # -- what happens to nodes -----------------------------------------------------------------------

    async def meddle(self) -> None:
        """Cordon, taint, shrink, silence, delete and add nodes; undo most of it at the end."""
        number = 0
        while True:
            await asyncio.sleep(self._chance.expovariate(0.15))
            if self._loop.time() >= self._until_s:
                break
            names = [key[1] for key in self._store.at(NODES).objects]
            if not names:
                continue
            number += 1
            self._change(self._chance.choice(names), number, len(names))
        self._silent.clear()

    def change(self, number: int) -> None:
        """One change of some node, of those that ``meddle`` makes."""
        names = [key[1] for key in self._store.at(NODES).objects]
        self._change(self._chance.choice(names), number, len(names))

    def _change(self, name: str, number: int, count: int) -> None:
        key = ("", name)
        what = self._chance.choice(("cordon", "taint", "shrink", "silence", "delete", "add"))
        self._story.tell("admins", f"{what} node {name if what != 'add' else f'new-{number}'}")
        match what:
            case "cordon":
                self._store.change(NODES, key, lambda node: node["spec"].update(unschedulable=True))
                self._later(lambda: self._store.change(NODES, key, _uncordon))
            case "taint":
                taint = {"key": "example.com/broken", "effect": "NoSchedule"}
                self._store.change(NODES, key, lambda node: node["spec"].update(taints=[taint]))
                self._later(lambda: self._store.change(NODES, key, _untaint))
            case "shrink":
                self._store.change(NODES, key, lambda node: _resize(node, self._chance.randint(0, 4)))
            case "silence":
                self._silent.add(name)
                self._later(lambda: self._silent.discard(name))
            case "delete" if count > 1:
                self._store.remove(NODES, key)
                for uid in [uid for uid, (node, _) in self._held.items() if node == name]:
                    del self._held[uid]
            case _:
                self.add(f"new-{number}", self._chance.choice((2, 4, 8)))

    def _later(self, undo: Callable[[], object]) -> None:
        self._loop.call_later(self._chance.uniform(1.0, 20.0), undo)

    async def collect(self) -> None:
        """Delete pods whose node is gone."""
        while True:
            await asyncio.sleep(COLLECT_S)
            names = {key[1] for key in self._store.at(NODES).objects}
            for key, stored in list(self._store.at(PODS).objects.items()):
                node = stored.read()["spec"].get("nodeName")
                if node and node not in names:
                    self._store.remove(PODS, key)


def _uncordon(node: Json) -> None:
    node["spec"].pop("unschedulable", None)


def _untaint(node: Json) -> None:
    node["spec"].pop("taints", None)


def _resize(node: Json, gpus: int) -> None:
    node["status"]["allocatable"][GPU] = str(gpus)

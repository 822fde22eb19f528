"""The agents of nodes: what they say of devices, when devices fall ill, and when agents fall silent."""

from __future__ import annotations

import asyncio
import random
from typing import Final

from simulations.faults.server import GPU_NODES, NODES, Server
from simulations.faults.store import Json, wall
from simulations.faults.story import Story
from simulations.faults.users import GPU

PERIOD_S: Final = 8.0
MEMORY_BYTES: Final = 80 << 30


class Agents:
    """One for each node. until_s: when no device falls ill any more; those that are ill stay so."""

    def __init__(self, server: Server, story: Story, *, chance: random.Random, until_s: float) -> None:
        self._store = server.store
        self._story = story
        self._chance = chance
        self._until_s = until_s
        self._loop = asyncio.get_running_loop()
        #: Since when a device is out, by UUID.
        self._ill: dict[str, float] = {}
        self._silent: set[str] = set()

    async def run(self) -> None:
        """Every agent looks at its devices and writes what it saw."""
        while True:
            for _, name in list(self._store.at(NODES).objects):
                if name not in self._silent:
                    self._loop.call_later(self._chance.uniform(0.0, 1.0), self._write, name)
            await asyncio.sleep(PERIOD_S)

    async def meddle(self) -> None:
        """Devices fall ill and recover, agents stop and start."""
        while True:
            await asyncio.sleep(self._chance.expovariate(0.15))
            if self._loop.time() >= self._until_s:
                break
            nodes = list(self._store.at(GPU_NODES).objects)
            if not nodes:
                continue
            _, name = self._chance.choice(nodes)
            match self._chance.randrange(4):
                case 0:
                    self._story.tell("agents", f"{name} falls silent")
                    self._silent.add(name)
                case 1:
                    self._silent.discard(name)
                    self._recover(name)
                case _:
                    self._sicken(name)
        self._silent.clear()

    def _sicken(self, name: str) -> None:
        uuids = _uuids(name, self._count(name))
        if uuids:
            uuid = self._chance.choice(uuids)
            self._story.tell("agents", f"{name}: device {uuid} falls off the bus")
            self._ill.setdefault(uuid, self._loop.time())
            self._write(name)

    def _recover(self, name: str) -> None:
        for uuid in _uuids(name, self._count(name)):
            self._ill.pop(uuid, None)
        self._write(name)

    def _count(self, name: str) -> int:
        """Devices of a node, as many as it had when its agent first looked."""
        found = self._store.at(GPU_NODES).objects.get(("", name))
        if found is not None:
            return len(found.read()["status"]["devices"])
        node = self._store.at(NODES).objects.get(("", name))
        return int(node.read()["status"]["allocatable"].get(GPU, "0")) if node is not None else 0

    def _write(self, name: str) -> None:
        status = self._status(name)
        if self._store.change(GPU_NODES, ("", name), lambda node: node.update(status=status)) is None:
            self._store.create(GPU_NODES, {"metadata": {"name": name}, "status": status})

    def _status(self, name: str) -> Json:
        now = wall(self._loop.time())
        uuids = _uuids(name, self._count(name))
        return {
            "state": "Ready",
            "lastProbe": now,
            "lastHeartbeat": now,
            "gpus": len(uuids),
            "devices": [self._device(index, uuid) for index, uuid in enumerate(uuids)],
        }

    def _device(self, index: int, uuid: str) -> Json:
        device: Json = {"index": index, "uuid": uuid, "memoryBytes": MEMORY_BYTES, "state": "Healthy"}
        if uuid in self._ill:
            since = wall(self._ill[uuid])
            device |= {"state": "Fatal", "reason": "XID 79", "since": since, "fatalSince": since}
        return device


def _uuids(name: str, count: int) -> list[str]:
    return [f"GPU-{name}-{index}" for index in range(count)]

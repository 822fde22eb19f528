"""The live side of inventories: GPUNodes in, reactions to outages out."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from scheduler.gangs.healing import keeps_others
from scheduler.kube.wire.inventory import GPUNode
from scheduler.live.actor import Actor
from scheduler.live.announcements import NodeEvent
from scheduler.live.feeds import ParsedFeed
from scheduler.live.logs import logger
from scheduler.live.metrics import Metrics
from scheduler.live.node_events import NodeEvents
from scheduler.model.devices import Inventory, Slot
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod
from scheduler.parse.devices import parse_inventory
from scheduler.state import ClusterState

log = logger("devices")

PATH: Final = "/apis/stowplan.dev/v1alpha1/gpunodes"
#: A gang that could not be evicted, a disruption budget forbidding it, is tried again after this.
RETRY_S: Final = 60.0
REMEMBERED_MAX: Final = 10_000
#: How often what is to be said of devices is looked at.
TELL_EVERY_S: Final = 5.0
EVENTS_MAX: Final = 20


class GPUNodeFeed(ParsedFeed[GPUNode, Inventory]):
    """What agents write, as the state takes it. One that no agent could have written counts as no report."""

    def __init__(self, state: ClusterState) -> None:
        super().__init__("GPUNode", "node", parse_inventory, state.set_inventory, state.remove_inventory)


class Outages:
    """A device that turned fatal under a gang: the gang is replaced once, as a whole unless its pods say that
    the others can stay.

    Level-triggered: what is due follows from the state. One outage of one device, named by its UUID and its
    beginning, asks once for each gang that holds it, and again only while members of the gang still hold it.
    What was asked is written in the Gang object before the first eviction, so a new leader goes on with it.
    """

    def __init__(self, state: ClusterState, actor: Actor, *, clock: Callable[[], float]) -> None:
        self._state = state
        self._actor = actor
        self._clock = clock
        self._asked_s: dict[tuple[str, float, GangKey], float] = {}

    def react(self, epoch: int) -> int:
        """Begin to replace what is due; how many gangs that were."""
        begun = 0
        by_gang: dict[GangKey, list[Slot]] = {}
        there: dict[GangKey, dict[str, Pod]] = {}
        for slot, key, pods in self._state.struck():
            by_gang.setdefault(key, []).append(slot)
            there.setdefault(key, {}).update({pod.uid: pod for pod in pods})
        for key, slots in by_gang.items():
            if self._actor.is_running(key):
                continue
            due = [slot for slot in slots if self._is_due(slot, key)]
            if due:
                # One replacement answers for all its devices: the watch may show its members for a while.
                self._remember(slots, key)
                begun += self._replace(due[0], key, tuple(there[key].values()), epoch)
        return begun

    def _is_due(self, slot: Slot, key: GangKey) -> bool:
        name = (slot.uuid, slot.fatal_s or 0.0, key)
        return self._clock() - self._asked_s.get(name, -RETRY_S) >= RETRY_S

    def _replace(self, slot: Slot, key: GangKey, there: tuple[Pod, ...], epoch: int) -> bool:
        gang, pods = self._state.remains(key)
        if not pods:
            return False
        if keeps_others(pods):
            pods = there
        reason = f"device {slot.uuid} is not usable any more: {slot.reason}"
        log.warning("replacing a gang", gang=str(key), device=slot.uuid, reason=slot.reason, pods=len(pods))
        self._actor.unwind(gang, pods, epoch=epoch, reason=reason)
        return True

    def _remember(self, slots: Sequence[Slot], key: GangKey) -> None:
        for slot in slots:
            if len(self._asked_s) >= REMEMBERED_MAX:
                self._asked_s.pop(next(iter(self._asked_s)))
            self._asked_s[slot.uuid, slot.fatal_s or 0.0, key] = self._clock()


class DeviceReporter:
    """Metrics of devices, and one Event for each node whose labels and inventory disagree."""

    def __init__(
        self,
        state: ClusterState,
        *,
        metrics: Metrics,
        events: NodeEvents,
        may_act: Callable[[], bool],
    ) -> None:
        self._state = state
        self._metrics = metrics
        self._events = events
        self._may_act = may_act
        self._told: dict[str, str] = {}

    async def run(self) -> None:
        """Tell until cancelled."""
        while True:
            await self.tell()
            await asyncio.sleep(TELL_EVERY_S)

    async def tell(self) -> None:
        """What is new, a bounded number of Events at a time; one that could not be written is tried again."""
        found = dict(self._state.labels.disagreements)
        differences = sum(1 for _ in self._state.devices.differences())
        self._metrics.devices(self._state.devices.uses(), len(found), differences)
        self._told = {node: words for node, words in self._told.items() if node in found}
        news = [(node, words) for node, words in found.items() if self._told.get(node) != words]
        for node, words in news[:EVENTS_MAX]:
            if self._may_act() and await self._write(node, words):
                self._told[node] = words

    async def _write(self, node: str, words: str) -> bool:
        log.warning("labels and inventory disagree", node=node, what=words)
        event = NodeEvent(
            node=node, reason="InventoryDisagrees", note=words, type="Warning", action="Comparing"
        )
        return await self._events.write(event)

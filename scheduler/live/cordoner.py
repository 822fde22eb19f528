"""Carries out what ``scheduler.devices.cordon`` decides, where the policy says so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

import msgspec

from scheduler.devices.cordon import CORDONED, FORGIVEN, CordonStep, cordon_steps
from scheduler.kube.client import Client
from scheduler.kube.transport import MERGE_PATCH, ClusterError
from scheduler.live.announcements import NodeEvent
from scheduler.live.logs import logger
from scheduler.live.metrics import Metrics
from scheduler.live.node_events import NodeEvents
from scheduler.model.devices import CordonPolicy
from scheduler.state import ClusterState

log = logger("cordoner")

LOOK_EVERY_S: Final = 5.0
#: A node whose write failed is not written again for this long.
RETRY_S: Final = 60.0
WRITE_TIMEOUT_S: Final = 5.0
#: Nodes written at one look; the next look goes on.
STEPS_MAX: Final = 10


class Cordoner:
    """``clock`` is the wall clock. ``may_act``: the lease is ours and every view is current."""

    def __init__(
        self,
        transport: Client,
        state: ClusterState,
        *,
        policy: CordonPolicy | None,
        metrics: Metrics,
        events: NodeEvents,
        clock: Callable[[], float],
        may_act: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._state = state
        self._policy = policy
        self._metrics = metrics
        self._events = events
        self._clock = clock
        self._may_act = may_act
        self._failed_s: dict[str, float] = {}

    async def run(self) -> None:
        """Look until cancelled; without a policy there is nothing to look for."""
        while self._policy is not None:
            await self._look(self._policy)
            await asyncio.sleep(LOOK_EVERY_S)

    async def _look(self, policy: CordonPolicy) -> None:
        now_s = self._clock()
        self._failed_s = {node: at_s for node, at_s in self._failed_s.items() if now_s - at_s < RETRY_S}
        nodes = self._state.columns.nodes
        self._metrics.cordoned(sum(node.is_unschedulable and CORDONED in node.labels for node in nodes))
        steps = cordon_steps(nodes, self._state.devices.inventories, policy, now_s)
        due = [step for step in steps if step.node.name not in self._failed_s]
        for step in due[:STEPS_MAX]:
            if not self._may_act():
                return
            await self._take(step)

    async def _take(self, step: CordonStep) -> None:
        node = step.node
        path = f"/api/v1/nodes/{node.name}"
        body = _patch(step, self._clock())
        try:
            await self._transport.request(
                "PATCH", path, body=body, content_type=MERGE_PATCH, timeout_s=WRITE_TIMEOUT_S
            )
        except ClusterError as error:
            self._failed_s[node.name] = self._clock()
            self._metrics.cordon(step.move, "failed")
            log.warning("a node could not be written", node=node.name, move=step.move, error=str(error))
            return
        self._metrics.cordon(step.move, "done")
        log.warning("cordons", node=node.name, move=step.move, why=step.why)
        if step.move != "forgive":
            is_bad = step.move == "cordon"
            event = NodeEvent(
                node=node.name,
                reason="NodeCordoned" if is_bad else "NodeUncordoned",
                note=f"{step.why}; docs/cordoning.md says how this ends" if is_bad else step.why,
                type="Warning" if is_bad else "Normal",
                action="Cordoning",
            )
            await self._events.write(event)


def _patch(step: CordonStep, now_s: float) -> bytes:
    """For this very node: one made anew under its name has another UID, and the API server refuses."""
    stamp = str(int(now_s))
    ends = step.move != "cordon"
    labels = {CORDONED: None, FORGIVEN: stamp} if ends else {CORDONED: stamp}
    body: dict[str, object] = {"metadata": {"uid": step.node.uid, "labels": labels}}
    if step.move != "forgive":
        body["spec"] = {"unschedulable": None if ends else True}
    return msgspec.json.encode(body)

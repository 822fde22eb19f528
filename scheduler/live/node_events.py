"""Events that regard nodes, written one by one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from scheduler.kube.client import Client
from scheduler.kube.transport import ClusterError
from scheduler.live.announcements import NodeEvent, node_event_body

PATH: Final = "/apis/events.k8s.io/v1/namespaces/default/events"
WRITE_TIMEOUT_S: Final = 5.0


class NodeEvents:
    """``clock`` is the wall clock."""

    def __init__(
        self, transport: Client, *, clock: Callable[[], float], controller: str, instance: str
    ) -> None:
        self._transport = transport
        self._clock = clock
        self._controller = controller
        self._instance = instance
        self._serial = 0

    async def write(self, event: NodeEvent) -> bool:
        """Whether the API server took it."""
        self._serial += 1
        body = node_event_body(
            event,
            controller=self._controller,
            instance=self._instance,
            at_s=self._clock(),
            serial=self._serial,
        )
        try:
            await self._transport.request("POST", PATH, body=body, timeout_s=WRITE_TIMEOUT_S)
        except ClusterError:
            return False
        return True

"""Writes to the API server that are tried until they are answered: all of them are idempotent."""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from collections.abc import Mapping

import msgspec

from deploy.local.nodes import status
from deploy.local.nodes.instructions import MarkFinished, MarkRunning, Reject, Remove, Write
from deploy.local.nodes.wire import NodePod
from scheduler.kube.transport import (
    ClusterError,
    Conflict,
    Invalid,
    NotFound,
    OutcomeUnknown,
    ServerError,
    TooManyRequests,
    Transport,
    Unreachable,
)

STRATEGIC_MERGE = "application/strategic-merge-patch+json"
MERGE = "application/merge-patch+json"

#: What another try may mend.
TRANSIENT = (Unreachable, OutcomeUnknown, ServerError, TooManyRequests)
_TRIES_MOST = 120
_CONFLICTS_MOST = 5
_PAUSE_FIRST_S = 0.1
_PAUSE_MOST_S = 5.0

log = logging.getLogger(__name__)


class Writer:
    """A transport that does not give up while the API server is away.

    ``refused`` counts what the server would not have, by reason: a pod that is gone, a namesake,
    a body it finds invalid.
    """

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self.refused: Counter[str] = Counter()

    async def send(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        params: Mapping[str, str] | None = None,
        content_type: str = "application/json",
    ) -> bytes:
        """One request, repeated through network failures, 429 and 5xx.

        A write whose outcome is unknown is simply repeated, so only idempotent ones belong here.
        Raises ApiError for any other answer, and the last ClusterError after ten minutes of trying.
        """
        pause_s = _PAUSE_FIRST_S
        last: ClusterError | None = None
        for _ in range(_TRIES_MOST):
            try:
                return await self._transport.request(
                    method, path, body=body, params=params, content_type=content_type
                )
            except TRANSIENT as error:
                last, wait_s = error, getattr(error, "retry_after_s", None) or pause_s
            await asyncio.sleep(min(wait_s, _PAUSE_MOST_S))
            pause_s = min(2 * pause_s, _PAUSE_MOST_S)
        raise last or Unreachable(path)

    async def perform(self, write: Write) -> None:
        """Carry out what a kubelet wants written; a pod that is gone or replaced is none of its business."""
        try:
            match write:
                case Reject():
                    await self._patch_status(write.pod, status.rejected(write))
                case MarkRunning():
                    await self._patch_status(write.pod, status.running(write))
                case MarkFinished():
                    await self._patch_status(write.pod, status.finished(write))
                case Remove():
                    await self.send("DELETE", _path(write.pod), status.removal(write.pod))
        except (NotFound, Conflict, Invalid) as error:
            self.refused[type(error).__name__] += 1
            if isinstance(error, Invalid):
                where = f"{write.pod.metadata.namespace}/{write.pod.metadata.name}"
                log.warning("the API server refuses the status of pod %s: %s", where, error)

    async def _patch_status(self, pod: NodePod, body: bytes) -> None:
        """Raises Conflict for a namesake; a pod that others write at the same time is tried again."""
        for _ in range(_CONFLICTS_MOST):
            try:
                await self.send("PATCH", f"{_path(pod)}/status", body, content_type=STRATEGIC_MERGE)
                return
            except Conflict:
                present = msgspec.json.decode(await self.send("GET", _path(pod)), type=NodePod)
                if present.uid != pod.uid:
                    raise
        raise Unreachable(f"{_path(pod)}: somebody else keeps writing it")


def _path(pod: NodePod) -> str:
    return f"/api/v1/namespaces/{pod.metadata.namespace}/pods/{pod.metadata.name}"

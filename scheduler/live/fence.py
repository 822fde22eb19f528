"""The fence: what refuses the writes of an earlier term, and what its refusal means.

With the admission policy of deploy/admission/epoch-fence.yaml the API server itself refuses Bindings and
Evictions of another epoch than the Lease's. Each API server knows the Lease from a watch of its own, which
may lag. So a refusal ends a term only when the Lease itself says so (``Term``), and a new leader that took
over lets the time pass by which another API server may lag before it acts (``raised``).
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from scheduler.kube.client import Client
from scheduler.kube.transport import ApiError, ClusterError, NotFound
from scheduler.live.logs import logger
from scheduler.model.written import EPOCH

log = logger("fence")

#: Stands in the message of every denial by the policy.
FENCED: Final = "stowplan epoch fence"
CANARY: Final = "stowplan-epoch-canary"
POLL_S = 0.05
#: How far the caches of an API server are taken to lag behind etcd at most: for so long after a take-over
#: some server may still let a write of the last term pass.
LAG_S_MAX = 2.5


def is_fenced(error: ApiError) -> bool:
    """Whether the API server refused the write because it knows of another term."""
    return error.status in (403, 422) and FENCED in error.message


class Term:
    """Whether this process's term is over when the fence says so.

    still_leads: whether the Lease, read past every cache, is ours. Raises ClusterError. Workers that are
    refused at the same time share one read.
    """

    def __init__(self, still_leads: Callable[[], Awaitable[bool]]) -> None:
        self._still_leads = still_leads
        self._lock = asyncio.Lock()
        self._reads = 0
        self._is_over = False

    async def is_over(self) -> bool:
        """False also where nobody answers: the term then ends by its deadline."""
        before = self._reads
        async with self._lock:
            # What began after the refusal answers for it, whoever asked.
            if self._reads <= before + 1:
                self._reads += 1
                self._is_over = await self._read()
            return self._is_over

    async def _read(self) -> bool:
        try:
            is_over = not await self._still_leads()
        except ClusterError as error:
            log.warning("lease not read after a refusal by the fence", error=str(error)[:256])
            return False
        if not is_over:
            log.warning("an API server's copy of the Lease lags: what it refused is tried again")
        return is_over


async def raised(
    transport: Client, *, namespace: str, epoch: int, took_over: bool, write_timeout_s: float
) -> bool:
    """Return when older terms cannot bind any more; whether the API server sees to it.

    That one already does is learnt with a canary: a dry-run Binding of the previous epoch for a pod that
    does not exist. Where the last leader did not release its lease, others are given the time to learn of
    the new one; where the policy is missing, this waits out that leader's last possible write.
    """
    loop = asyncio.get_running_loop()
    since_s = loop.time()
    is_refused = False
    while not is_refused and loop.time() < since_s + LAG_S_MAX:
        try:
            is_refused = await _is_refused(transport, namespace, epoch - 1)
        except ClusterError as error:
            log.warning("canary not answered", error=str(error)[:256])
        if not took_over:
            return is_refused
        if not is_refused:
            await asyncio.sleep(POLL_S)
    if not is_refused:
        log.warning("no epoch fence: the admission policy is missing; waiting out the old leader's writes")
        await asyncio.sleep(write_timeout_s)
    await asyncio.sleep(max(0.0, since_s + LAG_S_MAX - loop.time()))
    return is_refused


async def _is_refused(transport: Client, namespace: str, epoch: int) -> bool:
    body = {
        "apiVersion": "v1",
        "kind": "Binding",
        "metadata": {"name": CANARY, "annotations": {EPOCH: str(epoch)}},
        "target": {"kind": "Node", "name": CANARY},
    }
    try:
        await transport.request(
            "POST",
            f"/api/v1/namespaces/{namespace}/pods/{CANARY}/binding",
            body=msgspec.json.encode(body),
            params={"dryRun": "All"},
        )
    except NotFound:
        return False
    except ApiError as error:
        if is_fenced(error):
            return True
        raise
    return False

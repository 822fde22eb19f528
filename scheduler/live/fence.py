"""Before the first Binding of a term: make sure that no write of an earlier term can land any more.

With the admission policy of deploy/admission/epoch-fence.yaml the API server itself refuses Bindings
of another epoch than the Lease's. That it already does is learnt with a canary: a dry-run Binding of
the previous epoch for a pod that does not exist. Without the policy, waiting is all that is left.
"""

from __future__ import annotations

import asyncio
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
POLICY_WAIT_S = 1.0


def is_fenced(error: ApiError) -> bool:
    """Whether the API server refused the write because our term is over."""
    return error.status in (403, 422) and FENCED in error.message


async def raised(
    transport: Client, *, namespace: str, epoch: int, took_over: bool, write_timeout_s: float
) -> bool:
    """Return when older terms cannot bind any more; whether the API server sees to it.

    Where the policy is missing and the last leader did not release its lease, this waits out that
    leader's last possible write.
    """
    loop = asyncio.get_running_loop()
    give_up_s = loop.time() + POLICY_WAIT_S
    while loop.time() < give_up_s:
        try:
            if await _is_refused(transport, namespace, epoch - 1):
                return True
        except ClusterError as error:
            log.warning("canary not answered", error=str(error)[:256])
        if not took_over:
            return False
        await asyncio.sleep(POLL_S)
    log.warning("no epoch fence: the admission policy is missing; waiting out the old leader's writes")
    await asyncio.sleep(write_timeout_s)
    return False


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

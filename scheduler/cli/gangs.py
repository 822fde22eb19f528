"""``stowplan gangs``: every gang with its state, and the pods of their own that wait."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime
from pathlib import Path

from scheduler.cli import cluster
from scheduler.cli.cluster import Row
from scheduler.cli.connection import ask
from scheduler.cli.failure import Failure
from scheduler.cli.output import Output, emit, table
from scheduler.kube.transport import NotFound, Transport
from scheduler.model.gang import GangKey

SCHEDULER = "stowplan"
_ORDER = {"Pending": 0, "Binding": 1, "Unwinding": 1}


def show(kubeconfig: Path | None, context: str | None, *, namespace: str | None, output: Output) -> None:
    rows = ask(kubeconfig, context, lambda transport: read(transport, namespace))
    if output != "table":
        emit(rows, output)
        return
    now_s = time.time()
    columns = ["namespace", "name", "kind", "phase", "bound", "min", "members", "age", "reason", "message"]
    table(
        columns,
        [
            [
                row.namespace,
                row.name,
                row.kind,
                row.phase,
                str(row.bound),
                str(row.min_member),
                str(row.members),
                age(row.created, now_s),
                row.reason,
                row.message,
            ]
            for row in rows
        ],
    )


async def read(transport: Transport, namespace: str | None) -> list[Row]:
    """Waiting ones first, then by name. Raises: Failure where the Gang resource is missing."""
    try:
        found, waiting = await asyncio.gather(
            cluster.gangs(transport, namespace),
            cluster.pods(transport, namespace, SCHEDULER, phase="Pending"),
        )
    except NotFound as error:
        raise Failure("the cluster has no Gang resource; apply deploy/crds/gangs.yaml") from error
    singles = [pod for pod in waiting if not pod.spec.node_name and _is_alone(cluster.key_of(pod))]
    rows = [cluster.gang_row(gang) for gang in found] + [cluster.pod_row(pod) for pod in singles]
    return sorted(rows, key=lambda row: (_ORDER.get(row.phase, 2), row.namespace, row.name))


def _is_alone(key: GangKey | None) -> bool:
    """A single pod, or one whose gang keys are refused: no Gang object speaks for either."""
    return key is None or key.is_single


def age(created: str, now_s: float) -> str:
    """Time since an RFC 3339 timestamp, in the two largest units as kubectl writes it."""
    try:
        total = max(0, int(now_s - datetime.fromisoformat(created).timestamp()))
    except ValueError:
        return "?"
    parts = [(total // 86400, "d"), (total // 3600 % 24, "h"), (total // 60 % 60, "m"), (total % 60, "s")]
    first = next((i for i, (amount, _) in enumerate(parts) if amount), len(parts) - 1)
    return "".join(f"{amount}{unit}" for amount, unit in parts[first : first + 2])

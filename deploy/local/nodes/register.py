"""Nodes into the API server, ready and without the not-ready taint."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import msgspec

from deploy.local.nodes import status
from deploy.local.nodes.pools import NodeSpec
from deploy.local.nodes.writer import MERGE, STRATEGIC_MERGE, Writer
from scheduler.kube.transport import Conflict

_decode = msgspec.json.Decoder(status.NodeObject).decode


async def register(
    writer: Writer, nodes: Sequence[NodeSpec], *, clock: Callable[[], float], at_once: int = 32
) -> None:
    """Create every node, or bring one that exists to what the file says.

    Admission puts the not-ready taint on a node as it is created, whatever its status says, so each
    takes two writes. Taints others put on an existing node stay.
    """
    pending = iter(nodes)

    async def work() -> None:
        for node in pending:
            await _register(writer, node, clock())

    async with asyncio.TaskGroup() as group:
        for _ in range(min(at_once, len(nodes))):
            group.create_task(work())


async def _register(writer: Writer, node: NodeSpec, now_s: float) -> None:
    path = f"/api/v1/nodes/{node.name}"
    try:
        present = _decode(await writer.send("POST", "/api/v1/nodes", status.node(node, now_s)))
    except Conflict:
        present = _decode(await writer.send("GET", path))
        await writer.send(
            "PATCH", f"{path}/status", status.node_status(node, now_s), content_type=STRATEGIC_MERGE
        )
    await writer.send("PATCH", path, status.node_spec(node, present.spec.taints), content_type=MERGE)

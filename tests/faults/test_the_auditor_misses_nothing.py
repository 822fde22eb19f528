"""The definition of a custom resource changes, its watches end, and no version of it is missing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from typing import Final

import msgspec

from deploy.local.audit import Auditor
from deploy.local.manifests import until_served
from scheduler.kube.client import JSON_PATCH, Client
from scheduler.kube.transport import JSON, MERGE_PATCH, TooManyRequests
from tests.faults.stage import Json, Stage

DEFINITION: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/gangs.stowplan.dev"
SECOND: Final = "/spec/versions/1"
GANGS: Final = "/apis/stowplan.dev/v1alpha1/gangs"
GANGS_NEXT: Final = "/apis/stowplan.dev/v1beta1/gangs"
DIALECT: Final = "stowplan.dev/dialect"
TIMEOUT_S: Final = 60.0


class SlowToReturn(Client):
    """The API server as one sees it whose second watch of the Gang objects begins late.

    ``waits``: that watch is due. It begins once ``may_go_on``.
    """

    def __init__(self, client: Client) -> None:
        self.waits = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self._client = client
        self._is_first = True

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: bytes | None = None,
        params: Mapping[str, str] | None = None,
        content_type: str = JSON,
        timeout_s: float = 10.0,
    ) -> bytes:
        return await self._client.request(
            method, path, body=body, params=params, content_type=content_type, timeout_s=timeout_s
        )

    async def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        if path == GANGS:
            if not self._is_first:
                self.waits.set()
                await self.may_go_on.wait()
            self._is_first = False
        async for lines in self._client.stream_batches(path, params=params, read_timeout_s=read_timeout_s):
            yield lines


async def write(stage: Stage, method: str, path: str, body: Json) -> int:
    """Write a Gang object, however long its storage takes to be set up; the revision that this made."""
    content_type = MERGE_PATCH if method == "PATCH" else JSON
    where, text = f"/apis/stowplan.dev/v1alpha1/namespaces/{stage.namespace}/gangs{path}", msgspec.json.encode
    while True:
        try:
            answer = await stage.api.request(method, where, body=text(body), content_type=content_type)
        except TooManyRequests:
            continue
        return int(msgspec.json.decode(answer)["metadata"].get("resourceVersion", 0))


async def live(stage: Stage, name: str) -> set[int]:
    """A Gang object is made and changed twice; the revisions of that."""
    meta = {"name": name, "labels": {DIALECT: "own"}, "annotations": {DIALECT: name}}
    body = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "Gang", "metadata": meta}
    made = await write(stage, "POST", "", body)
    phases = [{"status": {"phase": phase, "epoch": 0}} for phase in ("Pending", "Binding")]
    return {made, *[await write(stage, "PATCH", f"/{name}/status", status) for status in phases]}


async def test_what_is_written_while_a_definition_changes_is_recorded(stage: Stage) -> None:
    """The API server forgets what came before it set up the storage anew; what came since is asked for."""
    (today,) = msgspec.json.decode(await stage.api.request("GET", DEFINITION))["spec"]["versions"]
    another = {"op": "add", "path": SECOND, "value": today | {"name": "v1beta1", "storage": False}}
    client = SlowToReturn(stage.api)
    async with asyncio.timeout(TIMEOUT_S), Auditor(client) as auditor:
        await live(stage, "before")
        await auditor.catch_up()
        await stage.patch(DEFINITION, [another], content_type=JSON_PATCH)
        try:
            await until_served(stage.api, [GANGS_NEXT])
            await client.waits.wait()
            written = await live(stage, "for-a-moment")
            await write(stage, "DELETE", "/for-a-moment", {})
            written |= await live(stage, "stays")
            await write(stage, "DELETE", "/before", {})
            client.may_go_on.set()
            await auditor.catch_up()
        finally:
            await stage.patch(DEFINITION, [{"op": "remove", "path": SECOND}], content_type=JSON_PATCH)
        recorded = [entry for entry in auditor.history() if entry.kind == "Gang"]
    assert len(written) == 6
    assert written <= {entry.revision for entry in recorded}
    assert sum(entry.version is None for entry in recorded) == 2
    assert len({entry.revision for entry in recorded}) == len(recorded)
    assert auditor.retraced > len(written)
    assert auditor.gaps == 0

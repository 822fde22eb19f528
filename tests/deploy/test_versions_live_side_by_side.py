"""The plan of docs/install.md for a new version of the custom resources, step by step, there and back.

Schedulers that speak today's version work on while the next one is served, while it is what is stored, and
after it was taken away again.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml

from deploy.local.cluster import Cluster, running_cluster
from deploy.local.manifests import DEPLOY, until_served
from scheduler.invariants import end_state
from tests.deploy.documents import Json, kubectl, parsed
from tests.faults.scheduler import Terms
from tests.faults.stage import SETTLE_S, Stage, gang, staged

NOW: Final = "v1alpha1"
NEXT: Final = "v1beta1"
GROUP: Final = "/apis/stowplan.dev"
KINDS: Final = ("gangs", "teamquotas", "gpunodes")
#: A lease that a busy machine does not cost; the leader that is replaced gives its own back.
TERMS: Final = Terms(lease_s=30, renew_deadline_s=25.0, retry_s=0.5, write_timeout_s=2.0)


@pytest.fixture(scope="module")
def cluster_of_two_versions() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


def definitions(*, is_next_served: bool, stored: str) -> str:
    """Our custom resources with the next version beside today's: the same fields and one more, optional."""
    found: list[Json] = []
    for file in sorted((DEPLOY / "crds").glob("*.yaml")):
        for document in parsed(file.read_text(encoding="utf-8")):
            (today,) = document["spec"]["versions"]
            assert today["name"] == NOW
            later = copy.deepcopy(today) | {"name": NEXT, "served": is_next_served}
            status = later["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
            status["ofTheNextVersion"] = {"type": "string"}
            document["spec"]["versions"] = [today, later]
            for version in (today, later):
                version["storage"] = version["name"] == stored
            found.append(document)
    return yaml.safe_dump_all(found)


async def apply(stage: Stage, text: str) -> None:
    """Return when today's version is served by what was applied: its storage is set up anew meanwhile."""
    words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    await asyncio.to_thread(kubectl, stage.cluster, *words, given=text)
    await until_served(stage.api, [f"{GROUP}/{NOW}/{kind}" for kind in KINDS])


async def rewrite(stage: Stage) -> None:
    """Every object is written once, so that it is stored in the version that is stored now."""
    for kind in KINDS:
        listed = msgspec.json.decode(await stage.api.request("GET", f"{GROUP}/{NOW}/{kind}"))
        for one in listed["items"]:
            space = one["metadata"].get("namespace")
            where = f"{GROUP}/{NOW}/{f'namespaces/{space}/' if space else ''}{kind}/{one['metadata']['name']}"
            await stage.patch(where, {"metadata": {"annotations": {"stored": "anew"}}})


async def read_as_next(stage: Stage) -> dict[str, str]:
    """The phase of each Gang object, through the next version."""
    path = f"{GROUP}/{NEXT}/namespaces/{stage.namespace}/gangs"
    listed = msgspec.json.decode(await stage.api.request("GET", path))
    return {one["metadata"]["name"]: one["status"]["phase"] for one in listed["items"]}


async def places(stage: Stage, name: str) -> None:
    await stage.create(gang(name, 2))
    await stage.until_bound(f"{name}-0", f"{name}-1")


async def test_a_version_comes_is_stored_and_goes_while_gangs_are_placed(
    cluster_of_two_versions: Cluster, tmp_path: Path
) -> None:
    async with staged(cluster_of_two_versions, tmp_path, TERMS) as stage:
        names = {"before", "served", "stored", "taken-over"}
        await stage.nodes(2, gpus=8)
        leader = await stage.start()
        await places(stage, "before")
        await apply(stage, definitions(is_next_served=True, stored=NOW))
        await until_served(stage.api, [f"{GROUP}/{NEXT}/gangs"])
        await places(stage, "served")
        await apply(stage, definitions(is_next_served=True, stored=NEXT))
        await rewrite(stage)
        await places(stage, "stored")
        # Another scheduler, as in a rolling upgrade.
        await stage.start()
        assert await leader.stop() == 0
        await places(stage, "taken-over")
        async with asyncio.timeout(SETTLE_S):
            # A Gang object says Bound a moment after its last pod is.
            while (phases := await read_as_next(stage)) != dict.fromkeys(names, "Bound"):
                assert phases.keys() <= names
        await apply(stage, definitions(is_next_served=False, stored=NOW))
        await rewrite(stage)
        await places(stage, "gone-back")
        assert end_state(stage.auditor.history()).evictions == 0
        await stage.judge()


async def test_the_policies_hold_for_every_version(cluster_of_two_versions: Cluster, tmp_path: Path) -> None:
    """What the admission policies refuse is refused through the new version as well."""
    async with staged(cluster_of_two_versions, tmp_path, TERMS) as stage:
        await apply(stage, definitions(is_next_served=True, stored=NOW))
        await until_served(stage.api, [f"{GROUP}/{NEXT}/gangs"])
        may_write = ("create", "clusterrole", "writer", "--verb=create,get", "--resource=gangs.stowplan.dev")
        await asyncio.to_thread(kubectl, stage.cluster, *may_write)
        bound = ("create", "clusterrolebinding", "writer", "--clusterrole=writer", "--user=somebody")
        await asyncio.to_thread(kubectl, stage.cluster, *bound)
        body = {
            "apiVersion": f"stowplan.dev/{NEXT}",
            "kind": "Gang",
            "metadata": {"name": "mine", "namespace": stage.namespace},
        }
        words = ("--as", "somebody", "create", "--dry-run=server", "--validate=false", "-f", "-")
        told = ""
        async with asyncio.timeout(30):
            # The right takes effect a moment after it was given.
            while "ValidatingAdmissionPolicy" not in told:
                with pytest.raises(AssertionError) as refused:
                    await asyncio.to_thread(kubectl, stage.cluster, *words, given=yaml.safe_dump(body))
                told = str(refused.value)
        assert "only the scheduler writes Gang objects" in told

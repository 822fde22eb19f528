"""The plan of docs/install.md for a new version of the custom resources, step by step, there and back.

Schedulers that speak today's version work on while the next one is served, while it is what is stored, and
after it was taken away again.
"""

from __future__ import annotations

import asyncio
import copy
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Final

import msgspec
import pytest
import yaml

from deploy.local.cluster import Cluster, running_cluster
from deploy.local.manifests import DEPLOY, until_served
from scheduler.invariants import end_state
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import MERGE_PATCH, Transport
from tests.deploy.documents import Json, kubectl, parsed
from tests.faults.scheduler import Terms
from tests.faults.stage import SETTLE_S, Stage, gang, staged

NOW: Final = "v1alpha1"
NEXT: Final = "v1beta1"
BOTH: Final = (NOW, NEXT)
GROUP: Final = "/apis/stowplan.dev"
KINDS: Final = ("gangs", "teamquotas", "gpunodes")
DEFINITIONS: Final = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
#: A lease that a busy machine does not cost; the leader that is replaced gives its own back.
TERMS: Final = Terms(lease_s=30, renew_deadline_s=25.0, retry_s=0.5, write_timeout_s=2.0)
#: Fields of the next release: both versions know the first; against the plan, the new one alone the other.
ADDED: Final = "addedToBoth"
ADDED_TO_NEXT: Final = "addedToTheNextAlone"


@pytest.fixture(scope="module")
def cluster_of_two_versions() -> Iterator[Cluster]:
    with running_cluster() as cluster:
        yield cluster


@pytest.fixture
async def admin(cluster_of_two_versions: Cluster) -> AsyncIterator[Transport]:
    endpoint = Endpoint.from_kubeconfig(cluster_of_two_versions.admin_kubeconfig)
    async with Transport(endpoint, user_agent="tests", connections_max=4) as transport:
        yield transport


def definitions(*served: str, stored: str, names: tuple[str, ...] = BOTH) -> str:
    """Our custom resources with these versions: the same fields and new ones, which are optional."""
    found: list[Json] = []
    for file in sorted((DEPLOY / "crds").glob("*.yaml")):
        for document in parsed(file.read_text(encoding="utf-8")):
            (today,) = document["spec"]["versions"]
            assert today["name"] == NOW
            document["spec"]["versions"] = [
                _version(today, name, is_served=name in served, is_stored=name == stored) for name in names
            ]
            found.append(document)
    return yaml.safe_dump_all(found)


def _version(today: Json, name: str, *, is_served: bool, is_stored: bool) -> Json:
    version = copy.deepcopy(today) | {"name": name, "served": is_served, "storage": is_stored}
    status = version["schema"]["openAPIV3Schema"]["properties"]["status"]["properties"]
    for field in (ADDED, ADDED_TO_NEXT) if name == NEXT else (ADDED,):
        status[field] = {"type": "string"}
    return version


async def apply(cluster: Cluster, admin: Transport, text: str, *served: str) -> None:
    """Return when these versions are served by what was applied: the storage is set up anew meanwhile."""
    words = ("apply", "--server-side", "--force-conflicts", "-f", "-")
    await asyncio.to_thread(kubectl, cluster, *words, given=text)
    await until_served(admin, [f"{GROUP}/{version}/{kind}" for version in served for kind in KINDS])


async def written(admin: Transport, version: str = NOW) -> dict[str, Json]:
    """Every object of ours by its path, which an object of another version shares but for that version."""
    found: dict[str, Json] = {}
    for kind in KINDS:
        listed = msgspec.json.decode(await admin.request("GET", f"{GROUP}/{version}/{kind}"))
        for one in listed["items"]:
            space = one["metadata"].get("namespace")
            inside = f"namespaces/{space}/" if space else ""
            found[f"{inside}{kind}/{one['metadata']['name']}"] = one
    return found


async def store_anew(admin: Transport, before: Mapping[str, Json], version: str = NOW) -> None:
    """Write each object as it is, so that it is stored as is stored now. ``before``: those before the change.

    A patch that changes nothing is written by the API server only where the stored version differs. That
    shows when the change is in force; what is made before that is stored in the old version.
    """
    for path, one in before.items():
        async with asyncio.timeout(SETTLE_S):
            while await _written_once(admin, version, path) == one["metadata"]["resourceVersion"]:
                pass
    for path in await written(admin, version):
        await _written_once(admin, version, path)


async def _written_once(admin: Transport, version: str, path: str) -> str:
    """Patch nothing; the resourceVersion after that."""
    where = f"{GROUP}/{version}/{path}"
    answer = await admin.request("PATCH", where, body=b"{}", content_type=MERGE_PATCH)
    found: str = msgspec.json.decode(answer)["metadata"]["resourceVersion"]
    return found


async def phases(stage: Stage, version: str) -> dict[str, str]:
    """Of each Gang object, through this version."""
    found = (await written(stage.api, version)).items()
    return {path.rpartition("/")[2]: one["status"]["phase"] for path, one in found if "/gangs/" in path}


async def places(stage: Stage, name: str) -> None:
    await stage.create(gang(name, 2))
    await stage.until_bound(f"{name}-0", f"{name}-1")


async def say_bound(stage: Stage, version: str, *names: str) -> None:
    """Wait until the Gang objects, which are these, say so: a moment after the last pod is bound."""
    async with asyncio.timeout(SETTLE_S):
        while (found := await phases(stage, version)) != dict.fromkeys(names, "Bound"):
            assert found.keys() <= set(names)


async def test_a_version_comes_is_stored_and_goes_while_gangs_are_placed(
    cluster_of_two_versions: Cluster, tmp_path: Path
) -> None:
    cluster = cluster_of_two_versions
    async with staged(cluster, tmp_path, TERMS) as stage:
        await apply(cluster, stage.api, definitions(NOW, stored=NOW), NOW)
        await stage.nodes(2, gpus=8)
        leader = await stage.start()
        await places(stage, "before")
        await apply(cluster, stage.api, definitions(*BOTH, stored=NOW), *BOTH)
        await places(stage, "served")
        await say_bound(stage, NEXT, "before", "served")
        before = await written(stage.api)
        await apply(cluster, stage.api, definitions(*BOTH, stored=NEXT), *BOTH)
        await places(stage, "stored")
        await store_anew(stage.api, before)
        # Another scheduler, as in a rolling upgrade.
        await stage.start()
        assert await leader.stop() == 0
        await places(stage, "taken-over")
        await say_bound(stage, NEXT, "before", "served", "stored", "taken-over")
        before = await written(stage.api)
        await apply(cluster, stage.api, definitions(NOW, stored=NOW), NOW)
        await places(stage, "gone-back")
        # Objects of the first leader's are written after the second one's.
        await store_anew(stage.api, before)
        await say_bound(stage, NOW, "before", "served", "stored", "taken-over", "gone-back")
        assert end_state(stage.auditor.history()).evictions == 0
        assert stage.auditor.gaps == 0
        await stage.judge()


async def test_an_older_scheduler_leaves_what_a_newer_one_says(
    cluster_of_two_versions: Cluster, tmp_path: Path
) -> None:
    """It patches. Lost is only what the version that it speaks does not know: hence the plan's first rule."""
    cluster = cluster_of_two_versions
    async with staged(cluster, tmp_path, TERMS) as stage:
        await apply(cluster, stage.api, definitions(*BOTH, stored=NEXT), *BOTH)
        await stage.nodes(1, gpus=2)
        await stage.start()
        await places(stage, "first")
        await stage.create(gang("second", 2))
        await stage.until_settled()
        path = f"namespaces/{stage.namespace}/gangs/second"
        async with asyncio.timeout(SETTLE_S):
            while path not in await written(stage.api):
                pass
        told = {ADDED: "kept", ADDED_TO_NEXT: "lost"}
        await stage.patch(f"{GROUP}/{NEXT}/{path}/status", {"status": told})
        assert told.items() <= (await written(stage.api, NEXT))[path]["status"].items()
        for name in ("first-0", "first-1"):
            await stage.delete(name)
        await stage.until_bound("second-0", "second-1")
        async with asyncio.timeout(SETTLE_S):
            while (status := (await written(stage.api, NEXT))[path]["status"])["phase"] != "Bound":
                pass
        assert status[ADDED] == "kept"
        assert ADDED_TO_NEXT not in status
        await stage.judge()


async def test_what_was_stored_anew_is_read_when_the_old_version_is_gone(
    cluster_of_two_versions: Cluster, admin: Transport
) -> None:
    cluster = cluster_of_two_versions
    await apply(cluster, admin, definitions(*BOTH, stored=NOW), *BOTH)
    quota: Json = {"apiVersion": f"stowplan.dev/{NOW}", "kind": "TeamQuota", "metadata": {"name": "team"}}
    quota["spec"] = {"weight": 7}
    await admin.request("POST", f"{GROUP}/{NOW}/teamquotas", body=msgspec.json.encode(quota))
    before = await written(admin)
    assert before.keys() == {"teamquotas/team"}
    await apply(cluster, admin, definitions(*BOTH, stored=NEXT), *BOTH)
    await store_anew(admin, before)
    for kind in KINDS:
        body = msgspec.json.encode({"status": {"storedVersions": [NEXT]}})
        where = f"{DEFINITIONS}/{kind}.stowplan.dev/status"
        await admin.request("PATCH", where, body=body, content_type=MERGE_PATCH)
    await apply(cluster, admin, definitions(NEXT, stored=NEXT, names=(NEXT,)), NEXT)
    assert (await written(admin, NEXT))["teamquotas/team"]["spec"]["weight"] == 7
    await admin.delete(f"{GROUP}/{NEXT}/teamquotas/team")
    await apply(cluster, admin, definitions(*BOTH, stored=NEXT), *BOTH)


async def test_the_policies_hold_for_every_version(
    cluster_of_two_versions: Cluster, admin: Transport
) -> None:
    """What the admission policies refuse is refused through the new version as well."""
    cluster = cluster_of_two_versions
    await apply(cluster, admin, definitions(*BOTH, stored=NOW), *BOTH)
    may_write = ("create", "clusterrole", "writer", "--verb=create,get", "--resource=gangs.stowplan.dev")
    await asyncio.to_thread(kubectl, cluster, *may_write)
    bound = ("create", "clusterrolebinding", "writer", "--clusterrole=writer", "--user=somebody")
    await asyncio.to_thread(kubectl, cluster, *bound)
    meta = {"name": "mine", "namespace": "default"}
    body = {"apiVersion": f"stowplan.dev/{NEXT}", "kind": "Gang", "metadata": meta}
    words = ("--as", "somebody", "create", "--dry-run=server", "--validate=false", "-f", "-")
    told = ""
    async with asyncio.timeout(30):
        # The right takes effect a moment after it was given.
        while "ValidatingAdmissionPolicy" not in told:
            with pytest.raises(AssertionError) as refused:
                await asyncio.to_thread(kubectl, cluster, *words, given=yaml.safe_dump(body))
            told = str(refused.value)
    assert "only the scheduler writes Gang objects" in told

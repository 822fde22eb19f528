"""The rules of the scheduler's identity are what it calls: none is missing, none is to spare.

One run in which it does all that it ever does, past a proxy that notes each request; every API it can read
is served. A rule that is taken away is refused here; a rule that is added is used by nothing here.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from pathlib import Path
from typing import Final

from deploy.local.cluster import running_cluster
from deploy.local.manifests import DEPLOY
from tests.deploy.documents import Json
from tests.deploy.rights import granted, used
from tests.dialects.served import serve
from tests.faults import proxy
from tests.faults.proxy import nth
from tests.faults.scheduler import Terms
from tests.faults.stage import Stage, gang, pod, staged
from tests.volumes.cluster import Storage

IDENTITY: Final = DEPLOY / "rbac" / "scheduler.yaml"
NATIVE: Final = "/apis/scheduling.k8s.io/v1beta1/namespaces/{}/podgroups"
COSCHEDULING: Final = "/apis/scheduling.x-k8s.io/v1alpha1/namespaces/{}/podgroups"
TEAMS: Final = "/apis/stowplan.dev/v1alpha1/teamquotas"


async def does_everything(stage: Stage) -> None:
    """Gangs of three APIs, waiting, taken back and ended; lost answers; a team; volumes."""
    space = stage.namespace
    await stage.nodes(5, gpus=8)
    await stage.post(
        TEAMS, {"apiVersion": "stowplan.dev/v1alpha1", "kind": "TeamQuota", "metadata": {"name": f"t{space}"},
                "spec": {"namespaces": [space]}},
    )  # fmt: skip
    native = {"schedulingPolicy": {"gang": {"minCount": 2}}}
    for path, group, spec in (
        (NATIVE, "scheduling.k8s.io/v1beta1", native),
        (COSCHEDULING, "scheduling.x-k8s.io/v1alpha1", {"minMember": 2}),
    ):
        body: Json = {"apiVersion": group, "kind": "PodGroup", "metadata": {"name": "pg"}, "spec": spec}
        await stage.post(path.format(space), body)
    storage = Storage(stage, "n")
    await storage.classes()
    await storage.disk("v0", [f"{space}-n-0"])
    await storage.claim("data", "late")
    await storage.claim("disk", "local")
    asking, taking = (proxy.call("PATCH", f"persistentvolume{kind}") for kind in ("claims", "s"))
    for match in (proxy.gang_create, proxy.binding, asking, taking):
        stage.proxy.add(match, proxy.drop_answer(), when=nth(1))
    last = proxy.call("POST", "pods", "binding", name="back-3")
    stage.proxy.add(last, proxy.refuse_with(422, reason="Invalid"))
    await stage.start()
    await stage.create(
        [
            *gang("work", 4),
            *(pod(f"n{i}", schedulingGroup={"podGroupName": "pg"}) for i in range(2)),
            *(_labelled(f"c{i}", {"scheduling.x-k8s.io/pod-group": "pg"}) for i in range(2)),
            *gang("wide", 6, gpus=8),
            storage.pod("mounts", "data", gpus=0),
            storage.pod("takes", "disk", gpus=0),
        ]
    )
    await stage.until(
        lambda _: {"work-3", "n1", "c1"} <= stage.bound() and stage.pods()["wide-5"].told is not None,
        "three gangs placed, one told why not",
    )
    await stage.create(gang("back", 4))
    await stage.until(lambda _: not {f"back-{i}" for i in range(3)} & set(stage.pods()), "taken back")
    for name in ("work-0", "work-1", "work-2", "work-3"):
        await stage.delete(name)
    rights = granted(IDENTITY)
    async with asyncio.timeout(60):
        while not rights <= used([*stage.proxy.calls, *stage.proxy.watches]):
            await stage.proxy.next_answer()


def _labelled(name: str, labels: Json) -> Json:
    body = pod(name)
    body["metadata"]["labels"] = labels
    return body


async def test_what_is_granted_is_what_is_used(tmp_path: Path) -> None:
    with running_cluster() as cluster:
        async with staged(cluster, tmp_path, Terms()) as stage:
            await serve(stage.api)
            # What is still unused when time is up is told below, right by right.
            with suppress(TimeoutError):
                await does_everything(stage)
            seen = [*stage.proxy.calls, *stage.proxy.watches]
            unused = granted(IDENTITY) - used(seen)
            assert not unused, "\n".join(map(str, sorted(unused)))
            refused = [one for one in seen if one.status == 403 and "epoch fence" not in one.told]
            assert refused == []
            assert used(seen) - granted(IDENTITY) == set()
            await stage.until_settled()
            await stage.judge()

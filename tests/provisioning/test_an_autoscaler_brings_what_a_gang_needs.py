"""On the control plane, with an autoscaler that is played: asked once, for all, by those in need."""

from __future__ import annotations

import asyncio
from typing import Final

from deploy.local.manifests import DEPLOY
from scheduler.cli import why
from scheduler.kube.transport import NotFound
from tests.deploy.rights import granted, used
from tests.faults import proxy
from tests.faults.proxy import nth
from tests.faults.stage import GANG, MIN_MEMBER, Json, Stage, gang, pod
from tests.provisioning.autoscaler import CLASS, PATIENCE_S, Autoscaler, unserve
from tests.provisioning.conftest import RIGHTS

making: Final = proxy.call("POST", "provisioningrequests")
templating: Final = proxy.call("POST", "podtemplates")
withdrawing: Final = proxy.call("DELETE", "provisioningrequests")
CONSUME: Final = "autoscaling.x-k8s.io/consume-provisioning-request"
GANG_OBJECT: Final = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "Gang"}
SECRET: Final = "hunter2"


def wide(name: str = "wide") -> list[Json]:
    """Three pods of eight GPUs and one of four, all or none."""
    words = {GANG: name, MIN_MEMBER: "4"}
    pods = [pod(f"{name}-{i}", gpus=gpus, annotations=words) for i, gpus in enumerate((8, 8, 8, 4))]
    for each in pods:
        each["spec"]["containers"][0]["env"] = [{"name": "PASSWORD", "value": SECRET}]
    return pods


async def until_told(stage: Stage, name: str, reason: str, text: str = "") -> None:
    """Until every waiting pod of the gang has this reason, and words that end so."""

    def holds(_: object) -> bool:
        told = [one.told for key, one in stage.pods().items() if key.startswith(f"{name}-") and not one.node]
        return bool(told) and all(
            one is not None and one[1] == reason and one[2].endswith(text) for one in told
        )

    await stage.until(holds, f"{name}: {reason}, {text}")


async def test_the_nodes_come_the_gang_is_bound_whole_and_the_request_goes(
    stage: Stage, autoscaler: Autoscaler
) -> None:
    await stage.nodes(1, gpus=8)
    await stage.start()
    await stage.create(wide())
    request = await autoscaler.asked()
    assert request["spec"]["provisioningClassName"] == CLASS
    assert sorted(await autoscaler.wanted(request)) == [(1, 4), (3, 8)]
    templates = await autoscaler.templates()
    assert SECRET not in str(templates), "what a pod's owner wrote is nobody's business"
    for made in (request, *templates.values()):
        (reference,) = made["metadata"]["ownerReferences"]
        assert (reference["kind"], reference["name"]) == ("Gang", "wide")
        assert request["metadata"]["name"] == f"stowplan-{reference['uid']}"
    said = f"ProvisioningRequest {request['metadata']['name']}: not accepted yet"
    # The gang's pods are kept from the usual way of autoscalers, which would add other nodes for them.
    await until_told(stage, "wide", "WaitingForNodes", said)
    async with asyncio.timeout(PATIENCE_S):
        while not (await why.read(stage.api, stage.namespace, "wide")).subject.message.endswith(said):
            await stage.proxy.next_answer()
    nodes = await autoscaler.provision(request)
    assert len(nodes) == 4
    await stage.until_bound()
    assert await autoscaler.until(lambda requests: not requests) == []
    assert len(stage.proxy.applied(making)) == 1
    await stage.judge()
    asked = used([*stage.proxy.calls, *stage.proxy.watches])
    assert asked - granted(DEPLOY / "rbac" / "scheduler.yaml") == granted(RIGHTS)
    assert await autoscaler.templates() == {}


async def test_lost_answers_and_a_killed_leader_make_no_second_request(
    stage: Stage, autoscaler: Autoscaler
) -> None:
    await stage.nodes(1, gpus=8)
    for match in (making, templating, withdrawing):
        stage.proxy.add(match, proxy.drop_answer(), when=nth(1))
    first = await stage.start()
    await stage.create(wide())
    request = await autoscaler.asked()
    await autoscaler.say(request, "Accepted", "accepted")
    await until_told(stage, "wide", "WaitingForNodes", "Accepted: accepted")
    first.kill()
    await stage.start()
    await stage.beats(20)
    (still,) = await autoscaler.requests()
    assert still["metadata"]["uid"] == request["metadata"]["uid"]
    await autoscaler.provision(request)
    await stage.until_bound()
    await autoscaler.until(lambda requests: not requests)
    assert len(stage.proxy.answered(making)) == 1
    await stage.judge()


async def test_nobody_elses_request_is_touched_and_its_pods_ask_for_nothing(
    stage: Stage, autoscaler: Autoscaler
) -> None:
    await stage.nodes(1, gpus=8)
    theirs: Json = {
        "apiVersion": "autoscaling.x-k8s.io/v1",
        "kind": "ProvisioningRequest",
        # As like ours as can be, but for the name that only its own Gang object could give it.
        "metadata": {
            "name": "stowplan-mine",
            "labels": {"stowplan.dev/provisioning": "request"},
            "ownerReferences": [{**GANG_OBJECT, "name": "own", "uid": "mine-too"}],
        },
        "spec": {
            "provisioningClassName": CLASS,
            "podSets": [{"count": 2, "podTemplateRef": {"name": "mine"}}],
        },
    }
    await stage.post(autoscaler.path, theirs)
    (before,) = await autoscaler.requests()
    consuming = gang("own", 2, gpus=8)
    for each in consuming:
        each["metadata"]["annotations"][CONSUME] = "stowplan-mine"
    await stage.start()
    await stage.create([*consuming, *wide()])
    found = await autoscaler.until(lambda requests: len(requests) == 2)
    await until_told(stage, "own", "Unschedulable")
    await stage.beats(10)
    found = await autoscaler.requests()
    assert len(found) == 2
    (ours,) = [one for one in found if one["metadata"]["name"] != "stowplan-mine"]
    assert ours["metadata"]["ownerReferences"][0]["name"] == "wide"
    for i in range(4):
        await stage.delete(f"wide-{i}")
    assert await autoscaler.until(lambda requests: len(requests) == 1) == [before]
    await stage.judge()


async def test_a_request_in_another_namespace_speaks_for_no_gang_whatever_it_names(
    stage: Stage, autoscaler: Autoscaler
) -> None:
    await stage.nodes(1, gpus=8)
    elsewhere = f"zz-{stage.namespace}"
    await stage.post("/api/v1/namespaces", {"metadata": {"name": elsewhere}})
    await stage.start()
    await stage.create(wide())
    request = await autoscaler.asked()
    kept = ("name", "labels", "annotations", "ownerReferences")
    forged = {**request, "metadata": {key: request["metadata"][key] for key in kept}}
    path = autoscaler.path.replace(stage.namespace, elsewhere)
    await stage.post(path, forged)
    await stage.beats(10)
    await autoscaler.say(request, "Failed", "no quota in this zone")
    await until_told(stage, "wide", "Unschedulable", "Failed: no quota in this zone")
    await stage.api.delete(f"{path}/{request['metadata']['name']}")
    await stage.judge()


async def test_a_failed_request_is_told_opens_the_usual_way_and_is_made_anew(
    stage: Stage, autoscaler: Autoscaler
) -> None:
    await stage.nodes(1, gpus=8)
    await stage.start()
    await stage.create(wide())
    request = await autoscaler.asked()
    await autoscaler.say(request, "Failed", "no quota in this zone")
    # Others may add nodes from now on.
    await until_told(stage, "wide", "Unschedulable", "Failed: no quota in this zone")
    uid = request["metadata"]["uid"]
    await autoscaler.until(lambda requests: [one["metadata"]["uid"] for one in requests] not in ([uid], []))
    await until_told(stage, "wide", "WaitingForNodes", "not accepted yet")
    await stage.judge()


async def test_where_it_is_not_served_nothing_is_asked_and_it_is_said_once(stage: Stage) -> None:
    await unserve(stage)
    await stage.nodes(1, gpus=8)
    process = await stage.start()
    await stage.create(wide())
    await until_told(stage, "wide", "Unschedulable")
    await stage.beats(20)
    assert stage.proxy.answered(making) == [] == stage.proxy.answered(templating)
    said = [line for line in process.log.read_text().splitlines() if "no ProvisioningRequests" in line]
    assert len(said) == 1
    await stage.judge()


async def test_without_the_right_nothing_is_asked_and_gangs_are_scheduled_as_ever(
    stage: Stage, autoscaler: Autoscaler
) -> None:
    try:
        for kind in ("clusterrolebindings", "clusterroles"):
            await stage.api.delete(f"/apis/rbac.authorization.k8s.io/v1/{kind}/stowplan-provisioning")
    except NotFound as missing:
        raise AssertionError("the rights were not there to begin with") from missing
    await stage.nodes(4, gpus=8)
    await stage.start()
    await stage.create([*wide(), *gang("wider", 6, gpus=8)])
    await stage.until_bound(*(f"wide-{i}" for i in range(4)))
    await until_told(stage, "wider", "Unschedulable")
    assert await autoscaler.requests() == []
    await stage.judge()

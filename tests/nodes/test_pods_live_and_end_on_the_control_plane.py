"""The actor on a real API server: admission, ends, deletions, mischief, leases, registration."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from random import Random

import msgspec
import pytest

from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.kubelet import EXIT_CODE, RUN_COMMAND, RUN_SECONDS
from deploy.local.nodes.mischief import ANNOTATION, Mischief
from deploy.local.nodes.pools import RACK_LABEL, Pool, Taint
from tests.nodes.stage import Json, Stage, phases
from tests.nodes.waiting import appears, ends

MERGE = "application/merge-patch+json"


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(logs=tmp_path, lease_interval_s=0.2)


async def test_a_full_node_rejects_as_a_kubelet_and_says_so(
    stage: Stage, pool: str, settings: Settings
) -> None:
    sizes = [2, 2, 2, 2, 2, 3]
    Random(stage.namespace).shuffle(sizes)
    async with NodeActor(stage.api, [Pool(name=pool, gpus=8)], settings=settings) as actor:
        for number, gpus in enumerate(sizes):
            await stage.bind(f"pod-{number}", f"{pool}-0", gpus=gpus)
        pods = await stage.until(lambda pods: len(pods) == 6 and "Pending" not in phases(pods).values())
        admitted = [n for n in range(6) if phases(pods)[f"pod-{n}"] == "Running"]
        # First come, first served: what was refused did not fit beside what came before it and stayed.
        for number, gpus in enumerate(sizes):
            before = sum(sizes[n] for n in admitted if n < number)
            assert (number in admitted) == (before + gpus <= 8)
            if number not in admitted:
                status = pods[f"pod-{number}"].status
                assert (status.phase, status.reason) == ("Failed", "OutOfnvidia.com/gpu")
                assert f"requested: {gpus}, used: {before}, capacity: 8" in status.message
        assert actor.used(f"{pool}-0")["nvidia.com/gpu"] == sum(sizes[n] for n in admitted)
        report = actor.report()
        assert (report.admitted, report.rejected) == (
            len(admitted),
            {"OutOfnvidia.com/gpu": 6 - len(admitted)},
        )
        addresses = {pods[f"pod-{n}"].status.pod_ip for n in admitted}
        assert len(addresses) == len(admitted)


async def test_a_pod_ends_after_its_time_with_its_exit_code(
    stage: Stage, pool: str, settings: Settings
) -> None:
    async with NodeActor(stage.api, [Pool(name=pool, gpus=8)], settings=settings) as actor:
        await stage.bind("good", f"{pool}-0", gpus=4, annotations={RUN_SECONDS: "0.1"})
        await stage.bind("bad", f"{pool}-0", gpus=4, annotations={RUN_SECONDS: "0.1", EXIT_CODE: "3"})
        pods = await stage.until(lambda pods: phases(pods) == {"good": "Succeeded", "bad": "Failed"})
        assert pods["bad"].status.container_statuses[0].state["terminated"]["exitCode"] == 3
        # Their devices are free again.
        await stage.bind("next", f"{pool}-0", gpus=8)
        await stage.until(lambda pods: phases(pods).get("next") == "Running")
        assert actor.report().rejected == {}


async def test_a_deletion_is_finished_unless_told_otherwise(
    stage: Stage, pool: str, settings: Settings
) -> None:
    pools = [Pool(name=pool, count=2, gpus=8)]
    stuck = {f"{pool}-1": Mischief(never_finish_deletion=True)}
    async with NodeActor(stage.api, pools, settings=settings, mischief=stuck) as actor:
        for number in range(2):
            await stage.bind(f"pod-{number}", f"{pool}-{number}", gpus=8)
        await stage.until(lambda pods: list(phases(pods).values()) == ["Running", "Running"])
        for number in range(2):
            await stage.delete(f"pod-{number}")
        pods = await stage.until(lambda pods: set(pods) == {"pod-1"})
        assert actor.used(f"{pool}-0")["nvidia.com/gpu"] == 0
        assert actor.used(f"{pool}-1")["nvidia.com/gpu"] == 8
        assert pods["pod-1"].metadata.uid
        await actor.misbehave({})
        await stage.bind("last", f"{pool}-1", gpus=8)
        await stage.until(lambda pods: phases(pods) == {"last": "Running"})


async def test_mischief_rejects_the_chosen_pod_and_a_lost_node_is_silent(
    stage: Stage, pool: str, settings: Settings
) -> None:
    told = {f"pool/{pool}": Mischief(reject_nth=(2,)), f"{pool}-1": Mischief(lost=True)}
    async with NodeActor(stage.api, [Pool(name=pool, count=2)], settings=settings, mischief=told) as actor:
        await stage.bind("unheard", f"{pool}-1")
        for name in ("first", "second", "third"):
            await stage.bind(name, f"{pool}-0")
        wanted = {"unheard": "Pending", "first": "Running", "second": "Failed", "third": "Running"}
        await stage.until(lambda pods: phases(pods) == wanted)
        await actor.misbehave({})
        await stage.until(lambda pods: phases(pods)["unheard"] == "Running")


async def test_a_restarted_actor_counts_what_runs_before_what_waits(
    stage: Stage, pool: str, settings: Settings
) -> None:
    pools = [Pool(name=pool, gpus=8)]
    async with NodeActor(stage.api, pools, settings=settings):
        await stage.bind("z-old", f"{pool}-0", gpus=6)
        await stage.until(lambda pods: phases(pods) == {"z-old": "Running"})
    await stage.bind("a-new", f"{pool}-0", gpus=4)
    async with NodeActor(stage.api, pools, settings=settings) as actor:
        await stage.until(lambda pods: phases(pods) == {"z-old": "Running", "a-new": "Failed"})
        assert (actor.report().restored, actor.report().admitted) == (1, 0)


async def test_commands_run_with_the_pods_environment_and_restart_by_policy(
    stage: Stage, pool: str, settings: Settings
) -> None:
    # The first run fails, the second finds the trace of the first and succeeds.
    devices = f"GPU-{pool}-0-1,GPU-{pool}-0-2"
    script = 'echo "$NAME $DEVICES $GREETING $IP"; ! mkdir trace'
    fields = {
        "NAME": "metadata.name",
        "DEVICES": "metadata.annotations['stowplan.dev/devices']",
        "IP": "status.podIP",
    }
    env: list[Json] = [
        {"name": name, "valueFrom": {"fieldRef": {"fieldPath": path}}} for name, path in fields.items()
    ]
    async with NodeActor(stage.api, [Pool(name=pool, gpus=8)], settings=settings):
        pod = await stage.bind(
            "worker",
            f"{pool}-0",
            command=["sh", "-c", script],
            env=[*env, {"name": "GREETING", "value": "hello-$(NAME)-$$(NAME)"}],
            annotations={RUN_COMMAND: "true", "stowplan.dev/devices": devices},
            restart_policy="OnFailure",
        )
        pods = await stage.until(lambda pods: phases(pods) == {"worker": "Succeeded"})
    assert pods["worker"].status.container_statuses[0].restart_count == 1
    log = settings.logs / f"{stage.namespace}_worker_{pod.uid}" / "main.log"
    line = f"worker {devices} hello-worker-$(NAME) {pods['worker'].status.pod_ip}"
    assert [text for text in log.read_text().splitlines() if "mkdir" not in text] == [line, line]


async def test_deleting_a_pod_stops_its_process_group_with_grace(
    stage: Stage, pool: str, settings: Settings
) -> None:
    script = 'trap "echo asked; exit 0" TERM; sleep 1000 & echo $!; touch "$0"; wait'
    started = settings.logs / "started"
    async with NodeActor(stage.api, [Pool(name=pool)], settings=settings):
        pod = await stage.bind(
            "worker",
            f"{pool}-0",
            command=["sh", "-c", script, str(started)],
            annotations={RUN_COMMAND: "true"},
        )
        await appears(started)
        await stage.delete("worker")
        await stage.until(lambda pods: not pods)
        log = settings.logs / f"{stage.namespace}_worker_{pod.uid}" / "main.log"
        child, answer = log.read_text().splitlines()
        assert answer == "asked"
        await ends(int(child))


async def test_a_bad_wish_fails_its_pod_alone(stage: Stage, pool: str, settings: Settings) -> None:
    async with NodeActor(stage.api, [Pool(name=pool)], settings=settings):
        await stage.bind("odd", f"{pool}-0", annotations={RUN_SECONDS: "soon"})
        await stage.bind("odder", f"{pool}-0", annotations={ANNOTATION: "explode"})
        await stage.bind("fine", f"{pool}-0")
        pods = await stage.until(
            lambda pods: sorted(phases(pods).values()) == ["Failed", "Failed", "Running"]
        )
        assert RUN_SECONDS in pods["odd"].status.message
        assert ANNOTATION in pods["odder"].status.message


async def test_a_node_is_ready_and_keeps_what_others_did_to_it(
    stage: Stage, pool: str, settings: Settings
) -> None:
    pools = [Pool(name=pool, gpus=8, rack="r1", taints=(Taint(key="gpu", effect="NoSchedule"),))]
    path = f"/api/v1/nodes/{pool}-0"
    async with NodeActor(stage.api, pools, settings=settings):
        node = msgspec.json.decode(await stage.api.request("GET", path))
        assert [taint["key"] for taint in node["spec"]["taints"]] == ["gpu"]
        assert node["metadata"]["labels"][RACK_LABEL] == "r1"
        assert node["status"]["allocatable"]["nvidia.com/gpu"] == "8"
        assert [c["status"] for c in node["status"]["conditions"] if c["type"] == "Ready"] == ["True"]
    taints = [*node["spec"]["taints"], {"key": "repair", "effect": "NoExecute"}]
    cordon = {"spec": {"unschedulable": True, "taints": taints}}
    await stage.api.request("PATCH", path, body=msgspec.json.encode(cordon), content_type=MERGE)
    async with NodeActor(stage.api, pools, settings=settings):
        node = msgspec.json.decode(await stage.api.request("GET", path))
    assert node["spec"]["unschedulable"] is True
    assert {"gpu", "repair"} <= {taint["key"] for taint in node["spec"]["taints"]}


async def test_leases_are_renewed_and_a_silent_node_is_not(
    stage: Stage, pool: str, settings: Settings
) -> None:
    silent = {f"{pool}-0": Mischief(stop_heartbeats=True)}
    path = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases"
    times: dict[str, set[str]] = {}
    params = {"watch": "true", "timeoutSeconds": "30"}
    async with (
        NodeActor(stage.api, [Pool(name=pool, count=2)], settings=settings, mischief=silent),
        aclosing(stage.api.stream(path, params=params, read_timeout_s=30.0)) as stream,
    ):
        async for line in stream:
            lease = msgspec.json.decode(line)["object"]
            times.setdefault(lease["metadata"]["name"], set()).add(lease["spec"]["renewTime"])
            if len(times.get(f"{pool}-1", ())) >= 3:
                break
    assert len(times[f"{pool}-1"]) >= 3
    assert f"{pool}-0" not in times

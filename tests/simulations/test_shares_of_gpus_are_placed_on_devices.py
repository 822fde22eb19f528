"""Jobs that share GPUs go to devices as in a cluster whose agents report them, and count as what they ask."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from scheduler.cli.main import main
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.loads.trace import SHARE
from simulations.outcome import Outcome
from simulations.report.page import page
from simulations.report.series import device_map, edges, series
from simulations.summary import summarise
from simulations.workload import Job, workload
from tests.simulations.drawn import NODES, UNSHRUNK, jobs, policies
from tests.simulations.test_a_run_keeps_the_rules_of_the_cluster import most_used
from tests.simulations.test_each_public_format_is_read_as_what_it_is import checked, stowplan

COLUMNS = ("name", "submit_s", "duration_s", "gpus", "gpu_milli", "pods")


def run(found: Sequence[Job], policy: Policy) -> Outcome:
    return Engine(workload("drawn", found), NODES, Setting(policy=policy)).run()


def most_of_a_device(outcome: Outcome) -> dict[tuple[str, int], float]:
    """The most that was ever held of each device; a stay that ends leaves before one that begins."""
    moves = sorted(
        (at_s, is_start, stay.node, device, sign * stay.gpus / len(stay.devices))
        for stay in outcome.stays
        if stay.to_s > stay.from_s
        for device in stay.devices
        for at_s, is_start, sign in ((stay.from_s, True, 1), (stay.to_s, False, -1))
    )
    held: dict[tuple[str, int], float] = {}
    most: dict[tuple[str, int], float] = {}
    for _, _, node, device, part in moves:
        key = (node, device)
        held[key] = held.get(key, 0.0) + part
        most[key] = max(most.get(key, 0.0), held[key])
    return most


@settings(max_examples=40, deadline=None)
@given(found=jobs(shares=True), policy=policies)
def test_no_device_is_given_more_than_once_over(found: list[Job], policy: Policy) -> None:
    outcome = run(found, policy)
    assert all(most <= 8 + 1e-6 for most in most_used(outcome).values())
    assert all(most <= 1 + 1e-6 for most in most_of_a_device(outcome).values())
    knows = any(job.share_milli for job in found)
    for stay in outcome.stays:
        job = outcome.workload.jobs[stay.job]
        assert len(stay.devices) == (0 if not knows else 1 if job.share_milli else stay.gpus / stay.pods)
        assert all(0 <= device < 8 for device in stay.devices)


@settings(max_examples=25, deadline=None)
@given(found=jobs(shares=True), policy=policies)
def test_what_is_held_is_what_was_asked(found: list[Job], policy: Policy) -> None:
    """Jobs that are never evicted hold their share for as long as they run; pictures and map say so too."""
    outcome = run(found, policy)
    held = math.fsum(stay.gpus * (stay.to_s - stay.from_s) for stay in outcome.stays)
    if not any(story.evictions for story in outcome.stories) and all(j.min_pods == j.pods for j in found):
        assert held == pytest.approx(sum(job.total_gpus * job.duration_s for job in found))
    told, at = series(outcome, bins=41), edges(outcome, 41)
    assert told.allocated.sum() * (at[1] - at[0]) == pytest.approx(held, abs=1e-3)
    shown = device_map(outcome, bins=41)
    assert shown.held.max(initial=0.0) <= 1 + 1e-6
    assert shown.held.sum() * (at[1] - at[0]) == pytest.approx(held, abs=1e-3)
    assert min(outcome.curve.waiting_gpus) >= 0
    assert outcome.curve.allocated[-1] == outcome.curve.waiting_gpus[-1] == 0
    assert "below 1 GPUs" in page(outcome, summarise(outcome)) or all(job.total_gpus >= 1 for job in found)


def written(path: Path, rows: Sequence[Mapping[str, object]]) -> Path:
    lines = [",".join(COLUMNS), *(",".join(str(row.get(name, "")) for name in COLUMNS) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


def one_node(folder: Path, gpus: int) -> Path:
    path = folder / f"{gpus}.yaml"
    path.write_text(f"pools: [{{name: n, count: 1, gpus: {gpus}, model: NVIDIA-H100-80GB-HBM3}}]\n")
    return path


def starts(folder: Path, load: Path, gpus: int, *more: str) -> dict[str, float]:
    """When each job starts on one node, as the command says in its tables."""
    told = folder / f"of-{load.stem}"
    words = ("--cluster", str(one_node(folder, gpus)), "-o", "parquet", "--tables", str(told))
    with pytest.raises(SystemExit) as ended:
        main(("simulate", str(load), *words, *more))
    assert ended.value.code == 0
    return {row["name"]: row["started_s"] for row in parquet.read_table(told / "jobs.parquet").to_pylist()}


@settings(max_examples=8, deadline=None, phases=UNSHRUNK)
@given(
    work=st.lists(
        st.tuples(st.integers(0, 200), st.integers(1, 90), st.integers(1, 8)), min_size=2, max_size=25
    ),
    parts=st.sampled_from([2, 4]),
)
def test_parts_of_few_gpus_go_as_the_wholes_of_many(
    tmp_path_factory: pytest.TempPathFactory, work: list[tuple[int, int, int]], parts: int
) -> None:
    """Halves of four GPUs are to each other as whole ones of eight, start by start."""
    folder, found = tmp_path_factory.mktemp("parts"), []
    for milli, gpus in ((1000, 8), (1000 // parts, 8 // parts)):
        rows = [
            {
                "name": f"j{i}",
                "submit_s": at,
                "duration_s": lasts,
                "gpus": 1,
                "gpu_milli": milli,
                "pods": pods,
            }
            for i, (at, lasts, pods) in enumerate(work)
        ]
        found.append(starts(folder, written(folder / f"{milli}.csv", rows), gpus))
    assert None not in found[0].values()
    assert found[0] == found[1]


def test_a_node_that_joins_has_devices_for_shares(tmp_path: Path) -> None:
    """One that comes back, and one that is new."""
    rows = [
        {"name": "early", "submit_s": 0, "duration_s": 10, "gpus": 1, "gpu_milli": 400},
        {"name": "late", "submit_s": 100, "duration_s": 900, "gpus": 1, "gpu_milli": 600},
        {"name": "beside", "submit_s": 200, "duration_s": 10, "gpus": 1, "gpu_milli": 600},
    ]
    events = tmp_path / "events.yaml"
    new = "{name: new, count: 1, gpus: 1, model: NVIDIA-H100-80GB-HBM3}"
    events.write_text(f"events: [{{at: 50, fails: [n-0], until: 300}}, {{at: 500, pools: [{new}]}}]\n")
    found = starts(tmp_path, written(tmp_path / "load.csv", rows), 1, "--events", str(events))
    soon = {name: pytest.approx(at_s, abs=0.02) for name, at_s in (("late", 300), ("beside", 500))}
    assert found == {"early": 0.0, **soon}


@pytest.mark.parametrize(
    ("milli", "gpus"), [(0, 1), (1001, 1), (-5, 1), (12.5, 1), ("half", 1), (500, 2), (500, 0)]
)
def test_a_share_that_cannot_be_is_refused(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, milli: object, gpus: int
) -> None:
    row = {"name": "a", "submit_s": 0, "duration_s": 10, "gpus": gpus, "gpu_milli": milli}
    path = written(tmp_path / "load.csv", [row])
    code, out, err = stowplan(capsys, "simulate", str(path), "--cluster", str(one_node(tmp_path, 1)))
    assert (code, out, err.count("\n")) == (2, "", 1)
    assert err.startswith(f"error: {path}:2: column gpu_milli: expected ")


def pod(name: str, annotations: dict[str, str], gpus: int = 0) -> dict[str, object]:
    """A pod that ran for an hour, as the API server shows it."""
    state = {"terminated": {"startedAt": "2026-05-04T08:00:00Z", "finishedAt": "2026-05-04T09:00:00Z"}}
    limits = {"nvidia.com/gpu": str(gpus)} if gpus else {}
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": name, "namespace": "a", "uid": name, "resourceVersion": "1", "annotations": annotations,
            "creationTimestamp": "2026-05-04T08:00:00Z",
        },
        "spec": {"containers": [{"name": "main", "resources": {"requests": limits, "limits": limits}}]},
        "status": {"phase": "Succeeded", "containerStatuses": [{"name": "main", "state": state}]},
    }  # fmt: skip


def test_pods_of_a_cluster_keep_their_shares(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """By stowplan's annotation and by KAI's; a share of memory, or unequal ones, are noted."""
    gang = {"stowplan.dev/gang": "four", "stowplan.dev/gpu-fraction": "0.125"}
    pods = [pod("half", {"stowplan.dev/gpu-fraction": "0.5"}), pod("kai", {"gpu-fraction": "0.25"})]
    pods += [pod("memory", {"stowplan.dev/gpu-memory": "20Gi"}), pod("whole", {}, gpus=2)]
    pods += [pod(f"four-{i}", gang) for i in range(4)]
    pods += [
        pod(f"two-{part}", {"stowplan.dev/gang": "two", "stowplan.dev/gpu-fraction": part})
        for part in ("0.5", "0.75")
    ]
    path = tmp_path / "pods.json"
    path.write_text(json.dumps({"apiVersion": "v1", "kind": "List", "items": pods}))
    found = checked(capsys, str(path))
    assert found["gpu_hours"] == 0.5 + 0.25 + 1 + 2 + 4 * 0.125 + 2 * 1
    assert found["sizes"][0]["gpus"] == "below 1"  # type: ignore[index] # plain JSON
    noted = found["account"]["noted"]  # type: ignore[index] # plain JSON
    assert [(one["count"], one["reason"]) for one in noted] == [(2, SHARE)]


def test_several_gpus_are_no_share(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """A part of each of several GPUs cannot be asked for: they count as whole ones, and that is said."""
    path = tmp_path / "pods.csv"
    path.write_text(
        "name,cpu_milli,memory_mib,num_gpu,gpu_milli,qos,pod_phase,creation_time,deletion_time,scheduled_time\n"
        "a,1000,1024,2,500,LS,Running,0,3600,0\nb,1000,1024,1,500,LS,Running,0,3600,0\n"
    )
    found = checked(capsys, str(path))
    assert found["gpu_hours"] == 2.5
    assert [one["count"] for one in found["account"]["noted"]] == [1]  # type: ignore[index] # plain JSON

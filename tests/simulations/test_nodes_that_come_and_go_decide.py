"""``stowplan simulate --events``: nodes fail, are drained and join, by the rules of the live cycle."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from scheduler.cli.main import main
from scheduler.gangs.healing import Healing
from scheduler.model.objects import GPU
from scheduler.model.plan import Policy
from simulations.engine import Engine, Setting
from simulations.node_events import read_events
from simulations.outcome import Outcome
from simulations.summary import summarise
from simulations.workload import Job, workload
from tests.simulations.drawn import NODES, jobs, policies

NAMES: Final = [node.name for node in NODES]
CLUSTER: Final = """
pools:
- {name: a, count: 3, gpus: 8, model: NVIDIA-H100-80GB-HBM3}
- {name: spare, count: 1, gpus: 8, model: NVIDIA-L4}
"""
#: Nothing but the first pool will do.
JOBS: Final = """name,submit_s,duration_s,gpus,pods,gpu_models
one,0,1000,8,2,NVIDIA-H100-80GB-HBM3
two,10,500,4,1,NVIDIA-H100-80GB-HBM3
three,20,300,8,1,NVIDIA-H100-80GB-HBM3
"""


def answer(arguments: Sequence[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


class Asked:
    """A cluster, jobs and whatever else is given, in files."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self.capsys = capsys
        self.write("cluster.yaml", CLUSTER)
        self.write("jobs.csv", JOBS)

    def write(self, name: str, text: str) -> str:
        (self.folder / name).write_text(text)
        return str(self.folder / name)

    def simulate(self, events: str | None, *more: str) -> tuple[int, str, str]:
        said = [] if events is None else ["--events", self.write("events.yaml", events)]
        base = ["simulate", str(self.folder / "jobs.csv"), "--cluster", str(self.folder / "cluster.yaml")]
        return answer([*base, *said, *more], self.capsys)

    def figures(self, events: str | None, *more: str) -> dict[str, Any]:
        code, out, err = self.simulate(events, *more, "-o", "json")
        assert code == 0, err
        found: dict[str, Any] = json.loads(out)
        return found


@pytest.fixture
def asked(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Asked:
    return Asked(tmp_path, capsys)


def test_no_events_change_nothing(asked: Asked) -> None:
    assert asked.figures("events: []\n") == asked.figures(None)
    assert "GPU-hours" not in asked.simulate("events: []\n")[1]


@pytest.mark.parametrize("does", ["fails", "drains"])
def test_an_empty_node_that_goes_is_less_capacity_and_nothing_else(asked: Asked, does: str) -> None:
    before = asked.figures(None)
    after = asked.figures(f"events:\n- {{at: 100, {does}: [spare-0], until: 10min}}\n")
    word = "failed" if does == "fails" else "drained"
    assert after[f"{word}_gpu_seconds"] == 8 * 500
    for name in ("total", "by_team", "by_gpus", "makespan_s", "never_started", "nodes"):
        assert after[name] == before[name], name
    span_s = before["makespan_s"]
    held = before["gpu_share"] * 32 * span_s
    assert after["gpu_share"] == pytest.approx(held / (32 * span_s - 8 * 500), rel=1e-3)


def test_a_node_that_joins_is_offered(asked: Asked) -> None:
    before = asked.figures(None)
    pool = "{name: b, count: 1, gpus: 8, model: NVIDIA-H100-80GB-HBM3}"
    after = asked.figures(f"events:\n- {{at: 50s, pools: [{pool}]}}\n")
    assert after["nodes"] == before["nodes"] + 1
    # The third job had to wait for the second; now it waits for the node.
    assert before["by_gpus"]["5-8"]["avg_wait_s"] == pytest.approx(490, abs=1)
    assert after["by_gpus"]["5-8"]["avg_wait_s"] == pytest.approx(30, abs=1)


def test_what_faults_cost_is_told(asked: Asked) -> None:
    events = "events:\n- {at: 200, fails: [a-0, a-1, a-2], until: 400}\n"
    code, out, _ = asked.simulate(events, "--restart-seconds", "36", "--checkpoint-seconds", "60")
    assert code == 0
    # 24 GPUs for 200 s.
    assert "nodes failed: 1.3 GPU-hours away, jobs stopped 2 times" in out
    found = asked.figures(events, "--restart-seconds", "36", "--checkpoint-seconds", "60")
    # 200 and 190 s at work are 20 and 10 s after a checkpoint; both restart.
    again = 16 * (200 % 60) + 4 * (190 % 60)
    assert found["total"]["lost_gpu_seconds"] == pytest.approx(again + 20 * 36, abs=2)
    assert found["total"]["faults"] == 2
    assert found["total"]["evictions"] == 0


#: Events of a file, one a line, and what is said of them.
BROKEN: Final = [
    (["{at: 5, breaks: [a-0]}"], "events[0]: Object contains unknown field `breaks`"),
    (["{at: 5}"], "events[0]: expected one of fails, drains, joins, pools with a name or more, found none"),
    (["{at: 5, fails: [a-0], drains: [a-1]}"], "found fails and drains"),
    (["{at: 5, fails: [3]}"], "events[0].fails[0]: Expected `str`, got `int`"),
    (["{at: soon, fails: [a-0]}"], "events[0].at: expected a time such as 90, 90s, 15min, 2h or 1.5d"),
    (["{at: -1, fails: [a-0]}"], "events[0].at: expected a time such as"),
    (["{at: .nan, fails: [a-0]}"], "events[0].at: expected a time such as"),
    (["{at: 1h, fails: [a-0], until: 60min}"], "events[0].until: 3600 s is not after `at`, 3600 s; give a"),
    (["{at: 1h, joins: [a-0], until: 2h}"], "events[0].until: joins has no end; give"),
    (["{at: 1, fails: [a-0, a-9]}"], "events[0].fails[1]: the cluster has no node 'a-9'"),
    (
        ["{at: 1, joins: [a-9]}"],
        "events[0].joins[0]: the cluster has no node 'a-9'; describe new nodes under",
    ),
    (["{at: 1, joins: [a-1]}"], "events[0].joins[0]: at 1 s node a-1 is there already; leave it out"),
    (
        ["{at: 9, drains: [a-1]}", "{at: 1, fails: [a-1]}"],
        "events[0].drains[0]: at 9 s node a-1 is gone since events[1]; leave it out",
    ),
    (
        ["{at: 1, drains: [a-1], until: 9}", "{at: 8, drains: [a-1]}"],
        "events[1].drains[0]: at 8 s node a-1 is drained since events[0]; leave it out, or give that",
    ),
    (["{at: 1, pools: [{name: a}]}"], "events[0].pools: there is or was a node a-0; rename the pool"),
    (["{at: 1, pools: [{name: b, gpus: 65}]}"], "events[0].pools[0].gpus: 65 is not between 0 and 64"),
    (["["], "events.yaml: while parsing"),
]


@pytest.mark.parametrize(("lines", "expected"), BROKEN)
def test_what_is_wrong_is_named_with_its_remedy(asked: Asked, lines: list[str], expected: str) -> None:
    code, out, err = asked.simulate("\n- ".join(["events:", *lines]))
    assert code == 2
    assert not out
    assert expected in err
    assert "events.yaml" in err


def test_the_example_of_the_page_happens_to_its_cluster(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = Path(__file__).parents[2] / "docs/examples/clusters"
    trace = tmp_path / "jobs.csv"
    trace.write_text("submit_s,duration_s,gpus\n" + "0,36000,8\n" * 8)
    arguments = [
        str(trace),
        "--cluster",
        str(folder / "demo.yaml"),
        "--events",
        str(folder / "events/demo.yaml"),
    ]
    code, out, err = answer(["simulate", *arguments, "-o", "json"], capsys)
    assert code == 0, err
    found = json.loads(out)
    assert found["failed_gpu_seconds"] >= 16 * 5_400
    assert found["drained_gpu_seconds"] == pytest.approx(32 * 7_200 + 4 * 3_600)
    # Thirteen nodes, two more, and one that is gone for good.
    assert found["nodes"] == 14
    assert found["total"]["ended"] == 8


def test_windows_that_meet_do_not_overlap(asked: Asked) -> None:
    found = asked.figures(
        "events:\n- {at: 20, drains: [spare-0], until: 30}\n- {at: 10, fails: [spare-0], until: 20}\n"
    )
    assert (found["failed_gpu_seconds"], found["drained_gpu_seconds"]) == (80, 80)


# -- gangs, by the rules of the live cycle -------------------------------------------------------------

GANG: Final = Job(name="gang", submit_s=0, duration_s=1_000, gpus=8, pods=3, min_pods=3)


def run(found: Sequence[Job], text: str, folder: Path, **fields: Any) -> Outcome:
    path = folder / "events.yaml"
    path.write_text(text)
    setting = Setting(changes=read_events(path, NODES), **fields)
    return Engine(workload("told", found), NODES, setting).run()


def used_first(found: Sequence[Job]) -> list[str]:
    """The nodes of the first job while nothing happens."""
    outcome = Engine(workload("told", found), NODES, Setting()).run()
    return sorted({stay.node for stay in outcome.stays if stay.job == 0})


def test_a_lost_member_is_replaced_and_the_others_stay(tmp_path: Path) -> None:
    lost, *others = used_first([GANG])
    outcome = run([GANG], f"events: [{{at: 100, fails: [{lost}]}}]", tmp_path)
    # The fourth node takes the pod made anew at once, from a checkpoint: nothing is lost but the node.
    assert outcome.stories[0].ended_s == pytest.approx(1_000, abs=0.1)
    assert (outcome.stories[0].faults, outcome.stories[0].evictions) == (1, 0)
    for name in others:
        assert sum(s.to_s - s.from_s for s in outcome.stays if s.node == name) == pytest.approx(
            1_000, abs=0.1
        )
    assert not any(stay.node == lost and stay.to_s > 100 for stay in outcome.stays)


def test_a_gang_that_restarts_whole_leaves_after_two_seconds(tmp_path: Path) -> None:
    lost, *others = used_first([GANG])
    restarting = Healing(restarting=frozenset({"own"}))
    outcome = run([GANG], f"events: [{{at: 100, fails: [{lost}]}}]", tmp_path, healing=restarting)
    held = [s for s in outcome.stays if s.node == others[0]]
    assert any(s.to_s == pytest.approx(102, abs=0.1) and s.works_s >= s.to_s for s in held)
    assert outcome.stories[0].ended_s == pytest.approx(1_002, abs=1)
    # Two pods of eight GPUs held them for two seconds and did nothing.
    assert outcome.stories[0].lost_gpu_s == pytest.approx(32, abs=2)


def test_half_a_gang_makes_room_only_for_who_starts(tmp_path: Path) -> None:
    gang = replace(GANG, pods=4, min_pods=4)
    nodes = used_first([gang])
    text = f"events: [{{at: 100, fails: [{nodes[0]}], until: 500}}]"
    alone = run([gang], text, tmp_path)
    # Nobody has use of what the others hold: they stay until the node is back.
    assert alone.stories[0].ended_s == pytest.approx(1_400, abs=0.1)
    assert alone.stories[0].lost_gpu_s == pytest.approx(24 * 400, abs=1)
    waits = Job(name="waits", submit_s=110, duration_s=50, gpus=8, pods=2, min_pods=2)
    both = run([gang, waits], text, tmp_path)
    # It came no nearer to standing for 60 s, and somebody who waits starts.
    assert both.stories[1].started_s == pytest.approx(160, abs=6)
    assert both.stories[0].lost_gpu_s == pytest.approx(24 * 60, rel=0.15)
    assert both.stories[0].ended_s == pytest.approx(1_400, abs=1)


def test_members_above_the_minimum_are_no_loss(tmp_path: Path) -> None:
    gang = replace(GANG, min_pods=2)
    lost = used_first([gang])[0]
    outcome = run([gang], f"events: [{{at: 100, fails: [{lost}]}}]", tmp_path)
    assert outcome.stories[0].faults == 0
    assert outcome.stories[0].ended_s == pytest.approx(1_000, abs=0.1)


# -- whatever comes ------------------------------------------------------------------------------------


class Away(NamedTuple):
    name: str
    does: str
    at_s: int
    until_s: int


@st.composite
def absences(draw: st.DrawFn) -> list[Away]:
    """Each node is away for some spans that do not overlap, and is there in the end."""
    found: list[Away] = []
    for name in NAMES:
        at_s = 0
        for _ in range(draw(st.integers(0, 3))):
            at_s += draw(st.integers(1, 200))
            until_s = at_s + draw(st.integers(1, 300))
            found.append(Away(name, draw(st.sampled_from(["fails", "drains"])), at_s, until_s))
            at_s = until_s
    return draw(st.permutations(found))


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    found=jobs(),
    policy=policies,
    drawn=absences(),
    restart_s=st.sampled_from([0.0, 7.0]),
    checkpoint_s=st.sampled_from([0.0, 25.0]),
    restarts=st.booleans(),
)
def test_the_work_of_every_job_is_done_and_nobody_is_on_a_node_that_is_away(
    found: list[Job],
    policy: Policy,
    drawn: list[Away],
    restart_s: float,
    checkpoint_s: float,
    restarts: bool,
    tmp_path: Path,
) -> None:
    healing = Healing(restarting=frozenset({"own"} if restarts else ()))
    outcome = run(
        found,
        yaml.safe_dump({"events": [{"at": o.at_s, o.does: [o.name], "until": o.until_s} for o in drawn]}),
        tmp_path,
        policy=policy,
        restart_s=restart_s,
        checkpoint_s=checkpoint_s,
        healing=healing,
    )
    for away in drawn:
        for stay in outcome.stays:
            if stay.node == away.name and stay.to_s > stay.from_s:
                assert stay.to_s <= away.at_s or stay.from_s >= away.until_s
    worked: dict[int, float] = {}
    for stay in outcome.stays:
        worked[stay.job] = worked.get(stay.job, 0.0) + stay.gpus * (stay.to_s - min(stay.to_s, stay.works_s))
    for index, story in enumerate(outcome.stories):
        assert story.ended_s is not None, story.verdict
        job = story.job
        if job.min_pods < job.pods:
            continue
        done = job.total_gpus * job.duration_s
        if checkpoint_s:
            assert done - 1e-3 <= worked[index] <= done + story.lost_gpu_s + 1e-3
        else:
            assert worked[index] == pytest.approx(done, abs=1e-3)
        if not story.faults:
            assert story.lost_gpu_s == 0
    summary = summarise(outcome)
    assert summary.total.lost_gpu_seconds == pytest.approx(math.fsum(s.lost_gpu_s for s in outcome.stories))
    assert 0 <= summary.gpu_share <= 1 + 1e-9
    assert max(outcome.curve.capacity) <= sum(node.allocatable[GPU] for node in NODES)
    assert min(outcome.curve.capacity) >= 0
    assert min(outcome.curve.waiting_gpus) >= 0
    assert min(outcome.curve.scattered) >= 0
    assert outcome.curve.waiting_jobs[-1] == outcome.curve.waiting_gpus[-1] == 0
    assert outcome.curve.allocated[-1] == 0

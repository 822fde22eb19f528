"""The scheduler's own process on a real API server: borrow, take back, and the same end whoever is killed."""

from __future__ import annotations

import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import pytest

from scheduler.cli.replay import read as read_records
from scheduler.cli.teams import read as read_teams
from scheduler.invariants import end_state
from scheduler.live.config import SchedulerConfiguration
from tests.faults import proxy
from tests.faults.proxy import nth
from tests.faults.scheduler import SchedulerProcess
from tests.faults.stage import gang, pod
from tests.teams.stage import TeamStage

EIGHT = {"gpu": 8}
#: Renewals of the lease within which what is written in passing must be there.
BEATS_MAX = 60


async def _borrowed(teams: TeamStage, **borrower: object) -> None:
    """Two nodes of eight GPUs, guaranteed half and half; ``a`` runs on all of them."""
    await teams.stage.nodes(2)
    await teams.team("a", guaranteed=EIGHT, **borrower)
    await teams.team("b", guaranteed=EIGHT)
    await teams.create("a", [pod(f"a{i}") for i in range(16)])


async def test_a_team_gets_its_guarantee_back_whole_with_the_fewest_evictions(teams: TeamStage) -> None:
    await _borrowed(teams)
    await teams.stage.start()
    await teams.until_running("a", 16)
    await teams.create("b", gang("big", 2, gpus=4))
    await teams.until_running("b", 2)
    assert len(teams.running("a")) == 8
    assert end_state(teams.stage.auditor.history()).evictions == 8
    await teams.create("b", gang("beyond", 2, gpus=1))
    await teams.stage.until(
        lambda _: teams.told("b", "beyond-0")[0] != "", "the gang beyond the guarantee is told why"
    )
    assert end_state(teams.stage.auditor.history()).evictions == 8
    await teams.stage.judge()


async def test_each_victim_is_told_for_whom_and_by_which_rule(teams: TeamStage) -> None:
    await _borrowed(teams)
    await teams.stage.start()
    await teams.until_running("a", 16)
    await teams.create("b", [pod("b0", gpus=3)])
    await teams.until_running("b", 1)
    notes: list[str] = []
    for _ in range(BEATS_MAX):
        if len(notes) >= 3:
            break
        await teams.stage.beats(1)
        notes = [event.note for event in await teams.events("a", "Evicted")]
    who = f"pod {teams.namespace('b')}/b0 of team b"
    assert set(notes) == {f"reclaimed for {who}, which is within its guarantee; this was borrowed"}


async def test_a_victim_that_takes_time_to_leave_carries_for_whom_and_by_which_rule(teams: TeamStage) -> None:
    await teams.stage.nodes(2)
    await teams.team("a", guaranteed=EIGHT)
    await teams.team("b", guaranteed=EIGHT)
    await teams.create("a", [pod(f"a{i}", terminationGracePeriodSeconds=600) for i in range(16)])
    await teams.stage.start()
    await teams.until_running("a", 16)
    await teams.create("b", [pod("b0", gpus=3)])
    await teams.until_running("a", 13)
    told: dict[str, tuple[str, str, str]] = {}
    for _ in range(BEATS_MAX):
        if len(told) >= 3:
            break
        await teams.stage.beats(1)
        told = await teams.evicted("a")
    assert told.keys() == {f"a{i}" for i in range(16)} - teams.running("a")
    who = f"pod {teams.namespace('b')}/b0 of team b"
    why = f"reclaimed for {who}, which is within its guarantee; this was borrowed"
    assert set(told.values()) == {("True", "Reclaimed", why)}
    await teams.stage.judge()


async def test_nobody_is_evicted_where_the_beneficiary_would_not_fit_anyway(teams: TeamStage) -> None:
    await _borrowed(teams)
    await teams.stage.start()
    await teams.until_running("a", 16)
    await teams.create("b", [pod("wide", gpus=7, nodeSelector={"zone": "none"}), *gang("big", 2, gpus=9)])
    told = partial(teams.told, "b")
    await teams.stage.until(lambda _: all(told(name)[0] for name in ("wide", "big-0")), "both are told why")
    assert len(teams.running("a")) == 16
    assert end_state(teams.stage.auditor.history()).evictions == 0


async def test_a_borrower_at_its_minimum_run_time_is_left_alone_until_it_passes(teams: TeamStage) -> None:
    await _borrowed(teams, minRuntimeSeconds=6)
    await teams.stage.start()
    await teams.until_running("a", 16)
    await teams.create("b", [pod("b0", gpus=8)])
    await teams.stage.until(lambda _: teams.told("b", "b0")[0] == "Unschedulable", "b0 is told why")
    assert len(teams.running("a")) == 16
    await teams.until_running("b", 1)
    assert len(teams.running("a")) == 8


async def test_a_limit_is_told_with_its_numbers(teams: TeamStage) -> None:
    await teams.stage.nodes(2)
    await teams.team("a", limit={"gpu": 4})
    await teams.create("a", [pod(f"a{i}") for i in range(4)])
    await teams.stage.start()
    await teams.until_running("a", 4)
    await teams.create("a", [pod("more")])
    await teams.stage.until(lambda _: teams.told("a", "more")[0] == "QuotaExceeded", "it is told why")
    assert teams.told("a", "more")[1] == "team a is at its limit of 4 gpu: 5 would be in use"
    await teams.stage.patch("/apis/stowplan.dev/v1alpha1/teamquotas/a", {"spec": {"limit": {"gpu": 5}}})
    await teams.until_running("a", 5)


async def test_defaults_of_a_team_count_on_the_nodes_as_long_as_they_are_written(teams: TeamStage) -> None:
    """A node has 96 CPUs and the pods ask for none."""
    await teams.stage.nodes(1)
    await teams.team("a", podDefaults={"cpu": 40})
    await teams.create("a", [pod(f"a{i}") for i in range(3)])
    await teams.stage.start()
    await teams.until_running("a", 2)
    (late,) = {f"a{i}" for i in range(3)} - teams.running("a")
    await teams.stage.until(lambda _: teams.told("a", late)[0] == "Unschedulable", "the third is told why")
    assert "40 cpu" in teams.told("a", late)[1]
    default = {"spec": {"podDefaults": {"cpu": 32}}}
    await teams.stage.patch("/apis/stowplan.dev/v1alpha1/teamquotas/a", default)
    await teams.until_running("a", 3)
    await teams.stage.judge()


@pytest.mark.parametrize("is_applied", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("number", [2, 8])
async def test_killed_in_the_middle_of_a_reclaim_the_next_leader_ends_the_same_way(
    teams: TeamStage, number: int, is_applied: bool
) -> None:
    await _borrowed(teams)
    leader: list[SchedulerProcess] = [await teams.stage.start()]
    await teams.until_running("a", 16)
    action = (proxy.after if is_applied else proxy.before)(lambda: leader[0].kill())
    teams.stage.proxy.add(proxy.eviction, action, when=nth(number))
    await teams.create("b", [pod("b0", gpus=8)])
    assert await leader[0].ended(30.0) == -9
    teams.stage.proxy.clear()
    await teams.stage.start()
    await teams.until_running("b", 1)
    assert len(teams.running("a")) == 8
    assert end_state(teams.stage.auditor.history()).evictions == 8
    await teams.stage.judge(partial_s=60.0)


async def _keep(teams: TeamStage, names: Iterable[str]) -> None:
    """A disruption budget that allows none of these pods of team ``a`` to be evicted."""
    path = f"/api/v1/namespaces/{teams.namespace('a')}/pods"
    ready = {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]}
    for name in names:
        await teams.stage.patch(f"{path}/{name}", {"metadata": {"labels": {"keep": "yes"}}})
        await teams.stage.patch(f"{path}/{name}/status", {"status": ready})
    await teams.stage.post(
        f"/apis/policy/v1/namespaces/{teams.namespace('a')}/poddisruptionbudgets",
        {
            "metadata": {"name": "keep"},
            "spec": {"minAvailable": "100%", "selector": {"matchLabels": {"keep": "yes"}}},
        },
    )


async def test_a_disruption_budget_changes_the_plan(teams: TeamStage) -> None:
    await _borrowed(teams)
    await teams.stage.start()
    await teams.until_running("a", 16)
    await _keep(teams, ("a0", "a1", "a2"))
    await teams.create("b", [pod(f"b{i}") for i in range(8)])
    await teams.until_running("b", 8)
    assert {"a0", "a1", "a2"} <= teams.running("a")
    assert len(teams.running("a")) == 8


async def test_a_refused_eviction_leaves_no_word_on_the_pod(teams: TeamStage) -> None:
    """A budget that was made since the plan: what the API server refuses is not foreseen."""
    await _borrowed(teams)
    await teams.stage.start()
    await teams.until_running("a", 16)
    told = "Cannot evict pod as it would violate the pod's disruption budget."
    refuse = proxy.refuse_with(429, reason="TooManyRequests", message=told)
    refused = teams.stage.proxy.add(proxy.eviction, refuse)
    await teams.create("b", [pod("b0", gpus=3)])
    for _ in range(BEATS_MAX):
        if refused.seen.total() >= 3:
            break
        await teams.stage.beats(1)
    assert refused.seen.total() >= 3
    await teams.stage.beats(3)
    assert await teams.evicted("a") == {}
    assert await teams.events("a", "Evicted") == []
    assert len(teams.running("a")) == 16


async def test_a_team_is_told_how_it_stands_and_a_person_sees_the_same(teams: TeamStage) -> None:
    await _borrowed(teams)
    await teams.team("odd", parent="nowhere")
    await teams.stage.start()
    await teams.until_running("a", 16)
    for _ in range(BEATS_MAX):
        found, other = await teams.quota("a"), await teams.quota("odd")
        is_full = found.status.usage is not None and found.status.usage.gpu == "16"
        # Statuses are written one after the other.
        if is_full and other.status.conditions:
            break
        await teams.stage.beats(1)
    assert found.status.borrowed is not None
    assert found.status.borrowed.gpu == "8"
    assert found.status.share == "1.000000"
    assert found.status.observed_generation == found.metadata.generation > 0
    odd = other.status.conditions or ()
    assert [(c.type, c.status, c.reason) for c in odd] == [("Accepted", "False", "Orphan")]
    assert odd[0].observed_generation == 1
    await teams.create("b", [pod("late", gpus=8, nodeSelector={"zone": "none"})])
    await teams.stage.until(lambda _: teams.told("b", "late")[0] != "", "late is told why")
    answer = await read_teams(teams.stage.api, SchedulerConfiguration(), at_s=time.time())
    rows = {row.team: row for row in answer.teams}
    assert (rows["a"].used["gpu"], rows["a"].borrowed["gpu"], rows["b"].lent["gpu"]) == (16_000, 8_000, 8_000)
    assert rows["odd"].conditions
    assert [(t.gang.split("/")[1], t.why) for t in answer.order] == [("late", "b is within its guarantee")]


async def test_a_reclaim_that_was_recorded_replays(teams: TeamStage, tmp_path: Path) -> None:
    await _borrowed(teams)
    await teams.stage.start()
    await teams.until_running("a", 16)
    await teams.create("b", gang("big", 2, gpus=4))
    await teams.until_running("b", 2)
    replayed = read_records(tmp_path / "decisions.jsonl")
    assert [r.is_same for r in replayed] == [True] * len(replayed)
    assert replayed[0].evictions == [f"reclaim: 8 gangs for {teams.namespace('b')}/big of team b"]

"""Conditions and Events: on change only, never untrue, never lost to a passing fault."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.live.announcements import CONDITION_REASONS, Condition, event_body
from scheduler.live.announcements import Event as Told
from scheduler.live.announcer import REST_S_MAX, RESTS, TRIES_MAX, Announcer
from scheduler.live.metrics import Metrics
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod
from scheduler.model.plan import Reason, Verdict
from simulations.faults.virtual_time import run_virtually
from tests.builders import pod
from tests.faces.board import Board, Reported, served

REASONS: list[Reason] = ["Rejected", "Waiting", "Unschedulable", "NeverFits", "Unproven"]
GANG = GangKey(namespace="team", dialect="own", name="train")


@dataclass
class Stage:
    """An announcer, running, and the board that it writes to."""

    board: Board
    announcer: Announcer
    metrics: Metrics

    def count(self, kind: str, outcome: str) -> float:
        labels = {"kind": kind, "outcome": outcome}
        return self.metrics.registry.get_sample_value("stowplan_announcements_total", labels) or 0.0


@asynccontextmanager
async def staged(
    board: Board,
    *,
    leads: Callable[[], bool] = lambda: True,
    queue_max: int = 1000,
    remembered_max: int = 1000,
) -> AsyncIterator[Stage]:
    metrics = Metrics()
    async with served(board) as transport:
        announcer = Announcer(
            transport,
            metrics=metrics,
            clock=lambda: 1_700_000_000.0,
            carried=board.carried,
            may_act=leads,
            controller="stowplan",
            instance="stowplan-0",
            queue_max=queue_max,
            remembered_max=remembered_max,
            backoff_s=0.001,
        )
        running = asyncio.create_task(announcer.run())
        try:
            yield Stage(board, announcer, metrics)
        finally:
            running.cancel()
            await asyncio.wait([running])


def members(count: int) -> list[Pod]:
    return [pod(f"train-{i}") for i in range(count)]


def waits(reason: Reason, message: str, key: GangKey = GANG) -> Verdict:
    return Verdict(key=key, reason=reason, message=message)


async def test_every_member_is_told_and_one_event_speaks_for_the_gang() -> None:
    pods, board = members(16), Board()
    board.add(*pods)
    async with staged(board) as stage:
        for _ in range(50):
            stage.announcer.say(waits("Unschedulable", "needs 16"), pods)
        await stage.announcer.drained()
    assert {held.told for held in board.pods.values()} == {Condition("Unschedulable", "needs 16")}
    assert board.patches == 16
    assert board.reasons() == [("train-0", "FailedScheduling")]


async def test_a_new_message_is_told_without_another_event_and_a_new_reason_with_one() -> None:
    pods, board = members(2), Board()
    board.add(*pods)
    async with staged(board) as stage:
        for verdict in (
            waits("Waiting", "1 of 2 members exist"),
            waits("Unschedulable", "needs 2"),
            waits("Unschedulable", "needs 2, 1 can be had"),
            waits("NeverFits", "needs 2"),
        ):
            stage.announcer.say(verdict, pods)
            await stage.announcer.drained()
    assert board.patches == 8
    assert [reason for _, reason in board.reasons()] == ["WaitingForMembers", "FailedScheduling", "NeverFits"]


async def test_a_restart_repeats_nothing_that_the_pods_already_carry() -> None:
    pods, board = members(5), Board()
    board.add(*pods)
    async with staged(board) as before:
        before.announcer.say(waits("Unschedulable", "needs 5"), pods)
        await before.announcer.drained()
    async with staged(board) as after:
        after.announcer.say(waits("Unschedulable", "needs 5"), pods)
        await after.announcer.drained()
    assert board.patches == 5
    assert len(board.events) == 1


async def test_the_time_of_transition_is_the_first_telling() -> None:
    (only,), board = members(1), Board()
    board.add(only)
    async with staged(board) as stage:
        stage.announcer.say(waits("Waiting", "a"), [only])
        await stage.announcer.drained()
        first = board.pods["train-0"].since
        board.pods["train-0"].since = "earlier"
        stage.announcer.say(waits("Waiting", "b"), [only])
        await stage.announcer.drained()
    assert first == "2023-11-14T22:13:20Z"
    assert board.pods["train-0"].since == "earlier"


async def test_a_pod_bound_in_the_meantime_is_never_told_that_it_waits() -> None:
    pods, board = members(20), Board()
    board.add(*pods)
    async with staged(board) as stage:
        stage.announcer.say(waits("Unschedulable", "needs 20"), pods)
        for each in pods:
            board.bind(each.name, "n1")
        await stage.announcer.drained()
        assert stage.count("condition", "stale") == 20
    assert board.untrue == []
    assert board.patches == 0


async def test_a_pod_changed_by_others_is_told_all_the_same() -> None:
    pods, board = members(3), Board()
    board.add(*pods)
    for each in pods:
        board.touch(each.name)
    async with staged(board) as stage:
        stage.announcer.say(waits("Unschedulable", "needs 3"), pods)
        await stage.announcer.drained()
    assert board.patches == 3


async def test_what_is_withdrawn_is_not_said_and_can_be_said_again() -> None:
    pods, board = members(3), Board()
    board.add(*pods)
    async with staged(board) as stage:
        stage.announcer.say(waits("Unschedulable", "needs 3"), pods)
        stage.announcer.withdraw(each.uid for each in pods)
        await stage.announcer.drained()
        assert board.patches == 0
        stage.announcer.say(waits("Unschedulable", "needs 3"), pods)
        await stage.announcer.drained()
    assert board.patches == 3


async def test_each_bound_pod_has_one_event_that_says_where() -> None:
    pods, board = members(4), Board()
    async with staged(board) as stage:
        stage.announcer.bound([(each, f"n{i}") for i, each in enumerate(pods)])
        stage.announcer.evicted(pods[:1], "only 3 of 4 members could be bound", "TakenBack")
        await stage.announcer.drained()
    events = list(board.events.values())
    assert [(e.regarding.uid, e.reason, e.type) for e in events[:4]] == [
        (each.uid, "Scheduled", "Normal") for each in pods
    ]
    assert events[1].note == "Successfully assigned team/train-1 to n1"
    assert (events[4].reason, events[4].type, events[4].action) == ("Evicted", "Warning", "Evicting")
    assert {(e.reporting_controller, e.reporting_instance) for e in events} == {("stowplan", "stowplan-0")}


async def test_an_evicted_pod_is_told_why_while_it_leaves_whatever_version_it_is_in() -> None:
    pods, board = members(3), Board()
    board.add(*pods)
    for each in pods:
        board.bind(each.name, "n1")
    del board.pods["train-1"]
    board.pods["train-2"].uid = "another of its name"
    async with staged(board) as stage:
        stage.announcer.evicted(pods, "reclaimed for pod b/b0", "Reclaimed")
        await stage.announcer.drained()
        assert (stage.count("condition", "sent"), stage.count("condition", "stale")) == (1, 2)
    told = ("True", "Reclaimed", "reclaimed for pod b/b0", "2023-11-14T22:13:20Z")
    assert {name: held.evicted for name, held in board.pods.items()} == {"train-0": told, "train-2": None}
    assert [reason for _, reason in board.reasons()] == ["Evicted"] * 3
    assert board.untrue == []


async def test_who_leaves_is_told_before_those_who_wait() -> None:
    pods, board = members(20), Board()
    board.add(*pods)
    leaving = pod("leaving")
    board.add(leaving)
    async with staged(board) as stage:
        stage.announcer.say(waits("Unschedulable", "needs 20"), pods)
        stage.announcer.evicted([leaving], "preempted for pod b/b0", "Preempted")
        await stage.announcer.drained()
    assert len(board.order) == 21
    # Three are written side by side.
    assert "leaving" in board.order[:3]


async def test_an_evicted_pods_condition_survives_lost_answers_and_refusals() -> None:
    pods, board = members(5), Board()
    board.add(*pods)
    faults: list[int | str | None] = [503, "lost", None, 429, "lost"]
    board.fault = lambda: faults.pop() if faults else None
    async with staged(board) as stage:
        stage.announcer.evicted(pods, "reclaimed for pod b/b0", "Reclaimed")
        await stage.announcer.drained()
    assert faults == []
    assert {held.evicted is not None for held in board.pods.values()} == {True}


async def test_a_process_that_does_not_lead_says_nothing() -> None:
    pods, board = members(3), Board()
    board.add(*pods)
    leads = False
    async with staged(board, leads=lambda: leads) as stage:
        stage.announcer.say(waits("Unschedulable", "needs 3"), pods)
        await stage.announcer.drained()
        assert (board.patches, len(board.events)) == (0, 0)
        leads = True
        stage.announcer.say(waits("Unschedulable", "needs 3"), pods)
        await stage.announcer.drained()
    assert board.patches == 3


async def test_a_full_queue_drops_counts_and_says_it_again_later() -> None:
    pods, board = members(50), Board()
    board.add(*pods)
    async with staged(board, queue_max=10) as stage:
        stage.announcer.say(waits("Unschedulable", "needs 50"), pods)
        assert stage.count("condition", "dropped") == 40
        assert stage.metrics.registry.get_sample_value("stowplan_announcements_queued") == 10
        for _ in range(50):
            await stage.announcer.drained()
            stage.announcer.say(waits("Unschedulable", "needs 50"), pods)
            if board.patches == 50:
                break
        await stage.announcer.drained()
    assert board.patches == 50


async def test_what_the_api_refuses_for_good_is_not_asked_again() -> None:
    pods, board = members(2), Board(fault=lambda: 422)
    board.add(*pods)
    async with staged(board) as stage:
        for _ in range(5):
            stage.announcer.say(waits("Unschedulable", "needs 2"), pods)
            await stage.announcer.drained()
        assert stage.count("condition", "failed") == 2


async def test_tries_are_bounded() -> None:
    (only,) = members(1)
    tries = 0

    def fault() -> int:
        nonlocal tries
        tries += 1
        return 503

    board = Board(fault=fault)
    board.add(only)
    async with staged(board) as stage:
        stage.announcer.say(waits("Waiting", "a"), [only])
        await stage.announcer.drained()
    assert tries == 2 * TRIES_MAX  # the condition and its Event


async def test_a_pause_slows_and_a_resume_lets_go() -> None:
    pods, board = members(8), Board()
    board.add(*pods)
    async with staged(board) as stage:
        stage.announcer.pause()
        stage.announcer.say(waits("Unschedulable", "needs 8"), pods)
        for _ in range(20):
            await asyncio.sleep(0)
        assert board.patches == 0
        stage.announcer.resume()
        await stage.announcer.drained()
    assert board.patches == 8


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32), steps=st.integers(1, 30))
async def test_after_faults_every_waiting_pod_carries_the_last_word(seed: int, steps: int) -> None:
    """Verdicts, bindings, foreign writes and faults in any order; then the loop speaks once more."""
    chance = random.Random(seed)
    pods, board = members(6), Board()
    board.add(*pods)
    board.fault = lambda: chance.choice([None, None, None, 429, 500, 503, "lost"])
    waiting, verdict = list(pods), waits("Waiting", "0")
    async with staged(board, queue_max=8, remembered_max=chance.choice([2, 1000])) as stage:
        for step in range(steps):
            match chance.randrange(5):
                case 0 if waiting:
                    done = waiting.pop(chance.randrange(len(waiting)))
                    stage.announcer.withdraw([done.uid])
                    board.bind(done.name, "n1")
                    stage.announcer.bound([(done, "n1")])
                case 1:
                    board.touch(chance.choice(pods).name)
                case 2:
                    await stage.announcer.drained()
                case _:
                    verdict = waits(chance.choice(REASONS), str(step))
                    stage.announcer.say(verdict, waiting)
        await stage.announcer.drained()
        board.fault = lambda: None
        for _ in range(3):
            stage.announcer.say(verdict, waiting)
            await stage.announcer.drained()
    last = Condition(CONDITION_REASONS[verdict.reason], verdict.message)
    assert {board.pods[each.name].told for each in waiting} <= {last}
    assert board.untrue == []


@given(st.text(max_size=3000), st.from_regex(r"[a-z]([-a-z0-9.]{0,250}[a-z0-9])?", fullmatch=True))
def test_any_text_makes_an_event_the_api_accepts(text: str, name: str) -> None:
    event = Told(pod=pod(name), reason="Rejected", note=text, type="Warning", action="Scheduling")
    body = event_body(event, controller="stowplan", instance="x" * 300, at_s=1.5, serial=2**40)
    read = msgspec.json.decode(body, type=Reported)
    assert len(read.metadata.name) <= 253
    assert len(read.note.encode()) <= 1024
    assert read.note.isprintable()
    assert len(read.reporting_instance) <= 128
    assert read.event_time == "1970-01-01T00:00:01.500000Z"


@given(st.text(max_size=3000), st.sampled_from(REASONS))
def test_only_a_lack_of_room_asks_for_nodes(text: str, reason: Reason) -> None:
    condition = Condition.of(reason, text)
    assert condition.reason == {"Rejected": "Rejected", "Waiting": "Waiting"}.get(reason, "Unschedulable")
    assert len(condition.message) <= 1024
    assert condition.message.isprintable()


async def test_one_namespace_with_much_to_be_told_holds_up_no_other() -> None:
    many, few, board = members(60), [pod(f"o{i}", namespace="other") for i in range(3)], Board()
    board.add(*many, *few)
    async with staged(board, queue_max=50) as stage:
        stage.announcer.pause()
        stage.announcer.say(waits("Unschedulable", "needs 60"), many)
        stage.announcer.say(waits("Unschedulable", "needs 3"), few)
        stage.announcer.resume()
        await stage.announcer.drained()
    assert {one.name for one in few} <= set(board.order[: 4 * len(few)]), "in turn, not behind the others"


async def test_for_whom_room_is_held_is_told_before_others() -> None:
    many, held, board = members(40), pod("held"), Board()
    board.add(*many, held)
    verdict = Verdict(
        key=GangKey(namespace="team", dialect="pod", name=held.uid),
        reason="WaitingForVictims",
        message="waits for pods that are leaving",
        nominated={held.uid: "n1"},
    )
    async with staged(board) as stage:
        stage.announcer.pause()
        stage.announcer.say(waits("Unschedulable", "needs 40"), many)
        stage.announcer.say(verdict, [held])
        stage.announcer.resume()
        await stage.announcer.drained()
    assert "held" in board.order[:4]


@given(takes_s=st.floats(0.001, REST_S_MAX / RESTS))
@settings(deadline=None, max_examples=20)
def test_the_writers_leave_the_api_server_in_peace_for_longer_than_they_keep_it(takes_s: float) -> None:
    async def kept_s() -> tuple[float, float]:
        """For how long the writers kept the API server, and from the first word to the last."""
        loop, pods, kept = asyncio.get_running_loop(), members(60), list[float]()

        class Slow:
            async def request(self, *_: object, **__: object) -> bytes:
                answered = asyncio.Event()
                loop.call_later(takes_s, answered.set)
                await answered.wait()
                kept.append(takes_s)
                return b"{}"

        announcer = Announcer(
            Slow(),
            metrics=Metrics(),
            clock=loop.time,
            carried=lambda uid: None,
            may_act=lambda: True,
            controller="stowplan",
            instance="stowplan-0",
        )
        running, begun_s = asyncio.create_task(announcer.run()), loop.time()
        announcer.say(waits("Unschedulable", "needs 60"), pods)
        await announcer.drained()
        running.cancel()
        await asyncio.wait([running])
        return sum(kept), loop.time() - begun_s

    kept, lasted = run_virtually(kept_s())
    assert kept < lasted

"""One Elector and what befalls its Lease."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.kube.lease import Elector, Observed, Terms, decide, is_still_ours, may_write
from simulations.faults.virtual_time import elapse, run_virtually
from tests.kube.lease_store import NAME, NAMESPACE, LeaseClient, LeaseStore

TERMS = Terms()


class Stage:
    """A Lease on a server, and candidates for it."""

    def __init__(self) -> None:
        self.store = LeaseStore()
        self.loss = ""
        self.loop = asyncio.get_running_loop()
        self.floor = 0

    def elector(self, me: str) -> Elector:
        return Elector(
            LeaseClient(self.store, loses=lambda: self.loss),
            namespace=NAMESPACE,
            name=NAME,
            me=me,
            terms=TERMS,
            clock=self.loop.time,
            rng=lambda: 0.5,
            stamp=lambda: f"stamp-{self.loop.time():.3f}",
            epoch_floor=lambda: self.floor,
        )

    async def took_s(self, work: Awaitable[object]) -> float:
        started_s = self.loop.time()
        await work
        return self.loop.time() - started_s


def staged(story: Callable[[Stage], Awaitable[None]]) -> None:
    async def play() -> None:
        await story(Stage())

    run_virtually(play(), limit_s=3600.0)


def test_the_first_candidate_leads_at_once_and_renews() -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        assert not elector.may_act()
        assert await elector.acquire() == 1
        assert not elector.took_over
        holding = asyncio.create_task(elector.hold())
        for _ in range(1000):
            await elapse(0.1)
            assert elector.may_act()
        assert stage.store.lease is not None
        spec = stage.store.lease.spec
        assert (spec.holder_identity, spec.lease_transitions, spec.lease_duration_seconds) == ("a", 1, 15)
        assert spec.acquire_time == "stamp-0.010", "acquireTime is of the term, not of the renewal"
        assert spec.renew_time != spec.acquire_time
        holding.cancel()

    staged(story)


def test_a_follower_waits_out_a_lease_it_saw_unchanged() -> None:
    async def story(stage: Stage) -> None:
        first, second = stage.elector("a"), stage.elector("b")
        await first.acquire()
        await elapse(100.0)
        # Dead for long, but the follower has only just begun to look.
        assert 15.0 < await stage.took_s(second.acquire()) < 19.0
        assert (second.epoch, second.took_over) == (2, True)
        assert not first.may_act()

    staged(story)


def test_a_candidate_that_is_not_ready_watches_the_lease_and_leaves_it() -> None:
    async def story(stage: Stage) -> None:
        first, second = stage.elector("a"), stage.elector("b")
        await first.acquire()
        ready = asyncio.Event()
        acquiring = asyncio.create_task(second.acquire(ready))
        await elapse(60.0)
        assert (stage.store.holder, acquiring.done()) == ("a", False)
        ready.set()
        assert await stage.took_s(acquiring) < 0.1, "it saw the lease expire while it got ready"
        assert (stage.store.holder, second.epoch) == ("b", 2)

    staged(story)


def test_a_released_lease_is_taken_at_once_and_was_not_taken_over() -> None:
    async def story(stage: Stage) -> None:
        first, second = stage.elector("a"), stage.elector("b")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        await elapse(30.0)
        await first.release()
        assert not first.may_act()
        assert await stage.took_s(second.acquire()) < 0.1
        assert (second.epoch, second.took_over) == (2, False)
        assert await stage.took_s(holding) < 3.0

    staged(story)


def test_a_release_during_a_renewal_is_a_release() -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        await elector.acquire()
        holding = asyncio.create_task(elector.hold())
        await elapse(2.005)  # The renewal of second 2 is on its way.
        await elector.release()
        assert stage.store.holder == ""
        await holding
        assert not elector.may_act()
        assert stage.store.holder == ""

    staged(story)


@pytest.mark.parametrize("loss", ["request", "answer"])
def test_without_answers_acting_stops_before_the_deadline_and_holding_at_it(loss: str) -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        await elector.acquire()
        stage.loss = loss
        holding = asyncio.create_task(elector.hold())
        await elapse(TERMS.renew_deadline_s - TERMS.write_timeout_s - 0.1)
        assert elector.may_act()
        await elapse(0.2)
        assert not elector.may_act()
        assert await stage.took_s(holding) < TERMS.write_timeout_s + 0.1

    staged(story)


def test_answers_that_come_back_in_time_let_the_leader_act_again() -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        await elector.acquire()
        stage.loss = "answer"
        holding = asyncio.create_task(elector.hold())
        await elapse(6.0)
        assert not elector.may_act()
        stage.loss = ""
        await elapse(3.5)
        assert elector.may_act()
        assert stage.store.epoch == 1
        holding.cancel()

    staged(story)


EDITS: dict[str, Callable[[LeaseStore], None]] = {
    "deleted": lambda store: store.delete(),
    "holder": lambda store: store.edit(holder_identity="admin"),
    "released": lambda store: store.edit(holder_identity=""),
    "epoch": lambda store: store.edit(lease_transitions=7),
}


@pytest.mark.parametrize("edit", EDITS)
def test_an_admins_hand_on_the_lease_ends_the_term(edit: str) -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        await elector.acquire()
        holding = asyncio.create_task(elector.hold())
        await elapse(7.0)
        EDITS[edit](stage.store)
        assert await stage.took_s(holding) < TERMS.retry_s + 0.1
        assert not elector.may_act()
        assert stage.store.holder != "a" or stage.store.epoch == 7

    staged(story)


def test_a_lease_deleted_and_made_again_by_hand_is_another_lease() -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        await elector.acquire()
        holding = asyncio.create_task(elector.hold())
        await elapse(3.0)
        assert stage.store.lease is not None
        same = stage.store.lease.spec
        stage.store.delete()
        stage.store.write(same, "another-uid")
        assert await stage.took_s(holding) < TERMS.retry_s + 0.1

    staged(story)


def test_a_label_on_the_lease_ends_nothing() -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        await elector.acquire()
        holding = asyncio.create_task(elector.hold())
        for _ in range(30):
            await elapse(1.0)
            stage.store.label()
            assert elector.may_act()
        holding.cancel()

    staged(story)


def test_epochs_grow_also_when_the_lease_was_deleted() -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        await elector.acquire()
        await elector.release()
        assert await elector.acquire() == 2
        stage.store.delete()
        assert await elector.acquire() == 3
        assert elector.took_over, "a leader may have been under it"
        stage.store.delete()
        stage.floor = 40
        assert await stage.elector("fresh process").acquire() == 41

    staged(story)


def test_a_take_whose_answer_was_lost_is_taken_again_with_a_new_epoch() -> None:
    async def story(stage: Stage) -> None:
        elector = stage.elector("a")
        stage.loss = "answer"
        acquiring = asyncio.create_task(elector.acquire())
        await elapse(12.0)
        stage.loss = ""
        epoch = await acquiring
        assert epoch == stage.store.epoch
        assert epoch >= 1
        assert elector.may_act()

    staged(story)


@given(
    now_s=st.floats(0, 1e6),
    age_s=st.floats(0, 100),
    holder=st.sampled_from(["", "me", "other"]),
    lease_s=st.floats(1, 60),
)
def test_only_a_free_own_or_expired_lease_is_taken(
    now_s: float, age_s: float, holder: str, lease_s: float
) -> None:
    seen = Observed(
        uid="u",
        resource_version="1",
        holder=holder,
        epoch=1,
        lease_s=lease_s,
        acquired="",
        since_s=now_s - age_s,
    )
    is_taken = decide(seen, "me", now_s) == "take"
    assert is_taken == (holder in ("", "me") or now_s - (now_s - age_s) > lease_s)
    assert decide(None, "me", now_s) == "create"
    assert is_still_ours(seen, uid="u", me="me", epoch=1) == (holder == "me")
    assert not is_still_ours(None, uid="u", me="me", epoch=1)


@given(renewed_s=st.floats(0, 1e6), later_s=st.floats(0, 30))
def test_a_write_that_may_leave_has_ended_by_the_deadline(renewed_s: float, later_s: float) -> None:
    now_s = renewed_s + later_s
    if may_write(renewed_s, now_s, TERMS):
        assert now_s + TERMS.write_timeout_s < renewed_s + TERMS.renew_deadline_s < renewed_s + TERMS.lease_s
    assert not may_write(None, now_s, TERMS)


@pytest.mark.parametrize(
    "times",
    [
        {"lease_s": 10.0},
        {"renew_deadline_s": 15.0},
        {"retry_s": 10.0},
        {"write_timeout_s": 10.0},
        {"retry_s": 0.0, "write_timeout_s": 0.0},
    ],
)
def test_terms_that_cannot_hold_are_refused(times: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="renew deadline"):
        Terms(**times)

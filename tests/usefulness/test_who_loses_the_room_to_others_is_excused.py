"""INV17: nobody starts on room that others took away from the beneficiary; by whom and when it is excused."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.invariants import no_useless_eviction
from tests.faults.chronicle import Chronicle, honest

SEEDS = st.integers(0, 2**32)
few = settings(max_examples=15)


def _evicted_for(told: Chronicle, level: int, words: str = "") -> None:
    """Somebody of this priority waits for a node, from which a pod is evicted for it."""
    victim, urgent = told.pod("victim", gpus=16), told.pod("urgent", gpus=16)
    told.change(replace(told.pods[urgent], priority=level, nominated="n8"))
    told.bind(victim, "n8")
    told.now_s += 20.0
    told.evict(victim, words or f"preempted for pod team/urgent, which has priority {level}")


def _found(told: Chronicle) -> list[str]:
    return [str(found) for found in no_useless_eviction(told.history(quiet_s=1_000.0))]


def _begun(seed: int) -> Chronicle:
    told = honest(seed)
    told.node("n8", 16)
    return told


@few
@given(seed=SEEDS, before_s=st.floats(0.0, 4.8) | st.floats(5.0, 60.0))
def test_a_node_that_became_smaller_while_the_eviction_was_written(seed: int, before_s: float) -> None:
    told = _begun(seed)
    victim, _ = told.pod("victim", gpus=16), told.pod("urgent", gpus=16)
    told.bind(victim, "n8")
    told.now_s += 100.0
    told.node("n8", 8)
    told.now_s += before_s
    told.evict(victim, "preempted for pod team/urgent, which has priority 1")
    assert (_found(told) == []) is (before_s < 5.0)


@few
@given(
    seed=SEEDS,
    level=st.integers(1, 100),
    more=st.integers(-3, 3),
    after_s=st.floats(0.0, 100.0),
    starts=st.booleans(),
    is_displaced=st.booleans(),
)
def test_somebody_to_whom_the_room_was_promised_meanwhile_or_who_took_it(
    seed: int, level: int, more: int, after_s: float, starts: bool, is_displaced: bool
) -> None:
    """A higher priority goes first by every order, also by that of a policy which displaces."""
    told = _begun(seed)
    displaced = "displaced for pod team/urgent, which goes first by the policy's order"
    _evicted_for(told, level, displaced if is_displaced else "")
    told.now_s += after_s
    other = told.pod("other", gpus=1)
    told.change(replace(told.pods[other], priority=level + more, nominated="" if starts else "n8"))
    if starts:
        told.bind(other, "n8")
    told.remove(other)
    assert (_found(told) == []) is (more > 0)


@few
@given(seed=SEEDS, after_s=st.floats(0.0, 100.0))
def test_somebody_to_whom_other_room_was_promised(seed: int, after_s: float) -> None:
    told = _begun(seed)
    told.node("n9", 16)
    _evicted_for(told, 10)
    told.now_s += after_s
    other = told.pod("other", gpus=1)
    told.change(replace(told.pods[other], priority=100, nominated="n9"))
    assert _found(told)


@few
@given(seed=SEEDS, after_s=st.floats(0.1, 100.0), is_its=st.booleans())
def test_another_node_of_the_beneficiary_that_changes_meanwhile(
    seed: int, after_s: float, is_its: bool
) -> None:
    """It waits for two nodes, of which one is cordoned for a while: its promise is over, and others come."""
    told = _begun(seed)
    told.node("n9", 16)
    _, uids = told.gang("wide", 2, gpus=16)
    victims = [told.pod(f"victim-{number}", gpus=16) for number in range(2)]
    for victim, uid, node in zip(victims, uids, ("n8", "n9"), strict=True):
        told.bind(victim, node)
        told.change(replace(told.pods[uid], nominated=node))
    told.now_s += 20.0
    told.evict(victims[0], "preempted for gang team/wide, which has priority 1")
    told.now_s += after_s
    told.node("n9" if is_its else "n7", 15)
    assert (_found(told) == []) is is_its

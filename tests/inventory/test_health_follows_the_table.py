"""``assess`` over histories nobody picked: one reaction a period, and no return too early."""

from __future__ import annotations

import random
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.inventory.assess import HEALTHY, Health, assess, fatal_times
from scheduler.inventory.health import TABLE, HealthPolicy, rule_of
from scheduler.inventory.history import SIGNS_MAX, History, Sign

POLICY = HealthPolicy(clean_s=600.0, clean_max_s=7_200.0)
KINDS = st.sampled_from(sorted({*TABLE, "xid-999", "xid-9"}))
TIMES = st.integers(0, 30_000).map(float)
FATAL = ["xid-79", "xid-48", "xid-64", "xid-95", "xid-74", "xid-109"]
HARMLESS = ["xid-63", "xid-94", "xid-13", "xid-31", "xid-43", "xid-45", "xid-68", "xid-92"]


@st.composite
def _sign(draw: st.DrawFn) -> Sign:
    first_s = draw(TIMES)
    last_s = first_s + draw(st.integers(0, 900))
    mended_s = draw(st.none() | st.integers(0, 5_000).map(lambda more: last_s + more))
    return Sign(kind=draw(KINDS), first_s=first_s, last_s=last_s, mended_s=mended_s)


SIGNS = st.lists(_sign(), max_size=SIGNS_MAX)


def _health(signs: list[Sign], now_s: float, policy: HealthPolicy = POLICY) -> Health:
    return assess(History(signs={"GPU-0": tuple(signs)}), now_s, policy)["GPU-0"]


@settings(max_examples=60)
@given(signs=SIGNS)
def test_two_reactions_are_a_period_apart(signs: list[Sign]) -> None:
    times = fatal_times(signs, POLICY)
    assert all(later - earlier >= POLICY.clean_s for earlier, later in pairwise(times))


@settings(max_examples=60)
@given(moments=st.lists(TIMES, min_size=1, max_size=200), kind=st.sampled_from(FATAL))
def test_a_flapping_device_is_reacted_to_once_a_period(moments: list[float], kind: str) -> None:
    history, reactions = History(), set()
    for moment in sorted(moments):
        history = history.struck("GPU-0", kind, moment).mended(["GPU-0"], "boot", moment)
        fatal_s = assess(history, moment, POLICY)["GPU-0"].fatal_s
        assert fatal_s is not None
        reactions.add(fatal_s)
    span_s = max(moments) - min(moments)
    assert len(reactions) <= span_s // POLICY.clean_s + 1


@settings(max_examples=60)
@given(signs=SIGNS, now_s=TIMES)
def test_the_order_of_signs_does_not_matter(signs: list[Sign], now_s: float) -> None:
    shuffled = random.Random(len(signs)).sample(signs, len(signs))
    assert _health(shuffled, now_s) == _health(signs, now_s)


@settings(max_examples=60)
@given(signs=SIGNS, now_s=TIMES)
def test_nothing_returns_within_the_clean_period(signs: list[Sign], now_s: float) -> None:
    health = _health(signs, now_s)
    bad = [sign for sign in signs if rule_of(sign.kind).severity in ("quarantine", "fatal")]
    for sign in bad:
        if sign.first_s <= now_s < sign.last_s + POLICY.clean_s:
            assert not health.is_usable
        if sign.first_s <= now_s and sign.mended_s is None and rule_of(sign.kind).recovery != "clean":
            assert not health.is_usable
            assert health.until_s is None
    if not any(sign.first_s <= now_s for sign in bad):
        assert health.is_usable


@settings(max_examples=60)
@given(signs=SIGNS)
def test_everything_mended_returns_in_the_end(signs: list[Sign]) -> None:
    mended = [
        Sign(kind=s.kind, first_s=s.first_s, last_s=s.last_s, mended_s=s.mended_s or s.last_s) for s in signs
    ]
    last_s = max((sign.mended_s or 0.0 for sign in mended), default=0.0)
    assert _health(mended, last_s + POLICY.clean_max_s + 1).is_usable


@settings(max_examples=60)
@given(signs=SIGNS, now_s=TIMES)
def test_a_device_that_is_out_says_why_and_what_to_do(signs: list[Sign], now_s: float) -> None:
    health = _health(signs, now_s)
    if not health.is_usable:
        assert health.kind in health.reason
        assert health.clear
        assert health.since_s is not None
        assert health.since_s <= now_s
        assert health.until_s is None or health.until_s > now_s
    assert (health.state == "Fatal") == (health.fatal_s is not None)


@pytest.mark.parametrize("kind", HARMLESS)
@settings(max_examples=60)
@given(moments=st.lists(TIMES, min_size=1, max_size=50), now_s=TIMES)
def test_harmless_events_change_no_capacity(kind: str, moments: list[float], now_s: float) -> None:
    history = History()
    for moment in moments:
        history = history.struck("GPU-0", kind, moment)
    assert assess(history, now_s, POLICY)["GPU-0"].is_usable


@pytest.mark.parametrize("kind", FATAL)
def test_fatal_events_take_the_device_out_until_it_was_mended(kind: str) -> None:
    struck = History().struck("GPU-0", kind, 100.0)
    assert assess(struck, 1e8)["GPU-0"].state == "Fatal"
    reset = struck.mended(["GPU-0"], "reset", 200.0)
    wants_boot = rule_of(kind).recovery == "boot"
    assert assess(reset, 1e8)["GPU-0"].is_usable != wants_boot
    booted = struck.mended(["GPU-0"], "boot", 200.0)
    assert not assess(booted, 200.0 + 599.0)["GPU-0"].is_usable
    assert assess(booted, 200.0 + 600.0)["GPU-0"] == HEALTHY


@pytest.mark.parametrize("severity", ["ignore", "note", "quarantine", "fatal"])
def test_a_context_switch_timeout_is_policy(severity: str) -> None:
    policy = HealthPolicy(severities={"xid-109": severity})  # type: ignore[dict-item] # parametrized words
    state = assess(History().struck("GPU-0", "xid-109", 0.0), 1.0, policy)["GPU-0"].state
    assert (
        state
        == {"ignore": "Healthy", "note": "Noted", "quarantine": "Quarantined", "fatal": "Fatal"}[severity]
    )


def test_what_the_table_does_not_list_is_out_and_named() -> None:
    health = assess(History().struck("GPU-0", "xid-999", 0.0), 1.0)["GPU-0"]
    assert (health.state, health.kind) == ("Quarantined", "xid-999")
    assert "not in the health table" in health.reason


def test_each_outage_of_a_day_lasts_longer_than_the_last() -> None:
    history, lengths, now_s = History(), [], 0.0
    for _ in range(4):
        history = history.struck("GPU-0", "remap-pending", now_s)
        until_s = assess(history, now_s, POLICY)["GPU-0"].until_s
        assert until_s is not None
        lengths.append(until_s - now_s)
        now_s = until_s + 1.0
    assert lengths == [600.0, 1_200.0, 2_400.0, 4_800.0]


@settings(max_examples=60)
@given(kinds=st.lists(KINDS, min_size=1, max_size=120))
def test_history_stays_short_and_keeps_what_is_bad(kinds: list[str]) -> None:
    history = History()
    for moment, kind in enumerate(kinds):
        history = history.struck("GPU-0", kind, moment * 100.0)
    signs = history.signs["GPU-0"]
    assert len(signs) <= SIGNS_MAX
    # What time alone heals may be over by then.
    fatal = any(rule_of(kind).severity == "fatal" and rule_of(kind).recovery != "clean" for kind in kinds)
    assert not fatal or assess(history, len(kinds) * 100.0)["GPU-0"].state == "Fatal"


@given(after_s=st.integers(0, 59))
@settings(max_examples=20)
def test_trouble_after_a_reset_needs_a_reset_of_its_own(after_s: int) -> None:
    history = History().struck("GPU-0", "xid-95", 0.0).mended(["GPU-0"], "reset", 0.0)
    again = history.struck("GPU-0", "xid-95", float(after_s))
    assert assess(again, 1e8)["GPU-0"].state == "Fatal"
    assert assess(again.mended(["GPU-0"], "reset", 60.0), 1e8)["GPU-0"].is_usable

"""Guards of what devices decide."""

from __future__ import annotations

from tests.mutations.guards import Mutation

TAKEN_BACK = "tests/gangs/test_a_gang_is_taken_back_once_whoever_leads.py"
OUTLIVES = "tests/devices/test_a_replacement_outlives_its_leader.py"
ONCE = "test_each_member_is_evicted_once_and_the_gang_ends_whole_elsewhere"

DEVICE_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a gang is taken back only after that is written",
        file="scheduler/gangs/recovery.py",
        old="    if key.is_single:\n        return unwind(attempt)",
        new="    if True:\n        return unwind(attempt)",
        test=TAKEN_BACK,
    ),
    Mutation(
        name="who takes over reads each member before it is evicted",
        file="scheduler/gangs/machine.py",
        old="if attempt.is_inherited:",
        new="if False:",
        test=TAKEN_BACK,
    ),
    Mutation(
        name="those who came in a member's place are let alone",
        file="scheduler/gangs/recovery.py",
        old="if pod.uid in placement and pod.holds_capacity",
        new="if pod.holds_capacity",
        test=TAKEN_BACK,
    ),
    Mutation(
        name="the next leader takes back the rest of what was written",
        file="scheduler/live/takeover.py",
        old="        if not pods:",
        new="        if True:",
        test=f"{OUTLIVES}::{ONCE}[second-eviction]",
    ),
)

"""Recovery of what an earlier leader began, from the Gang object and the pods alone."""

from __future__ import annotations

import pytest

from scheduler.gangs import events as ev
from scheduler.gangs.attempt import Phase, verify
from scheduler.gangs.machine import step
from scheduler.gangs.member_rules import Outcome
from scheduler.gangs.recovery import Claim, recover
from scheduler.model.gang import GangKey, GangSpec, RoleSpec
from scheduler.model.objects import Pod
from tests.gangs.gang_cases import TEAM, pod

KEY = GangKey(namespace=TEAM, dialect="own", name="bert")
PLACEMENT = {f"w-{i}": f"node-{i}" for i in range(3)}


def member(i: int, node: str = "", **changes: bool) -> Pod:
    return pod(f"w-{i}", uid=f"w-{i}", node=node, is_deleting=changes.get("is_deleting", False))


def recovered(
    pods: list[Pod],
    *,
    still_fits: bool = True,
    min_member: int = 3,
    phase: str = "Binding",
    roles: tuple[RoleSpec, ...] = (),
    old_epoch: int = 1,
) -> Outcome | None:
    claim = Claim(key=KEY, phase=phase, epoch=old_epoch, placement=PLACEMENT)
    spec = GangSpec(key=KEY, min_member=min_member, generation=1, roles=roles)
    return recover(claim, spec, pods, still_fits=still_fits, epoch=2, at_s=100.0)


@pytest.mark.parametrize("phase", ["Claiming", "Binding"])
def test_a_gang_that_stands_is_finished_and_no_pod_touched(phase: str) -> None:
    found = recovered([member(i, f"node-{i}") for i in range(3)], phase=phase)
    assert found is not None
    attempt, todo = found
    verify(attempt)
    assert attempt.phase is Phase.BOUND
    assert [type(what).__name__ for what in todo] == ["Announce", "WriteStatus"]


def test_what_still_fits_is_claimed_anew_before_the_rest_is_bound() -> None:
    found = recovered([member(0, "node-0"), member(1), member(2)])
    assert found is not None
    attempt, todo = found
    verify(attempt)
    assert todo == (ev.WriteClaim(),)
    assert attempt.epoch == 2


def test_what_no_longer_fits_is_taken_back() -> None:
    found = recovered([member(0, "node-0"), member(1), member(2)], still_fits=False)
    assert found is not None
    assert [what.uid for what in found[1] if isinstance(what, ev.EvictPod)] == ["w-0"]


@pytest.mark.parametrize(
    "lost", [None, member(2, "elsewhere", is_deleting=True), member(2, is_deleting=True)]
)
def test_a_member_that_is_gone_or_going_cannot_be_bound(lost: Pod | None) -> None:
    pods = [member(0, "node-0"), member(1), *([lost] if lost else [])]
    found = recovered(pods, still_fits=True)
    assert found is not None
    assert found[0].phase is Phase.UNWINDING


def test_a_member_bound_elsewhere_stands_and_is_never_evicted() -> None:
    found = recovered([member(0, "elsewhere"), member(1, "node-1"), member(2)], still_fits=False)
    assert found is not None
    assert [what.uid for what in found[1] if isinstance(what, ev.EvictPod)] == ["w-1"]


def test_a_role_that_misses_its_minimum_is_not_finished() -> None:
    driver = pod("w-0", uid="w-0", annotations={"stowplan.dev/gang-role": "driver"})
    pods = [driver, member(1, "node-1"), member(2, "node-2")]
    found = recovered(pods, min_member=2, roles=(RoleSpec(name="driver", minimum=1),))
    assert found is not None
    assert found[1] == (ev.WriteClaim(),)


def test_a_claim_lost_by_the_new_leader_takes_back_what_is_bound() -> None:
    found = recovered([member(0, "node-0"), member(1), member(2)])
    assert found is not None
    _, todo = step(found[0], ev.ClaimRefused(at_s=101.0, reason="deleted"))
    assert ev.EvictPod(uid="w-0", reason="deleted") in todo


@pytest.mark.parametrize(("phase", "old_epoch"), [("Bound", 1), ("Pending", 1), ("Binding", 3)])
def test_what_is_finished_or_newer_is_left_alone(phase: str, old_epoch: int) -> None:
    assert recovered([member(0, "node-0")], phase=phase, old_epoch=old_epoch) is None

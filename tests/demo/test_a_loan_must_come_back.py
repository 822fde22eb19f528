"""The demo's judge of the loan: yes to the right end, no to every single thing that is not as promised."""

from __future__ import annotations

from dataclasses import dataclass, field
from dataclasses import replace as changed

import msgspec
import pytest
from msgspec.structs import replace

from deploy.local.demo import judge, lending
from deploy.local.demo.story import LOAN, manifests
from scheduler.kube.wire import Event, Metadata, ObjectReference, Pod, PodStatus, TeamQuota
from scheduler.kube.wire.teamquota import TeamAmounts, TeamQuotaStatus
from tests.demo.world import nodes

WHY = (
    f"reclaimed for gang {LOAN.lender}/{LOAN.gang} of team {LOAN.lender}, which is within its guarantee; "
    "this was borrowed"
)


def _pods(file: str, node: str) -> list[Pod]:
    found = [msgspec.convert(each, Pod) for each in manifests(file)]
    return [replace(pod, spec=replace(pod.spec, node_name=node)) for pod in found]


def _quotas(borrowed: int) -> list[TeamQuota]:
    documents = [each for each in manifests(LOAN.quotas) if each["kind"] == "TeamQuota"]
    found = [msgspec.convert(each, TeamQuota) for each in documents]
    status = TeamQuotaStatus(borrowed=TeamAmounts(gpu_models={LOAN.model: str(borrowed)}))
    return [replace(q, status=status) if q.metadata.name == LOAN.borrower else q for q in found]


@dataclass
class Loan:
    """As the loan should end: four pods of the borrower left, each told why, and the gang stands."""

    before: lending.Lent | None = field(
        default_factory=lambda: lending.lent(_pods(LOAN.borrows, "l4-0"), _quotas(4))
    )
    quotas: list[TeamQuota] = field(default_factory=lambda: _quotas(0))
    stay: list[Pod] = field(default_factory=lambda: _pods(LOAN.borrows, "l4-0")[4:])
    came: list[Pod] = field(default_factory=lambda: _pods(LOAN.takes_back, "l4-1"))
    notes: dict[str, str] = field(
        default_factory=lambda: {pod.metadata.name: WHY for pod in _pods(LOAN.borrows, "")[:4]}
    )

    def wrong(self) -> set[str]:
        """Subjects that are not as promised."""
        events = [
            Event(metadata=Metadata(), reason="Evicted", note=note, regarding=ObjectReference(name=name))
            for name, note in self.notes.items()
        ]
        lines = lending.judge_loan(
            self.before, quotas=self.quotas, pods=[*self.stay, *self.came], events=events, nodes=nodes()
        )
        return {line.subject for line in lines if not line.is_right}


def test_the_right_end_is_right() -> None:
    assert Loan().wrong() == set()


def test_a_loan_that_never_came_about_is_seen() -> None:
    assert Loan(before=None).wrong() == {f"team {LOAN.borrower}"}


@pytest.mark.parametrize("told", [0, 3, 8])
def test_what_the_status_said_must_be_what_the_pods_held(told: int) -> None:
    loan = Loan()
    assert loan.before is not None
    loan.before = changed(loan.before, told=told)
    assert loan.wrong() == {f"team {LOAN.borrower}"}


def test_nothing_idle_may_be_left_when_all_is_lent() -> None:
    loan = Loan(before=lending.lent(_pods(LOAN.borrows, "l4-0")[1:], _quotas(3)))
    assert f"team {LOAN.borrower}" in loan.wrong()


def test_one_eviction_too_many_is_seen() -> None:
    loan = Loan()
    one = loan.stay.pop()
    loan.notes[one.metadata.name] = WHY
    assert loan.wrong() == {f"team {LOAN.borrower}", "evictions"}


@pytest.mark.parametrize("phase", ["Failed", "Succeeded", "leaving", "unbound"])
def test_a_gang_that_lacks_a_member_is_seen(phase: str) -> None:
    loan = Loan()
    pod = loan.came[0]
    match phase:
        case "leaving":
            pod = replace(pod, metadata=replace(pod.metadata, deletion_timestamp="2026-01-01T00:00:00Z"))
        case "unbound":
            pod = replace(pod, spec=replace(pod.spec, node_name=""))
        case _:
            pod = replace(pod, status=PodStatus(phase=phase))
    loan.came[0] = pod
    assert f"team {LOAN.lender}" in loan.wrong()


@pytest.mark.parametrize("note", ["", "preempted for pod vision/x of the same team vision", None])
def test_each_victim_must_be_told_for_whom_and_by_which_rule(note: str | None) -> None:
    loan = Loan()
    first = next(iter(loan.notes))
    if note is None:
        del loan.notes[first]
    else:
        loan.notes[first] = note
    assert loan.wrong() == {"evictions"}


def test_somebody_told_that_did_not_leave_is_seen() -> None:
    loan = Loan()
    loan.notes[loan.stay[0].metadata.name] = WHY
    assert loan.wrong() == {"evictions"}


def test_the_screen_is_told_what_each_team_holds_and_never_the_steps_between() -> None:
    pods, quotas = _pods(LOAN.borrows, "l4-0"), _quotas(4)
    waiting = _pods(LOAN.takes_back, "")
    asked = {
        lending.states([*pods[count:], *waiting], quotas)[LOAN.borrower] for count in range(len(pods) // 2)
    }
    assert asked == {"is asked for what it borrowed"}
    assert lending.states(pods, quotas) == {
        LOAN.borrower: "holds 8 GPUs: 4 of 4 guaranteed, 4 borrowed",
        LOAN.lender: "idle: lends its 4 GPUs",
    }
    assert lending.states([*pods[4:], *_pods(LOAN.takes_back, "l4-1")], quotas) == {
        LOAN.borrower: "holds 4 GPUs: 4 of 4 guaranteed",
        LOAN.lender: "holds 4 GPUs: 4 of 4 guaranteed",
    }


def test_the_manifests_ask_for_what_the_story_says() -> None:
    there = sum(
        judge.gpus_on(node)
        for node in nodes()
        if (node.metadata.labels or {}).get(lending.PRODUCT_LABEL) == LOAN.product
    )
    quotas = _quotas(0)
    own = {team: lending.guaranteed(quotas, team) for team in (LOAN.borrower, LOAN.lender)}
    assert sum(own.values()) == there
    assert lending.held(_pods(LOAN.borrows, "l4-0"), LOAN.borrower) == there
    assert lending.held(_pods(LOAN.takes_back, "l4-0"), LOAN.lender) == own[LOAN.lender]

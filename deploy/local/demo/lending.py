"""Whether one team borrowed and the other got its guarantee back with no eviction too many.

Worked out from API objects alone, as the judge does: TeamQuotas for what is guaranteed, pods for what is
held, Events for what the victims' owners were told.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from deploy.local.demo.judge import Judgement, gpus_of, gpus_on, subjects, told
from deploy.local.demo.story import LOAN
from scheduler.kube.wire import Event, Node, Pod, TeamQuota

EVICTED = "Evicted"
PRODUCT_LABEL = "nvidia.com/gpu.product"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lent:
    """When all was lent: GPUs by name of the borrower's pods, and what its TeamQuota's status said."""

    gpus: dict[str, int]
    told: int

    @property
    def held(self) -> int:
        return sum(self.gpus.values())


def guaranteed(quotas: Iterable[TeamQuota], team: str) -> int:
    """GPUs of the loan's model; 0 where there is no such team."""
    for quota in quotas:
        if quota.metadata.name == team and quota.spec.guaranteed is not None:
            return int((quota.spec.guaranteed.gpu_models or {}).get(LOAN.model, 0))
    return 0


def told_borrowed(quotas: Iterable[TeamQuota], team: str) -> int:
    """GPUs of the loan's model that the team's status says it borrows."""
    for quota in quotas:
        if quota.metadata.name == team and quota.status.borrowed is not None:
            return int((quota.status.borrowed.gpu_models or {}).get(LOAN.model, 0))
    return 0


def holders(pods: Iterable[Pod], team: str) -> list[Pod]:
    """The team's pods that are bound, have not ended and are not leaving."""
    return [pod for pod in pods if pod.metadata.namespace == team and _holds(pod)]


def held(pods: Iterable[Pod], team: str) -> int:
    return sum(gpus_of(pod) for pod in holders(pods, team))


def lent(pods: Iterable[Pod], quotas: Iterable[TeamQuota]) -> Lent:
    found = {pod.metadata.name: gpus_of(pod) for pod in holders(pods, LOAN.borrower)}
    return Lent(gpus=found, told=told_borrowed(quotas, LOAN.borrower))


def states(pods: Sequence[Pod], quotas: Sequence[TeamQuota]) -> dict[str, str]:
    """One line on each team as it is; what passes in an instant is told as one state."""
    pending = {
        team: [pod for pod in pods if pod.metadata.namespace == team and not pod.spec.node_name]
        for team in (LOAN.borrower, LOAN.lender)
    }
    lines: dict[str, str] = {}
    for team, waiting in pending.items():
        own, most = held(pods, team), guaranteed(quotas, team)
        is_asked = team == LOAN.borrower and bool(pending[LOAN.lender])
        if waiting:
            reasons = sorted(message for _, message in map(told, waiting) if message)
            lines[team] = f"waits: {reasons[0]}" if reasons else "asks"
        elif is_asked:
            lines[team] = "is asked for what it borrowed"
        elif not own:
            lines[team] = f"idle: lends its {most} GPUs"
        else:
            more = f", {own - most} borrowed" if own > most else ""
            lines[team] = f"holds {own} GPUs: {min(own, most)} of {most} guaranteed{more}"
    return lines


def judge_loan(
    before: Lent | None,
    *,
    quotas: Sequence[TeamQuota],
    pods: Sequence[Pod],
    events: Sequence[Event],
    nodes: Sequence[Node],
) -> list[Judgement]:
    """The borrower, the lender, and the evictions; ``before`` is None where the loan never came about."""
    if before is None:
        line = "never held all that was idle"
        return [Judgement(subject=_named(LOAN.borrower), is_right=False, found=line)]
    return [
        _borrower(before, quotas, pods, nodes),
        _lender(quotas, pods),
        _evictions(before, pods, events),
    ]


def _borrower(
    before: Lent, quotas: Sequence[TeamQuota], pods: Sequence[Pod], nodes: Sequence[Node]
) -> Judgement:
    own, after = guaranteed(quotas, LOAN.borrower), held(pods, LOAN.borrower)
    there = sum(gpus_on(n) for n in nodes if (n.metadata.labels or {}).get(PRODUCT_LABEL) == LOAN.product)
    borrowed = before.held - own
    text = (
        f"held {before.held} of {there} GPUs, {borrowed} above its guarantee of {own} "
        f"(its status said {before.told}); holds {after} now"
    )
    is_right = before.held == there and borrowed > 0 and before.told == borrowed and after >= own
    return Judgement(subject=_named(LOAN.borrower), is_right=is_right, found=text)


def _lender(quotas: Sequence[TeamQuota], pods: Sequence[Pod]) -> Judgement:
    own, after = guaranteed(quotas, LOAN.lender), held(pods, LOAN.lender)
    subject = subjects((p for p in pods if p.metadata.namespace == LOAN.lender), ()).get(LOAN.gang)
    if subject is None:
        return Judgement(subject=_named(LOAN.lender), is_right=False, found=f"{LOAN.gang} does not exist")
    text = f"{LOAN.gang}: {subject.standing} of {subject.minimum} stand on {after} GPUs of {own} guaranteed"
    is_right = subject.is_whole and after == own
    return Judgement(subject=_named(LOAN.lender), is_right=is_right, found=text)


def _evictions(before: Lent, pods: Sequence[Pod], events: Sequence[Event]) -> Judgement:
    """Everybody who had to leave was told for whom, and nobody left whose GPUs were not needed."""
    stay = {pod.metadata.name for pod in holders(pods, LOAN.borrower)}
    gone = before.gpus.keys() - stay
    freed, asked = sum(before.gpus[name] for name in gone), held(pods, LOAN.lender)
    notes = {event.regarding.name: event.note for event in events if event.reason == EVICTED}
    who = f"reclaimed for gang {LOAN.lender}/{LOAN.gang} of team {LOAN.lender}"
    is_told = notes.keys() == gone and all(note.startswith(who) for note in notes.values())
    # With any one of them still there, the gang would not have fitted.
    is_least = bool(gone) and freed >= asked > freed - min(before.gpus[name] for name in gone)
    words = f'each told "{who}, ..."' if is_told else f"{len(notes)} told for whom"
    text = f"{len(gone)} pods with {freed} GPUs for the {asked} asked; {words}"
    return Judgement(subject="evictions", is_right=is_told and is_least, found=text)


def _named(team: str) -> str:
    return f"team {team}"


def _holds(pod: Pod) -> bool:
    if pod.metadata.deletion_timestamp or pod.status.phase in ("Succeeded", "Failed"):
        return False
    return bool(pod.spec.node_name)

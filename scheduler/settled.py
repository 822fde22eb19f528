"""Verdicts that stay true from one cycle to the next, so that nothing is searched for again.

A gang that was found not to fit is not looked at until something that its failure depends on changes: room
that comes free, the nodes and what they allow, for some also pods that come to run. Equal gangs share one
finding. Room that comes free ends a finding only where the gang could now fit by a plain sum.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Infeasible, Unknown
from scheduler.columns import OVERFLOW
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.moment import Moment
from scheduler.model.objects import Shape
from scheduler.model.plan import Plan, Policy, Snapshot, Verdict
from scheduler.planning.equals import Asked, asked, is_shared

#: Kinds of gangs of which a finding is kept; the oldest are found anew.
FINDINGS_MAX = 20_000
#: Findings that are proven again in one cycle when room came free; the rest are found anew.
PROVEN_AGAIN_MAX = 500


@dataclass(slots=True)
class Finding:
    """That gangs which ask for this do not fit. ends: whether it is over."""

    ask: Asked | None
    is_proven: bool
    #: Whether pods that come to run may help: some role wants others near it, or spread evenly.
    is_social: bool
    at: Moment
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class Settled:
    gang: PendingGang
    verdict: Verdict
    finding: Finding


@dataclass(slots=True)
class Memory:
    """policy: of all plans. per_gang: the solver's budget for one gang."""

    policy: Policy
    per_gang: float
    _settled: dict[GangKey, Settled] = field(default_factory=dict)
    #: By what was asked, what every equal gang gets.
    _shared: dict[Asked, tuple[Finding, Verdict]] = field(default_factory=dict)

    def still(self, snapshot: Snapshot, now: Moment) -> dict[GangKey, Verdict]:
        """The verdicts that hold at this moment."""
        if not self._settled and not self._shared:
            return {}
        self._end_findings(snapshot, now)
        by_key = {gang.key: gang for gang in snapshot.gangs}
        self._settled = {
            key: settled
            for key, settled in self._settled.items()
            if not settled.finding.is_over and by_key.get(key) is settled.gang
        }
        self._shared = {ask: known for ask, known in self._shared.items() if not known[0].is_over}
        if self._shared and is_shared(snapshot, self.policy):
            self._settle_equals(snapshot)
        return {key: settled.verdict for key, settled in self._settled.items()}

    def note(self, snapshot: Snapshot, planned: Plan, at: Moment) -> None:
        """Keep what a plan found on a snapshot of that moment.

        Nothing of a plan that held room for somebody: whoever comes may change for whom, and so all the rest.
        """
        if planned.clearings or any(v.reason == "WaitingForVictims" for v in planned.verdicts):
            return
        by_key = {gang.key: gang for gang in snapshot.gangs}
        is_alike = is_shared(snapshot, self.policy)
        for verdict in planned.verdicts:
            if verdict.key in self._settled:
                continue
            match verdict.certificate:
                case Infeasible() | Unknown(budget=self.per_gang):
                    gang = by_key[verdict.key]
                    self._settle(gang, verdict, at, is_alike=is_alike)
                case _:
                    pass

    def _settle(self, gang: PendingGang, verdict: Verdict, at: Moment, *, is_alike: bool) -> None:
        ask = asked(gang)
        known = self._shared.get(ask) if is_alike and ask is not None else None
        if known is None or known[0].at != at:
            is_proven = isinstance(verdict.certificate, Infeasible)
            is_social = any(role.shape.pod_affinity or role.shape.spread for role in gang.roles)
            known = Finding(ask, is_proven, is_social, at), verdict
            if is_alike and ask is not None and is_proven:
                if len(self._shared) >= FINDINGS_MAX:
                    del self._shared[next(iter(self._shared))]
                self._shared[ask] = known
        self._settled[gang.key] = Settled(gang, verdict, known[0])

    def _end_findings(self, snapshot: Snapshot, now: Moment) -> None:
        findings = {id(one.finding): one.finding for one in self._settled.values()}
        findings |= {id(finding): finding for finding, _ in self._shared.values()}
        room = _Room(snapshot)
        for finding in findings.values():
            at = finding.at
            if finding.is_social and at.arrivals != now.arrivals:
                finding.is_over = True
            elif at.releases == now.releases:
                continue
            elif at.layout != now.layout or not finding.is_proven or not room.is_short(finding.ask):
                finding.is_over = True
            else:
                finding.at = now

    def _settle_equals(self, snapshot: Snapshot) -> None:
        """Newcomers that ask for what is known not to be there."""
        for gang in snapshot.gangs:
            if gang.key in self._settled or gang.blocked is not None:
                continue
            ask = asked(gang)
            known = None if ask is None else self._shared.get(ask)
            if known is not None:
                verdict = replace(known[1], key=gang.key)
                self._settled[gang.key] = Settled(gang, verdict, known[0])


class _Room:
    """Whether what a gang asks is not there in sum: then no rule and no arrangement helps."""

    def __init__(self, snapshot: Snapshot) -> None:
        self._snapshot = snapshot
        self._column: Mapping[str, int] = {name: i for i, name in enumerate(snapshot.resources)}
        self._known: dict[Asked, bool] = {}

    def is_short(self, ask: Asked | None) -> bool:
        """False also where it was not looked at."""
        if ask is None:
            return False
        known = self._known.get(ask)
        if known is None:
            if len(self._known) >= PROVEN_AGAIN_MAX:
                return False
            known = self._known[ask] = self._is_short(ask)
        return known

    def _is_short(self, ask: Asked) -> bool:
        roles, need, _ = ask
        if any(shape not in self._snapshot.masks for shape, _, _ in roles):
            # Nobody of the kind waits now, so nothing is known of the nodes that it may use.
            return False
        holds = [(int(self._slots(shape, count).sum()), minimum) for shape, count, minimum in roles]
        if any(most < minimum for most, minimum in holds):
            return True
        return sum(most for most, _ in holds) < max(1, need, sum(minimum for _, minimum in holds))

    def _slots(self, shape: Shape, count: int) -> NDArray[np.int64]:
        """int64[N]: pods of the shape that each node has room for by its resources, at most ``count``."""
        most = self._snapshot.masks[shape] * np.int64(count)
        for name, amount in shape.requests:
            column = self._column.get(name, self._column[OVERFLOW])
            np.minimum(most, self._snapshot.free[:, column] // amount, out=most)
        return np.maximum(most, 0)

"""Verdicts that stay true from one cycle to the next, so that nothing is searched for again.

A gang that was found not to fit is not looked at until something that its failure depends on changes: room
that comes free, the nodes and what they allow, for some also pods that come to run. Equal gangs share one
finding. Room that comes free ends a finding only where the gang could now fit by a plain sum. Where that sum
is exact, as many of the equal gangs are open again as it has room for, first served first: the others would
only hear the same. All of it costs what changed, not what waits.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from heapq import heapify, heappop, heappush
from typing import Protocol

import numpy as np
from msgspec import Struct
from numpy.typing import NDArray

from binpacking.answer import Infeasible, Unknown
from quotas.order import Rank
from scheduler.columns import OVERFLOW, NodeColumns
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.moment import Moment
from scheduler.model.objects import Shape
from scheduler.model.plan import Plan, Snapshot, Verdict
from scheduler.planning.equals import Asked, asked, is_plain
from scheduler.planning.turns import place_in_line
from scheduler.shortages import Shortages

#: Kinds of gangs of which a finding is kept; the oldest are found anew.
FINDINGS_MAX = 20_000
#: Findings that are proven again in one cycle when room came free; the rest are found anew.
PROVEN_AGAIN_MAX = 500
#: A line may hold so many that have left it, beside as many as are in it.
LINE_SLACK = 64


class Cluster(Protocol):
    """What is asked of the state."""

    @property
    def columns(self) -> NodeColumns: ...
    @property
    def moment(self) -> Moment: ...
    def mask(self, shape: Shape) -> NDArray[np.bool_]:
        """bool[N]: where the static rules let pods of this shape go."""
        ...


class Finding(Struct, eq=False, gc=False):
    """That gangs which ask for this do not fit.

    is_exact: a plain sum over nodes of what each has free says for how many there is room.
    is_social: pods that come to run may help: some role wants others near it, or spread evenly.
    """

    ask: Asked | None
    is_exact: bool
    is_social: bool
    keys: dict[GangKey, Rank] = {}
    #: Of an exact one: a heap of the keys, first served first, and of some that were among them.
    line: list[tuple[Rank, GangKey]] = []
    #: In ``Shortages``, where by that sum nobody has room: then only room that comes free can help.
    rows: list[int] = []


class Settled(Struct, frozen=True, gc=False):
    gang: PendingGang
    verdict: Verdict
    finding: Finding


class Memory:
    """per_gang: the solver's budget for one gang."""

    def __init__(self, cluster: Cluster, per_gang: float) -> None:
        self._cluster = cluster
        self._per_gang = per_gang
        self._settled: dict[GangKey, Settled] = {}
        #: By what was asked, what every equal gang gets.
        self._shared: dict[Asked, tuple[Finding, Verdict]] = {}
        self._findings: dict[int, Finding] = {}
        #: Of these those that any room that comes free may end, and those that speak of others.
        self._delicate: dict[int, Finding] = {}
        self._social: dict[int, Finding] = {}
        #: Those that hold for the ones left, while others of the same kind are open again.
        self._in_part: dict[int, Finding] = {}
        self._shortages: Shortages[Finding] = Shortages()
        #: When all findings held for the last time, and what was free then (int64[N, R]).
        self._at = Moment(-1, -1, -1)
        self._free = np.zeros((0, 0), dtype=np.int64)

    def get(self, key: GangKey) -> Settled | None:
        return self._settled.get(key)

    def verdicts(self, gangs: Iterable[PendingGang]) -> dict[GangKey, Verdict]:
        """Of those gangs that are settled as they are."""
        found = ((gang, self._settled.get(gang.key)) for gang in gangs)
        return {gang.key: known.verdict for gang, known in found if known is not None and known.gang is gang}

    def forget(self, key: GangKey) -> None:
        """The gang is another, or gone."""
        known = self._settled.pop(key, None)
        if known is None:
            return
        known.finding.keys.pop(key, None)
        if not known.finding.keys and not self._is_shared(known.finding):
            self._drop(known.finding)

    def end(self, *, is_by_age: bool) -> list[GangKey]:
        """End the findings that hold no more; the gangs that are open again, by finding.

        is_by_age: nothing but priority and age decides which of equal gangs starts first.
        """
        now, before = self._cluster.moment, self._at
        if now == before and not self._in_part:
            return []
        free = self._cluster.columns.free
        self._at = now
        is_same = now.layout == before.layout and free.shape == self._free.shape
        over = self._over(now, before, free) if is_same else list(self._findings.values())
        self._free = free
        opened: list[GangKey] = []
        for finding in over:
            first = self._first(finding) if is_same and is_by_age else None
            opened += finding.keys if first is None else first
            if first is None:
                self._end(finding)
        if not self._findings:
            self._shortages = Shortages()
        return opened

    @property
    def has_room_left(self) -> bool:
        """Whether one more of those that wait may start as things are now."""
        if not self._in_part:
            return False
        free = self._cluster.columns.free
        asks = (finding.ask for finding in self._in_part.values())
        return any(ask is not None and self._room(ask, 1, free) for ask in asks)

    def recall(self, gang: PendingGang) -> Verdict | None:
        """Settle the gang where an equal one is known not to fit."""
        ask = asked(gang) if self._shared and gang.blocked is None else None
        known = None if ask is None else self._shared.get(ask)
        if known is None or id(known[0]) in self._in_part:
            return None
        verdict = replace(known[1], key=gang.key)
        self._settle(gang, verdict, known[0])
        return verdict

    def note(self, snapshot: Snapshot, planned: Plan, *, is_alike: bool) -> None:
        """Keep what a plan found since ``end``. is_alike: equal gangs fail alike, whoever asks.

        Nothing of a plan that held room for somebody: whoever comes may change for whom, and so all the rest.
        """
        if planned.clearings or any(v.reason == "WaitingForVictims" for v in planned.verdicts):
            return
        by_key = {gang.key: gang for gang in snapshot.gangs}
        for verdict in planned.verdicts:
            match verdict.certificate:
                case Infeasible() | Unknown(budget=self._per_gang) if verdict.key not in self._settled:
                    self._found(by_key[verdict.key], verdict, is_alike=is_alike)
                case _:
                    pass

    # -- inside ------------------------------------------------------------------------------------

    def _found(self, gang: PendingGang, verdict: Verdict, *, is_alike: bool) -> None:
        is_proven = isinstance(verdict.certificate, Infeasible)
        ask = asked(gang)
        is_plain = is_alike and is_proven and not any(role.shape.sees_pods for role in gang.roles)
        if ask is None or not is_plain:
            self._settle(gang, verdict, self._finding(gang, ask if is_proven else None))
            return
        if ask not in self._shared:
            if len(self._shared) >= FINDINGS_MAX:
                self._unshare(next(iter(self._shared)))
            self._shared[ask] = self._finding(gang, ask), verdict
        elif self._in_part.pop(id(self._shared[ask][0]), None) is not None:
            # The room there was went to others, or is not what the sum says: any that comes free is tried.
            self._doubt(self._shared[ask][0])
        self._settle(gang, verdict, self._shared[ask][0])

    def _settle(self, gang: PendingGang, verdict: Verdict, finding: Finding) -> None:
        self.forget(gang.key)
        self._settled[gang.key] = Settled(gang, verdict, finding)
        finding.keys[gang.key] = rank = place_in_line(gang)
        if finding.is_exact:
            heappush(finding.line, (rank, gang.key))
            if len(finding.line) > LINE_SLACK + 2 * len(finding.keys):
                finding.line = [(rank, key) for key, rank in finding.keys.items()]
                heapify(finding.line)

    def _finding(self, gang: PendingGang, ask: Asked | None) -> Finding:
        """ask: None for what is not proven, or depends on more than what is asked for."""
        found = Finding(
            ask=ask,
            is_exact=ask is not None and is_plain(ask),
            is_social=any(role.shape.pod_affinity or role.shape.spread for role in gang.roles),
        )
        self._findings[id(found)] = found
        if ask is not None and self._is_short(ask):
            self._miss(found, ask)
        else:
            self._doubt(found)
        if found.is_social:
            self._social[id(found)] = found
        return found

    def _miss(self, finding: Finding, ask: Asked) -> None:
        """What it asks for is not there in sum: only room that comes free on a node for it is looked at."""
        self._delicate.pop(id(finding), None)
        if not finding.rows:
            vectors = (self._cluster.columns.vector(shape.requests) for shape, _, _ in ask[0])
            finding.rows = self._shortages.add(finding, vectors)

    def _doubt(self, finding: Finding) -> None:
        """Any room that comes free may be what it lacks."""
        self._shortages.drop(finding.rows)
        finding.rows = []
        self._delicate[id(finding)] = finding

    def _first(self, finding: Finding) -> list[GangKey] | None:
        """Whom the finding is no longer about: the first, as many as there is room for. None where it holds
        for nobody any more, or no sum says for whom.
        """
        ask = finding.ask
        if ask is None or not finding.is_exact or not self._is_shared(finding):
            return None
        room = self._room(ask, max(1, len(finding.keys)), self._free)
        if not room:
            self._in_part.pop(id(finding), None)
            self._miss(finding, ask)
            return []
        if room >= len(finding.keys):
            return None
        self._in_part[id(finding)] = finding
        first: list[GangKey] = []
        while len(first) < room:
            rank, key = heappop(finding.line)
            if finding.keys.get(key) is rank:
                del finding.keys[key], self._settled[key]
                first.append(key)
        return first

    def _room(self, ask: Asked, most: int, free: NDArray[np.int64]) -> int:
        """For how many gangs that ask for this there is room in sum, at most ``most``; of a plain ask."""
        ((shape, _, minimum),), need, _ = ask
        each = max(1, need, minimum)
        return min(most, int(self._slots(shape, each * most, free).sum()) // each)

    def _over(self, now: Moment, before: Moment, free: NDArray[np.int64]) -> list[Finding]:
        """The findings that may not hold at this moment any more; the nodes are those of before."""
        over = dict(self._in_part)
        if now.arrivals != before.arrivals:
            over |= self._social
        if now.releases != before.releases:
            over |= self._delicate
            gained = (free > self._free).any(axis=1)
            self._free = free
            for tried, finding in enumerate(self._shortages.served(free[gained])):
                if tried >= PROVEN_AGAIN_MAX or finding.ask is None or not self._is_short(finding.ask):
                    over[id(finding)] = finding
        return list(over.values())

    def _is_short(self, ask: Asked) -> bool:
        """Whether what is asked was not there in sum at the last ``end``: then no arrangement helps.

        False also where what nodes have changed since.
        """
        if self._cluster.moment.layout != self._at.layout:
            return False
        roles, need, _ = ask
        if any(shape.ask is not None for shape, _, _ in roles):
            # Parts of devices are no column.
            return False
        holds = [
            (int(self._slots(shape, count, self._free).sum()), minimum) for shape, count, minimum in roles
        ]
        if any(most < minimum for most, minimum in holds):
            return True
        return sum(most for most, _ in holds) < max(1, need, sum(minimum for _, minimum in holds))

    def _slots(self, shape: Shape, count: int, free: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[N]: pods of the shape that each node has room for in what is free (int64[N, R]), at most
        ``count``.
        """
        column = self._cluster.columns.column
        most = self._cluster.mask(shape) * np.int64(count)
        for name, amount in shape.requests:
            np.minimum(most, free[:, column.get(name, column[OVERFLOW])] // amount, out=most)
        return np.maximum(most, 0)

    def _end(self, finding: Finding) -> None:
        for key in finding.keys:
            del self._settled[key]
        finding.keys.clear()
        if finding.ask is not None and self._is_shared(finding):
            del self._shared[finding.ask]
        self._drop(finding)

    def _unshare(self, ask: Asked) -> None:
        finding, _ = self._shared.pop(ask)
        if not finding.keys:
            self._drop(finding)

    def _is_shared(self, finding: Finding) -> bool:
        known = None if finding.ask is None else self._shared.get(finding.ask)
        return known is not None and known[0] is finding

    def _drop(self, finding: Finding) -> None:
        self._shortages.drop(finding.rows)
        for known in (self._findings, self._delicate, self._social, self._in_part):
            known.pop(id(finding), None)

"""Making room: who is evicted so that a gang can stand, or for whose leaving it is worth waiting.

Nobody is evicted unless the beneficiary then provably fits on the nodes and within every quota. What is on
its way out anyway counts as room to come: it is held for those who come first, and nobody is evicted in its
place. So a scheduler that starts anew in the middle goes on where the last one was, from what the API shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Feasible
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import Gang
from binpacking.victims import Taken, VictimAnswer, victims
from quotas.amounts import Amounts
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Clearing, Ordering, Victim
from scheduler.teams.allowance import Allowance
from scheduler.teams.candidates import Candidate, Candidates, Group, parts_of
from scheduler.teams.promises import Held, Placement, Promises
from scheduler.translation import Translation

#: Sets of victims that turn out to be more than is owed, before the search for others is given up.
BARRED_MAX = 16
#: Victims of the order without whom it is tried.
SPARED_MAX = 64
#: Shared devices that are tried, the cheapest first.
SHARED_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    clearing: Clearing | None
    spent: float


@dataclass(frozen=True, slots=True, eq=False)
class _Part:
    """Of a victim, pods that leave together. frees: int64[N, R]."""

    pods: tuple[Pod, ...]
    cost: int
    frees: NDArray[np.int64]


@dataclass(slots=True, eq=False)
class _Leaver:
    """A victim. parts: first what its gang stands on, if that leaves, then each member beyond by itself."""

    victim: Victim
    parts: list[_Part]


@dataclass(slots=True, kw_only=True, eq=False)
class _Made:
    """A clearing of this run, and the gangs that it is for as the packing has them.

    is_whole: some of it is free only when all of them are gone.
    """

    clearing: Clearing
    gang: Gang
    leavers: list[_Leaver]
    room: Held
    is_whole: bool


class Clearer:
    """``packing`` is the run's, from which ``promises`` take what they hold.

    displaces: whom the policy's order puts last leaves for whom it puts first, whatever the priorities.
    """

    def __init__(
        self,
        translation: Translation,
        packing: Packing,
        promises: Promises,
        allowance: Allowance,
        *,
        order: Ordering,
        displaces: bool,
    ) -> None:
        self._translation = translation
        self._packing = packing
        self._promises = promises
        self._allowance = allowance
        self._displaces = displaces
        self._candidates = Candidates(translation, allowance, order)
        self._made: list[_Made] = []
        #: Gangs that were chosen to leave whole.
        self.leave: set[GangKey] = set()

    @property
    def clearings(self) -> list[Clearing]:
        """What was chosen in this run, as far as somebody is to leave."""
        return [made.clearing for made in self._made if made.clearing.victims]

    def clear(
        self, gangs: Sequence[PendingGang], gang: Gang, request: Amounts, *, budget: float, seed: int
    ) -> Found:
        """Victims for these beneficiaries, which ``gang`` stands for; charged and held if there are.

        request: what all of them count for, as far as it does not depend on where they go.
        """
        spent = 0.0
        for group in self._groups(gangs[0], request):
            if group.is_by_order:
                later = self._by_order(gang, group)
                if later is not None:
                    return Found(clearing=self._agreed(gangs, gang, group, later), spent=spent)
                continue
            candidates = [c.victim for c in group.candidates]
            for terms in group.terms if candidates else ():
                barred: list[tuple[Taken, ...]] = []
                while len(barred) < BARRED_MAX:
                    answer = victims(
                        self._promises.credited(),
                        gang,
                        candidates,
                        budget=max(0.0, budget - spent),
                        seed=seed,
                        terms=terms,
                        barred=barred,
                    )
                    spent += answer.spent
                    if answer.placement is None or not answer.taken:
                        break
                    if self._is_agreed(gangs, group, answer):
                        return Found(clearing=self._agreed(gangs, gang, group, answer), spent=spent)
                    barred.append(answer.taken)
            apart = self._of_shared_devices(gangs, gang, group)
            if apart is not None:
                return Found(clearing=self._agreed(gangs, gang, group, apart), spent=spent)
        return Found(clearing=None, spent=spent)

    def _by_order(self, gang: Gang, group: Group) -> VictimAnswer | None:
        """The last in the order leave, as many as it takes; who of them fits beside the gang stays."""
        packing = self._promises.credited()
        for candidate in group.candidates:
            _move(packing, candidate, +1)
        if not group.candidates or place_greedy(packing, gang) is None:
            return None
        barred: set[int] = set()
        for _ in range(BARRED_MAX):
            able = self._candidates.together(group, barred)
            found = self._last_of(gang, group, able)
            if found is not None:
                return found
            # Whoever of a budget goes first keeps the others of it where they are, and may be of no use.
            capped = [i for i in able if self._candidates.is_capped(group.candidates[i])]
            if not capped or len(able) + len(barred) == len(group.candidates):
                return None
            barred.add(capped[0])
        return None

    def _last_of(self, gang: Gang, group: Group, able: Sequence[int]) -> VictimAnswer | None:
        """The first of these candidates, as many as it takes; None where all of them are not enough."""
        packing = self._promises.credited()
        placement: Placement | None = None
        count = 0
        while placement is None and count < len(able):
            _move(packing, group.candidates[able[count]], +1)
            count += 1
            placement = place_greedy(packing, gang)
        if placement is None:
            return None
        packing.take_all(gang, placement)
        leaves: list[int] = []
        for index in reversed(able[:count]):
            _move(packing, group.candidates[index], -1)
            if _is_short(packing, group.candidates[index]):
                _move(packing, group.candidates[index], +1)
                leaves.append(index)
        leaves, placement = self._spared(gang, group, leaves, placement)
        return VictimAnswer(
            taken=tuple(Taken(victim=index, base=True, extra=()) for index in sorted(leaves)),
            placement=placement,
            certificate=Feasible(float(len(leaves)), 0.0),
        )

    def _spared(
        self, gang: Gang, group: Group, leaves: list[int], placement: Placement
    ) -> tuple[list[int], Placement]:
        """Without those beside whom the gang stands elsewhere; who goes first is spared first."""
        packing = self._promises.credited()
        for index in leaves:
            _move(packing, group.candidates[index], +1)
        for index in leaves[:SPARED_MAX] if len(leaves) > 1 else ():
            _move(packing, group.candidates[index], -1)
            found = place_greedy(packing, gang)
            if found is None:
                _move(packing, group.candidates[index], +1)
            else:
                leaves, placement = [other for other in leaves if other != index], found
        return leaves, placement

    def _of_shared_devices(
        self, gangs: Sequence[PendingGang], gang: Gang, group: Group
    ) -> VictimAnswer | None:
        """Victims who share devices with each other, device by device, the cheapest device first: a device is
        free only when all who share it are gone, which no victim alone promises.
        """
        found: VictimAnswer | None = None
        devices: list[list[int]] = []
        for sharers in self._candidates.devices_of(group)[:SHARED_MAX]:
            devices.append(sharers)
            found = self._without(gangs, gang, group, _all(devices))
            if found is not None:
                break
        # Of those the dearest first that are not needed after all, being on another node than the last one.
        for sharers in devices[-2::-1] if found is not None else []:
            fewer = [some for some in devices if some is not sharers]
            without = self._without(gangs, gang, group, _all(fewer))
            if without is not None:
                found, devices = without, fewer
        return found

    def _without(
        self, gangs: Sequence[PendingGang], gang: Gang, group: Group, chosen: Sequence[int]
    ) -> VictimAnswer | None:
        """The answer with these candidates gone, or None where that is not enough or not agreed to."""
        packing = self._promises.credited()
        for i in chosen:
            _move(packing, group.candidates[i], +1)
        self._candidates.add_shared(group, chosen, packing.free)
        placement = place_greedy(packing, gang)
        if placement is None:
            return None
        taken = tuple(Taken(victim=i, base=True, extra=()) for i in chosen)
        cost = float(sum(sum(group.candidates[i].costs) for i in chosen))
        answer = VictimAnswer(taken=taken, placement=placement, certificate=Feasible(cost, 0.0))
        return answer if self._is_agreed(gangs, group, answer) else None

    def _is_agreed(self, gangs: Sequence[PendingGang], group: Group, answer: VictimAnswer) -> bool:
        pods = {pod.uid: pod for one in gangs for pod in one.pods}
        placed = self._allowance.placed(pods, self._promises.nominated(gangs, answer.placement or ()))
        return self._candidates.agree(group.rule, gangs[0], placed, self._chosen(group, answer))

    def _groups(self, first: PendingGang, request: Amounts) -> Iterator[Group]:
        # What pods with such rules are allowed depends on the victims themselves.
        if any(role.shape.pod_affinity or role.shape.spread for role in first.roles):
            return
        if self._translation.devices.counts_apart(first.roles):
            return
        if self._displaces:
            yield self._candidates.displace(first)
            return
        yield self._candidates.preempt(first, request)
        yield self._candidates.reclaim(first, request)

    def _chosen(self, group: Group, answer: VictimAnswer) -> list[Victim]:
        return [
            self._candidates.victim(group.candidates[t.victim], base=t.base, extra=t.extra)
            for t in answer.taken
        ]

    def _agreed(
        self,
        gangs: Sequence[PendingGang],
        gang: Gang,
        group: Group,
        answer: VictimAnswer,
    ) -> Clearing:
        placement, chosen = answer.placement or (), self._chosen(group, answer)
        leavers = [
            _Leaver(one, self._parts(group.candidates[taken.victim], one))
            for taken, one in zip(answer.taken, chosen, strict=True)
        ]
        shared = np.zeros_like(self._packing.free)
        self._candidates.add_shared(group, [t.victim for t in answer.taken if t.base], shared)
        frees = (part.frees for leaver in leavers for part in leaver.parts)
        room = self._promises.take(gang, placement, sum(frees, shared))
        self._candidates.take(chosen)
        self.leave |= {one.gang.key for one in chosen if one.is_whole}
        nominated = self._promises.nominated(gangs, placement)
        for leaver in chosen:
            self._allowance.release(leaver.team, self._allowance.of_victim(leaver))
        pods = {pod.uid: pod for one in gangs for pod in one.pods}
        self._allowance.charge(gangs[0], self._allowance.placed(pods, nominated))
        clearing = Clearing(
            rule=group.rule,
            team=self._allowance.team(gangs[0]),
            beneficiaries=tuple(gangs),
            nominated=nominated,
            victims=tuple(chosen),
            certificate=answer.certificate,
            why=self._why(gangs, group),
        )
        self._made.append(
            _Made(clearing=clearing, gang=gang, leavers=leavers, room=room, is_whole=bool(shared.any()))
        )
        return clearing

    def _parts(self, candidate: Candidate, chosen: Victim) -> list[_Part]:
        """The parts of the candidate that leave, as one that was chosen."""
        gone = {pod.uid for pod in chosen.pods}
        found: list[_Part] = []
        rest = int(candidate.victim.base is None)
        groups, costs = parts_of(candidate.gang)[rest:], candidate.costs[rest:]
        for part, pods, cost in zip(candidate.victim.whole, groups, costs, strict=True):
            if pods and gone.issuperset(pod.uid for pod in pods):
                frees = np.zeros_like(self._packing.free)
                np.add.at(frees, part.nodes, part.amounts)
                found.append(_Part(tuple(pods), cost, frees))
        return found

    def spare(self) -> list[Clearing]:
        """Let stay whoever is needed no more beside those who were chosen later, the dearest first; the
        clearings that changed, some without victims by now.
        """
        changed: list[Clearing] = []
        tries = SPARED_MAX
        for made in self._made[:-1]:
            victims_before = made.clearing.victims
            for leaver in sorted(made.leavers, key=lambda leaver: -leaver.victim.cost)[:tries]:
                tries -= 1
                if self._spare(made, leaver, leaver.parts) or len(leaver.parts) == 1:
                    continue
                is_all = leaver.victim.is_whole and leaver.victim.gang.base > 0
                for part in leaver.parts[: 1 + max(0, tries)]:
                    tries -= 1
                    if not self._spare(made, leaver, [part]) and is_all:
                        # What it stands on leaves, so the others do.
                        break
                    is_all = False
            if made.clearing.victims != victims_before:
                changed.append(made.clearing)
        return changed

    def _spare(self, made: _Made, leaver: _Leaver, parts: Sequence[_Part]) -> bool:
        """Let so much of the victim stay, unless its room is needed or a quota says no; whether it stays."""
        clearing, allowance = made.clearing, self._allowance
        frees = sum((part.frees for part in parts), np.zeros_like(self._packing.free))
        packing = self._promises.credited()
        packing.free += made.room.asked - frees
        # Others may count on that room by now.
        is_counted_on = ((packing.free < 0) & (frees > 0)).any()
        placement = None if made.is_whole or is_counted_on else place_greedy(packing, made.gang)
        if placement is None:
            return False
        gangs = clearing.beneficiaries
        pods = {pod.uid: pod for one in gangs for pod in one.pods}
        nominated = self._promises.nominated(gangs, placement)
        before, after = (allowance.placed(pods, nodes) for nodes in (clearing.nominated, nominated))
        victim = leaver.victim
        stay = tuple(pod for part in parts for pod in part.pods)
        held = allowance.of_victim(replace(victim, pods=stay))
        allowance.release(clearing.team, before)
        # Others of its department may have started since, on what its leaving gave back.
        is_barred = allowance.denied_to(victim.team, held) is not None
        allowance.books.charge(victim.team, held)
        if is_barred or allowance.denied(gangs[0], after) is not None:
            allowance.release(victim.team, held)
            allowance.charge(gangs[0], before)
            return False
        allowance.charge(gangs[0], after)
        self._promises.give_back(made.room)
        made.room = self._promises.take(made.gang, placement, -frees)
        leaver.parts = [part for part in leaver.parts if part not in parts]
        left = tuple(pod for part in leaver.parts for pod in part.pods)
        leaver.victim = replace(victim, pods=left, cost=sum(part.cost for part in leaver.parts))
        made.leavers = [one for one in made.leavers if one.parts]
        leave = tuple(one.victim for one in made.leavers)
        cost = float(sum(one.cost for one in leave))
        made.clearing = replace(clearing, victims=leave, nominated=nominated, certificate=Feasible(cost, 0.0))
        return True

    def _why(self, gangs: Sequence[PendingGang], group: Group) -> str:
        first, team = gangs[0], self._allowance.team(gangs[0])
        who = (
            f"gang {first.key}"
            if not first.key.is_single
            else f"pod {first.key.namespace}/{first.pods[0].name}"
        )
        if len(gangs) > 1:
            who += f" and {len(gangs) - 1} more"
        if group.is_by_order:
            return f"displaced for {who}, which goes first by the policy's order"
        if group.rule == "preempt":
            of = f" of the same team {team}" if team else ""
            return f"preempted for {who}{of}, which has priority {first.priority}"
        return f"reclaimed for {who} of team {team}, which is within its guarantee; this was borrowed"


def _move(packing: Packing, candidate: Candidate, sign: int) -> None:
    """All of the candidate leaves, or comes back."""
    for part in candidate.victim.whole:
        packing.free[part.nodes] += sign * part.amounts


def _is_short(packing: Packing, candidate: Candidate) -> bool:
    """Whether there is less than nothing left of something that the candidate holds, where it holds it."""
    return any(
        bool(((packing.free[part.nodes] < 0) & (part.amounts > 0)).any()) for part in candidate.victim.whole
    )


def _all(devices: Sequence[Sequence[int]]) -> list[int]:
    return sorted({index for sharers in devices for index in sharers})

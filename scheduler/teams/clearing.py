"""Making room: who is evicted so that a gang can stand, or for whose leaving it is worth waiting.

Nobody is evicted unless the beneficiary then provably fits on the nodes and within every quota. What is on
its way out anyway counts as room to come: it is held for those who come first, and nobody is evicted in its
place. So a scheduler that starts anew in the middle goes on where the last one was, from what the API shows.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Feasible, RolePlacement
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import Gang
from binpacking.victims import Taken, VictimAnswer, victims
from quotas.amounts import Amounts
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Clearing, Ordering, Victim
from scheduler.teams.allowance import Allowance
from scheduler.teams.candidates import Candidate, Candidates, Group
from scheduler.translation import Translation

Placement = tuple[RolePlacement, ...]
Mask = NDArray[np.bool_]
#: Sets of victims that turn out to be more than is owed, before the search for others is given up.
BARRED_MAX = 16
#: Who is to be gone so shortly after the last of the others delays nobody.
IN_TIME_S = 5.0
#: Victims of the order without whom it is tried.
SPARED_MAX = 64
#: Shared devices that are tried, the cheapest first.
SHARED_MAX = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    clearing: Clearing | None
    spent: float


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Promise:
    """Nodes by pod UID; int64[N, R] that they ask, and what of it was taken from what is free."""

    nodes: Mapping[str, str]
    asked: NDArray[np.int64]
    held: NDArray[np.int64]


class Clearer:
    """``packing`` is the run's: what is held for somebody is taken from what is free in it.

    displaces: whom the policy's order puts last leaves for whom it puts first, whatever the priorities.
    """

    def __init__(
        self,
        translation: Translation,
        packing: Packing,
        allowance: Allowance,
        *,
        order: Ordering,
        displaces: bool,
    ) -> None:
        self._translation = translation
        self._packing = packing
        self._allowance = allowance
        self._displaces = displaces
        self._candidates = Candidates(translation, allowance, order)
        #: int64[N, R]: what is coming and promised to nobody.
        self._coming = np.zeros_like(packing.free)
        leaving = allowance.teams.leaving
        self._coming[:, : leaving.shape[1]] = leaving
        #: float64[N]: by when it is there.
        self._by_s = np.full(len(packing.free), np.inf)
        self._by_s[: len(allowance.teams.leaving_by_s)] = allowance.teams.leaving_by_s
        self._gpu = translation.gpu_column
        devices = translation.snapshot.devices
        if devices is not None and self._gpu is not None:
            for row, gpus in devices.coming.items():
                self._coming[row, self._gpu] = gpus
        self._row = {node.name: row for row, node in enumerate(translation.snapshot.nodes)}
        #: First who was promised room first.
        self._promises: dict[GangKey, _Promise] = {}

    def promise(self, gang: PendingGang, nodes: Mapping[str, str]) -> None:
        """Hold what was nominated earlier, unless it cannot come true any more."""
        pods = {pod.uid: pod for pod in gang.pods}
        if any(role.shape.sees_pods for role in gang.roles) or not nodes.keys() <= pods.keys():
            return
        asked = np.zeros_like(self._coming)
        for uid, node in nodes.items():
            row = self._row.get(node)
            if row is None or not self._translation.snapshot.masks[pods[uid].shape][row]:
                return
            asked[row] += self._translation.request(pods[uid].shape)
        later = self._packing.free + self._coming - asked
        if len(nodes) < max(1, gang.need) or gang.tears(nodes) or ((later < 0) & (asked > 0)).any():
            return
        self._promises[gang.key] = _Promise(nodes=nodes, asked=asked, held=self._hold(asked))

    def kept(self, gang: PendingGang) -> tuple[Mapping[str, str], bool] | None:
        """The nodes promised to the gang, and whether all is free by now, in which case they are taken."""
        promise = self._promises.get(gang.key)
        if promise is None or not promise.nodes.keys() <= {pod.uid for pod in gang.pods}:
            return None
        later = self._later_than(gang)
        here = self._packing.free + promise.held + sum(other.held for other in later)
        if ((here < promise.asked) & (promise.asked > 0)).any():
            return promise.nodes, False
        self.give_up(gang)
        self._packing.free -= promise.asked
        for other in later:
            self._postpone(other)
        return promise.nodes, True

    def _later_than(self, gang: PendingGang) -> list[_Promise]:
        """Promises made after the gang's: what is free by now is first for whom it was promised first."""
        keys = list(self._promises)
        return [self._promises[key] for key in keys[keys.index(gang.key) + 1 :]]

    def _postpone(self, promise: _Promise) -> None:
        """Of what the promise holds as much as is taken by now is given to it of what is coming."""
        taken = np.clip(-self._packing.free, 0, promise.held)
        promise.held[:] -= taken
        self._packing.free += taken
        self._coming -= taken

    def give_up(self, gang: PendingGang) -> None:
        """What was promised to the gang is for all again."""
        promise = self._promises.pop(gang.key)
        self._packing.free += promise.held
        self._coming += promise.asked - promise.held

    def elsewhere(
        self, gang: PendingGang, nodes: Mapping[str, str], tried: PendingGang, within: Mask | None
    ) -> dict[str, str]:
        """The nodes where as much of the gang as is tried can start now, taken; else the promise stands."""
        turns = list(self._promises)
        self.give_up(gang)
        asked = self._translation.gang(tried, within=within)
        placement = place_greedy(self._packing, asked)
        if placement is None:
            self.promise(gang, nodes)
            self._promises = {key: self._promises[key] for key in turns if key in self._promises}
            return {}
        self._packing.take_all(asked, placement)
        return self.nominated([tried], placement)

    @property
    def is_waiting(self) -> bool:
        """Whether anything is coming at all."""
        return bool(self._coming.any())

    def expect(self, row: int, amounts: NDArray[np.int64]) -> bool:
        """So much more (or less) is coming to a node; False where that is promised to somebody by now."""
        if (self._coming[row] + amounts < 0).any():
            return False
        self._coming[row] += amounts
        return True

    def hold(self, gang: Gang) -> Placement | None:
        """Where the gang can stand once those who are leaving are gone; held for it."""
        if not self.is_waiting:
            return None
        placement = place_greedy(self._credited(), gang)
        if placement is not None:
            self._promise(gang, placement, np.zeros_like(self._coming))
        return placement

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
                        self._credited(),
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
        packing = self._credited()
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
        packing = self._credited()
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
        packing = self._credited()
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
        packing = self._credited()
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
        placed = self._allowance.placed(pods, self.nominated(gangs, answer.placement or ()))
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
        released = np.zeros_like(self._coming)
        for taken in answer.taken:
            victim = group.candidates[taken.victim].victim
            for part in victim.whole if taken.base else [victim.extra[i] for i in taken.extra]:
                np.add.at(released, part.nodes, part.amounts)
        self._candidates.add_shared(group, [t.victim for t in answer.taken if t.base], released)
        self._promise(gang, placement, released)
        self._candidates.take(chosen)
        nominated = self.nominated(gangs, placement)
        for leaver in chosen:
            self._allowance.release(leaver.team, self._allowance.of_victim(leaver))
        pods = {pod.uid: pod for one in gangs for pod in one.pods}
        self._allowance.charge(gangs[0], self._allowance.placed(pods, nominated))
        return Clearing(
            rule=group.rule,
            team=self._allowance.team(gangs[0]),
            beneficiaries=tuple(gangs),
            nominated=nominated,
            victims=tuple(chosen),
            certificate=answer.certificate,
            why=self._why(gangs, group),
        )

    def nominated(self, gangs: Sequence[PendingGang], placement: Placement) -> dict[str, str]:
        """Node by pod UID: role by role, in the order in which pods get their places."""
        names: dict[str, str] = {}
        for index, where in enumerate(placement):
            pods = [pod for one in gangs for pod in one.roles[index].pods]
            names |= {
                pod.uid: node for pod, node in zip(pods, self._translation.node_names(where), strict=False)
            }
        return names

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

    def _credited(self) -> Packing:
        packing = Packing(self._packing.nodes, score=self._packing.score)
        packing.free[:] = self._packing.free + self._coming
        return packing

    def _promise(self, gang: Gang, placement: Placement, released: NDArray[np.int64]) -> None:
        """From now on what it asks is there for nobody else."""
        asked = np.zeros_like(self._coming)
        for role, where in zip(gang.roles, placement, strict=True):
            asked[where.nodes] += where.counts[:, None] * role.request
        self._coming += released
        self._by_s[released.any(axis=1)] = np.inf
        self._hold(asked)

    def _hold(self, asked: NDArray[np.int64]) -> NDArray[np.int64]:
        """int64[N, R]: so much of it as is free by now, taken; the rest is taken of what is coming.

        What is coming to a node comes before what is free there only where that is there in time, since the
        rest of what is asked is still to come to other nodes: else whoever comes would delay it.
        """
        there = np.clip(self._packing.free, 0, asked)
        late = np.where((there < asked).any(axis=1), self._by_s, -np.inf)
        is_in_time = self._by_s <= _latest_of_others(late) + IN_TIME_S
        coming = np.where(is_in_time[:, None], np.maximum(self._coming, 0), 0)
        held = np.minimum(there, np.maximum(asked - coming, 0))
        self._packing.free -= held
        self._coming -= asked - held
        return held


def _latest_of_others(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[N]: of all but the node itself; minus infinity where there is no other."""
    if not len(times_s):
        return times_s
    last = int(times_s.argmax())
    found = np.full(len(times_s), times_s[last])
    found[last] = np.delete(times_s, last).max(initial=-np.inf)
    return found


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

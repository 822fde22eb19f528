"""Gangs that are partly bound, from cycle to cycle: for how long, and which of them are given back, and why.

A gang that never stood has a limit from its last Binding. One that stood and lost a member waits for another;
it is given back only where somebody who waits then starts.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace

from scheduler.gangs.healing import LEAVING_S, RESTARTING, SPARED_S, STOPPED_S, TRIED_EVERY_S, Healing
from scheduler.gangs.standing import Shortage
from scheduler.given_back import Broken, Given, of_use
from scheduler.model.gang import GangKey, PendingGang, Waiting
from scheduler.model.objects import Pod
from scheduler.model.plan import Policy
from scheduler.state import ClusterState
from scheduler.teams.budgets import Budgets
from scheduler.teams.cost import bound_s

#: A pod that was bound within this may run although the watch has not shown it.
BEGINS_S = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Overdue:
    """A gang that stayed partly bound for too long, to be given back whole (INV2)."""

    gang: PendingGang
    pods: tuple[Pod, ...]
    reason: str
    #: For whom of those that wait, node by pod UID: the room is held for them.
    starts: Mapping[GangKey, Mapping[str, str]] = field(default_factory=dict)


@dataclass(slots=True)
class _Clock:
    """Since when a gang is short, and when it last came nearer to standing than ever since."""

    began_s: float
    since_s: float
    nearest: tuple[int, int, int]
    tried_s: float = float("-inf")
    #: Members on their way out, and when another one was seen to be.
    leaving: int = 0
    left_s: float = float("-inf")
    #: When the last of those was gone.
    gone_s: float = float("-inf")
    #: When all of their grace is over.
    graced_s: float = float("-inf")

    def saw(self, short: Shortage, now_s: float, wall_s: float) -> None:
        """What comes and goes again is no progress twice."""
        if short.leaving > self.leaving:
            self.left_s = now_s
        elif short.leaving < self.leaving:
            self.gone_s = now_s
        self.graced_s = now_s + short.gone_by_s - wall_s
        self.leaving = short.leaving
        standing, there, leaving = self.nearest
        found = (
            max(standing, short.standing),
            max(there, short.standing + short.waiting),
            min(leaving, short.leaving),
        )
        if found != self.nearest:
            self.nearest, self.since_s = found, now_s


class Losses:
    """healing: what becomes of a gang that does not stand any more, and when."""

    def __init__(self, state: ClusterState, *, policy: Policy, healing: Healing) -> None:
        self._state = state
        self._policy = policy
        self._healing = healing
        self._clocks: dict[GangKey, _Clock] = {}
        #: Since when each room of a lost member is kept, by gang and UID.
        self._kept: dict[tuple[GangKey, str], float] = {}
        #: Gangs whose members cannot be evicted now, and until when they go on as they are.
        self._spared: dict[GangKey, float] = {}
        #: Gangs that nobody joins before they have restarted whole.
        self._restarting: set[GangKey] = set()
        self._at_s = 0.0

    def begin(self, now_s: float, wall_s: float) -> None:
        """Before a cycle's snapshot: rooms are kept no longer than the limit, and gangs that restart take
        nobody in.
        """
        self._at_s = wall_s
        short = self._state.gangs.short()
        self._lapse(now_s)
        if not (short or self._spared or self._restarting):
            return
        self._spared = {k: until_s for k, until_s in self._spared.items() if k in short and until_s > now_s}
        due = {
            key
            for key, one in short.items()
            if one.is_broken and key not in self._spared and self._restarts(key)
        }
        for key in self._restarting - due:
            self._state.gangs.unhold(key, "restart")
        for key in due:
            self._state.gangs.hold(key, "restart", Waiting(reason=RESTARTING))
        self._restarting = due

    def overdue(
        self,
        now_s: float,
        is_running: Callable[[GangKey], bool],
        lacking: Container[GangKey] | None,
        promised: Mapping[str, str],
    ) -> list[Overdue]:
        """Gangs to be given back, each told once. lacking: who waits for room, None for all who wait.
        promised: what is held for whom, node by pod UID.
        """
        short = self._state.gangs.short()
        self._clocks = {key: self._clock(key, one, now_s) for key, one in short.items()}
        if not short:
            return []
        leave = _Leave(Budgets(self._state.disruption.all(self._at_s)), self._at_s)
        found: list[Overdue] = []
        broken: list[GangKey] = []
        for key, one in short.items():
            if one.is_assumed or is_running(key) or key in self._spared:
                continue
            clock = self._clocks[key]
            if not self._may_stay(key, one, clock, now_s):
                back = self._given_back(key, one, now_s - clock.began_s)
                if one.is_broken and not leave.take(back.pods):
                    self.spare(key, now_s)
                else:
                    found.append(back)
            elif one.is_broken and self._is_lost(key, one, clock, now_s):
                broken.append(key)
        able = [key for key in broken if leave.may_go(self._state.remains(key)[1])]
        for given in self._of_use(able, lacking, promised) if able else ():
            key = given.key
            back = self._given_back(key, short[key], now_s - self._clocks[key].began_s)
            if leave.take(back.pods):
                found.append(replace(back, starts=given.starts))
        for key in broken:
            self._clocks[key].tried_s = now_s
        for gone in found:
            del self._clocks[gone.gang.key]
            self._state.gangs.vacancies.give_up(gone.gang.key)
            for key, nodes in gone.starts.items():
                self._state.roll.help(key, nodes)
        return found

    def spare(self, key: GangKey, now_s: float) -> None:
        """Its evictions are refused, by a disruption budget mostly: who replaces a member joins the gang."""
        self._spared[key] = now_s + SPARED_S

    def due_s(self) -> float | None:
        """When time alone next changes something, or None."""
        ends = [at_s + self._healing.replace_s for at_s in self._kept.values()]
        ends += self._spared.values()
        for key, one in self._state.gangs.short().items():
            clock = self._clocks.get(key)
            if clock is None or key in self._spared:
                continue
            if one.is_broken and self._restarts(key):
                ends.append(clock.began_s + self._healing.restart_s)
            elif one.is_broken and clock.tried_s < clock.since_s:
                # Once looked at, it is looked at again when something else happens.
                ends.append(self._lost_s(one, clock))
            elif one.is_broken:
                continue
            else:
                ends.append(clock.since_s + self._healing.partial_s)
        return min(ends, default=None)

    # -- inside --------------------------------------------------------------------------------

    def _clock(self, key: GangKey, short: Shortage, now_s: float) -> _Clock:
        clock = self._clocks.get(key)
        if clock is None:
            nearest = (short.standing, short.standing + short.waiting, short.leaving)
            clock = _Clock(now_s, now_s, nearest)
        clock.saw(short, now_s, self._at_s)
        return clock

    def _restarts(self, key: GangKey) -> bool:
        return self._healing.restarts_whole(key, self._state.members(key))

    def _may_stay(self, key: GangKey, short: Shortage, clock: _Clock, now_s: float) -> bool:
        """Whether it has time left, whoever waits."""
        if not short.is_broken:
            return now_s - clock.since_s < self._healing.partial_s
        return not self._restarts(key) or now_s - clock.began_s < self._healing.restart_s

    def _lost_s(self, short: Shortage, clock: _Clock) -> float:
        """When a replacement is not waited for any more, if others can use the room."""
        # Nobody can come in the place of one that takes its time to go before it is gone.
        until_s = max(clock.since_s, clock.gone_s) + self._healing.replace_s
        if short.leaving:
            until_s = max(clock.since_s, clock.left_s) + LEAVING_S
            until_s = max(until_s, clock.graced_s + STOPPED_S)
        return max(until_s, clock.tried_s + TRIED_EVERY_S)

    def _is_lost(self, key: GangKey, short: Shortage, clock: _Clock, now_s: float) -> bool:
        return not self._restarts(key) and now_s >= self._lost_s(short, clock)

    def _of_use(
        self, keys: Collection[GangKey], lacking: Container[GangKey] | None, promised: Mapping[str, str]
    ) -> list[Given]:
        """Of these gangs those by whose end somebody starts who waits."""
        snapshot = self._state.snapshot(self._at_s)
        broken = [
            Broken(key=key, pods=self._state.remains(key)[1], whole=self._state.gangs.as_if_new(key))
            for key in keys
        ]
        shapes = {role.shape for one in broken if one.whole is not None for role in one.whole.roles}
        masks = {shape: self._state.mask(shape) for shape in shapes}
        return of_use(snapshot, self._policy, broken, lacking, promised, masks)

    def _given_back(self, key: GangKey, short: Shortage, for_s: float) -> Overdue:
        gang, pods = self._state.remains(key)
        text = f"only {short.bound} of {short.minimum} members were bound for {for_s:.0f} s"
        return Overdue(gang=gang, pods=pods, reason=text)

    def _lapse(self, now_s: float) -> None:
        rooms: Mapping[GangKey, Mapping[str, object]] = self._state.gangs.vacancies.by_gang
        if not rooms and not self._kept:
            return
        there = [(key, uid) for key, uids in rooms.items() for uid in uids]
        self._kept = {one: self._kept.get(one, now_s) for one in there}
        for (key, uid), at_s in self._kept.items():
            if now_s - at_s >= self._healing.replace_s:
                self._state.gangs.vacancies.lapse(key, uid)


class _Leave:
    """What disruption budgets let go in one look at all gangs.

    A budget that lets some of a gang go keeps the others where they are: neither the gang nor anybody else
    could start. So it is all of them or none.
    """

    def __init__(self, budgets: Budgets, at_s: float) -> None:
        self._budgets = budgets
        self._at_s = at_s

    def may_go(self, pods: Sequence[Pod]) -> bool:
        """Whether all of these may be evicted together."""
        return self._budgets.allow(self._asked(pods))

    def take(self, pods: Sequence[Pod]) -> bool:
        """The same; if they may, they are taken off what is left."""
        if not self.may_go(pods):
            return False
        self._budgets.take(self._asked(pods))
        return True

    def _asked(self, pods: Sequence[Pod]) -> list[Pod]:
        """Those of whom a budget is asked. One that does not run is evicted past every budget; one that was
        bound just now may run although it was not seen to.
        """
        return [pod for pod in pods if pod.phase == "Running" or self._at_s - bound_s(pod) < BEGINS_S]

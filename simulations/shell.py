"""Drives the core as ``scheduler.live`` does: cycles, attempts, instructions, and what the watch shows.

Where the live shell sends requests and waits, this one asks the virtual cluster and goes on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from quotas.units import UnitTable
from scheduler.cycles import Cycles, clear
from scheduler.gangs import events, machine
from scheduler.gangs.attempt import Attempt, Limits
from scheduler.gangs.healing import Healing
from scheduler.gangs.recovery import give_back
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Assignment, Budget, Clearing, Plan, Policy
from scheduler.state import ClusterState
from simulations.virtual import SCHEDULER_NAME, VirtualCluster

EPOCH = 1


@dataclass(slots=True)
class Running:
    """One attempt under way, and the devices chosen for its pods by UID."""

    attempt: Attempt
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Shell:
    """``bound`` is told of each pod whose Binding landed, ``evicted`` of each pod that an eviction removed,
    ``clears`` of each clearing before its victims are told to go; ``later`` calls back after some seconds.
    grace_s: how long an evicted pod takes to be gone; healing: what becomes of gangs that lost a member.
    """

    def __init__(
        self,
        cluster: VirtualCluster,
        *,
        policy: Policy,
        budget: Budget,
        bound: Callable[[Pod], None],
        evicted: Callable[[str], None],
        clears: Callable[[Clearing], None],
        later: Callable[[float, Callable[[float], None]], None],
        grace_s: float = 0.0,
        units: UnitTable | None = None,
        scheduler_name: str = SCHEDULER_NAME,
        healing: Healing | None = None,
    ) -> None:
        self.state = ClusterState(scheduler_name, units)
        self.cycles = Cycles(self.state, policy=policy, budget=budget, healing=healing or Healing())
        self._cluster = cluster
        self._bound = bound
        self._evicted = evicted
        self._clears = clears
        self._grace_s = grace_s
        self._later = later
        self._limits = Limits()
        self._running: dict[GangKey, Running] = {}

    def is_running(self, key: GangKey) -> bool:
        return key in self._running

    def cycle(self, now_s: float) -> Plan:
        """One scheduling cycle at this instant."""
        cycle = self.cycles.begin(now_s, now_s)
        planned = cycle.plan()
        accepted, _ = self.cycles.admit(planned.places, self.is_running)
        for place in accepted:
            self._start(place.gang, place.assignments, now_s)
        for clearing in planned.clearings:
            victims = clear(self.state, clearing)
            if victims:
                self._clears(clearing)
            for pod in victims:
                self._evict(pod, now_s)
        self.cycles.remember(cycle, planned)
        for found in self.cycles.overdue(now_s, self.is_running):
            self._give_back(found.gang, found.pods, found.reason, now_s)
        return planned

    def _evict(self, pod: Pod, now_s: float) -> None:
        leaving = self._cluster.leave(pod.uid) if self._grace_s else None
        if leaving is None:
            self._gone(pod, now_s)
        else:
            self.state.set_pod(leaving)
            self._later(self._grace_s, partial(self._gone, pod))

    def _gone(self, pod: Pod, now_s: float) -> None:
        event = self._cluster.evict(pod.uid, now_s)
        if isinstance(event, events.EvictAcked):
            self._watch(event)
        else:
            self.state.roll.pardon(pod.uid)

    def _start(self, gang: PendingGang, assignments: tuple[Assignment, ...], now_s: float) -> None:
        attempt, todo = machine.start(gang, assignments, epoch=EPOCH, at_s=now_s, limits=self._limits)
        devices = {a.pod.uid: a.devices for a in assignments if a.devices}
        self._begin(Running(attempt, devices), todo, now_s)

    def _give_back(self, gang: PendingGang, pods: tuple[Pod, ...], reason: str, now_s: float) -> None:
        self.state.roll.condemn(pod.uid for pod in pods)
        attempt, todo = give_back(
            gang.key,
            pods,
            min_member=gang.min_member,
            epoch=EPOCH,
            at_s=now_s,
            reason=reason,
            limits=self._limits,
        )
        self._begin(Running(attempt), todo, now_s)

    def _begin(self, running: Running, todo: tuple[events.Instruction, ...], now_s: float) -> None:
        self._running[running.attempt.key] = running
        self._carry_out(running, todo, now_s)

    def _carry_out(self, running: Running, todo: tuple[events.Instruction, ...], now_s: float) -> None:
        """Every instruction in turn, those that follow from the answers included."""
        left = deque(todo)
        while left:
            instruction = left.popleft()
            event = self._perform(running, instruction, now_s)
            if event is not None and not running.attempt.is_done:
                running.attempt, more = machine.step(running.attempt, event)
                left.extend(more)
        if running.attempt.is_done and self._running.get(running.attempt.key) is running:
            del self._running[running.attempt.key]
            self.cycles.ended(running.attempt, now_s)

    def _perform(
        self, running: Running, instruction: events.Instruction, now_s: float
    ) -> events.Event | None:
        match instruction:
            case events.Forget(uid=uid):
                self.state.forget(uid)
            case events.WakeMember(uid=uid, after_s=after_s):
                self._later(after_s, lambda at_s: self._wake(running, at_s, uid))
            case events.WakeAttempt(after_s=after_s):
                self._later(after_s, lambda at_s: self._wake(running, at_s, None))
            case _:
                event = self._cluster.answer(running.attempt, instruction, now_s, devices=running.devices)
                self._watch(event)
                return event
        return None

    def _watch(self, event: events.Event | None) -> None:
        """What the watch shows after a write that landed."""
        match event:
            case events.BindAcked(uid=uid):
                pod = self._cluster.pods[uid]
                self.state.set_pod(pod)
                self._bound(pod)
            case events.EvictAcked(uid=uid):
                self.state.remove_pod(uid)
                self._evicted(uid)
            case _:
                pass

    def _wake(self, running: Running, now_s: float, uid: str | None) -> None:
        if running.attempt.is_done:
            return
        woken: events.Event = (
            events.AttemptWoken(at_s=now_s) if uid is None else events.MemberWoken(at_s=now_s, uid=uid)
        )
        running.attempt, todo = machine.step(running.attempt, woken)
        self._carry_out(running, todo, now_s)

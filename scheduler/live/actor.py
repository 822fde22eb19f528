"""Runs attempts: feeds events to the gang machine and carries its instructions to the API server.

Nothing here decides. A fixed number of workers bounds the writes in flight; a hung call holds one
worker for one write timeout and nothing else.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from scheduler.cycles import unfit
from scheduler.gangs import events, machine
from scheduler.gangs.attempt import Attempt, Limits, MemberState, Phase
from scheduler.gangs.recovery import give_back
from scheduler.gangs.standing import stands
from scheduler.live.announcer import Announcer
from scheduler.live.binder import Binder
from scheduler.live.claims import ClaimBook, Place
from scheduler.live.logs import logger
from scheduler.live.metrics import Metrics
from scheduler.live.volume_binder import VolumeBinder
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Pod
from scheduler.model.plan import Assignment
from scheduler.state import ClusterState
from scheduler.volumes.ledger import wants

log = logger("actor")

#: The watch shows a Binding within this time, or the pod is read (INV4).
ASSUME_S_MAX = 30.0
CONFIRM_EVERY_S = 5.0
#: Pods of attempts under way with which no further one is begun; as many as one gang may have.
PODS_MAX = 10_000
#: A deadline that moved is looked at again no sooner than after this.
DEADLINE_STEP_S = 0.05
#: A Binding that waits for a current view is looked at again after this.
STALE_RETRY_S = 0.5


@dataclass(slots=True)
class Running:
    """One attempt under way."""

    attempt: Attempt
    gang: PendingGang
    pods: Mapping[str, Pod]
    #: UIDs of members that stood before the attempt.
    standing: set[str]
    #: UIDs of members, of either kind, that did their work: they count as long as the attempt goes on.
    done: set[str] = field(default_factory=set)
    #: UUIDs of the devices chosen for each pod, where they were.
    devices: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    deadline: asyncio.TimerHandle | None = None
    #: How many attempts were begun before it: what an earlier one writes goes first.
    turn: int = 0
    #: Instructions that wait for a worker and that one carries out, and since when only the former.
    queued: int = 0
    in_flight: int = 0
    idle_since_s: float | None = None
    timers: list[asyncio.TimerHandle] = field(default_factory=list)

    def places(self) -> list[Place]:
        """Where the attempt's members are to go."""
        names = {uid: pod.name for uid, pod in self.pods.items()}
        return [Place(names.get(uid, ""), uid, node) for uid, node in self.attempt.placement.items()]


class Actor:
    """``ended`` is told how each attempt ended; it decides about backing off. ``lost`` is told when a
    write was not sent or was refused because the lease is not ours any more. ``is_current``: whether every
    view is complete and fresh (INV6).
    """

    def __init__(
        self,
        *,
        state: ClusterState,
        binder: Binder,
        volumes: VolumeBinder,
        claims: ClaimBook,
        announcer: Announcer,
        metrics: Metrics,
        clock: Callable[[], float],
        wall: Callable[[], float],
        limits: Limits,
        is_current: Callable[[], bool],
        workers: int,
        ended: Callable[[Attempt], None],
        lost: Callable[[], None],
    ) -> None:
        self._state = state
        self._binder = binder
        self._volumes = volumes
        self._claims = claims
        self._announcer = announcer
        self._metrics = metrics
        self._clock = clock
        self._wall = wall
        self._limits = limits
        self._is_current = is_current
        self._workers = workers
        self._ended = ended
        self._lost = lost
        self._running: dict[GangKey, Running] = {}
        self._key_of: dict[str, GangKey] = {}
        #: By turn, then in the order in which they came. Whoever came first so ends first: a gang is partly
        #: bound for no longer than its own Bindings take, however many others wait.
        self._queue: asyncio.PriorityQueue[tuple[int, int, Running, events.Instruction]] = (
            asyncio.PriorityQueue()
        )
        self._begun = 0
        self._queued = 0
        #: Bound by us, not yet seen bound by the watch: uid -> since when.
        self._unconfirmed: dict[str, float] = {}

    def is_running(self, key: GangKey) -> bool:
        return key in self._running

    @property
    def is_idle(self) -> bool:
        return not self._running

    @property
    def is_full(self) -> bool:
        """Whether so much waits to be sent that nothing more should be begun. Volumes hold up nobody."""
        every = (r for r in self._running.values() if r.attempt.phase is not Phase.PROVISIONING)
        return sum(len(running.pods) for running in every) >= PODS_MAX

    def start(self, gang: PendingGang, assignments: tuple[Assignment, ...], *, epoch: int) -> None:
        """Begin to place a gang whose capacity the state has already charged."""
        attempt, todo = machine.start(
            gang,
            assignments,
            epoch=epoch,
            at_s=self._clock(),
            limits=self._limits,
            needs_volumes=any(wants(a.pod.shape) for a in assignments),
        )
        members = self._state.members(gang.key)
        standing = {pod.uid for pod in members if stands(pod)}
        running = Running(
            attempt,
            gang,
            {a.pod.uid: a.pod for a in assignments},
            standing,
            done={pod.uid for pod in members if pod.phase == "Succeeded" and not pod.is_deleting},
            devices={a.pod.uid: a.devices for a in assignments if a.devices},
        )
        self._announcer.withdraw(running.pods)
        self._begin(running, todo)

    def unwind(
        self,
        gang: PendingGang,
        pods: tuple[Pod, ...],
        *,
        epoch: int,
        reason: str,
        is_inherited: bool = False,
        evict_tries: int | None = None,
    ) -> None:
        """Give back a gang: evict these members of it (INV2). is_inherited: an earlier leader began to.
        evict_tries: how often each is asked for, where that is not as often as may be.
        """
        self._state.roll.condemn(pod.uid for pod in pods)
        limits = self._limits if evict_tries is None else replace(self._limits, evict_tries=evict_tries)
        attempt, todo = give_back(
            gang.key,
            pods,
            min_member=gang.min_member,
            epoch=epoch,
            at_s=self._clock(),
            reason=reason,
            limits=limits,
            is_inherited=is_inherited,
        )
        self._begin(Running(attempt, gang, {pod.uid: pod for pod in pods}, set()), todo)

    def observe(self, uid: str, pod: Pod | None) -> None:
        """The watch showed a pod, or that it is gone: tell the attempt that it concerns."""
        if pod is None or pod.node_name:
            self._unconfirmed.pop(uid, None)
        key = self._key_of.get(uid)
        running = None if key is None else self._running.get(key)
        if running is None:
            return
        if pod is not None and pod.phase == "Succeeded" and not pod.is_deleting:
            running.done.add(uid)
        if uid in running.done:
            return
        is_gone = pod is None or pod.is_deleting or pod.has_ended
        if uid in running.pods and is_gone:
            self._volumes.drop(running.attempt.key, uid)
            self._deliver(running, events.MemberGone(at_s=self._clock(), uid=uid))
        elif uid in running.standing and (pod is None or not stands(pod)):
            running.standing.discard(uid)
            self._deliver(running, events.StandingGone(at_s=self._clock()))

    def abandon(self) -> None:
        """Leadership is lost: every attempt ends without another write."""
        for running in list(self._running.values()):
            self._deliver(running, events.LeadershipLost(at_s=self._clock()))

    async def run(self) -> None:
        """Carry out instructions until cancelled."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._confirm())
            for _ in range(self._workers):
                group.create_task(self._work())

    async def _confirm(self) -> None:
        """Nothing stays assumed: what the watch does not confirm in time is read (INV4)."""
        while True:
            await asyncio.sleep(CONFIRM_EVERY_S)
            late = [uid for uid, at_s in self._unconfirmed.items() if self._clock() - at_s > ASSUME_S_MAX]
            for uid in late:
                pod = self._state.pod(uid)
                found = None if pod is None else await self._binder.read(pod)
                match found:
                    case events.ReadRetry():
                        continue
                    case events.PodRead(node="", is_gone=False):
                        log.warning("a Binding we were told of is not there", uid=uid)
                        self._state.forget(uid)
                    case _:
                        pass
                self._unconfirmed.pop(uid, None)

    async def _work(self) -> None:
        while True:
            _, _, running, instruction = await self._queue.get()
            self._taken_up(running)
            if running.attempt.is_done:
                self._carried_out(running)
                continue
            event = await self._perform(running, instruction)
            self._carried_out(running)
            if isinstance(event, events.LeadershipLost):
                self._lost()
            if event is not None:
                self._deliver(running, event)

    def _begin(self, running: Running, todo: tuple[events.Instruction, ...]) -> None:
        key = running.attempt.key
        self._running[key] = running
        self._begun += 1
        # Who leaves does so at once, however much there is to bind.
        running.turn = 0 if running.attempt.tally.get(MemberState.BOUND) else self._begun
        for uid in (*running.pods, *running.standing):
            self._key_of[uid] = key
        self._keep_time(running)
        self._dispatch(running, todo)
        self._ease()

    def _keep_time(self, running: Running) -> None:
        """Wake the attempt at its deadline, and no more at an earlier one."""
        if running.deadline is not None:
            running.deadline.cancel()
        left_s = max(running.attempt.deadline_s - self._clock(), DEADLINE_STEP_S)
        running.deadline = asyncio.get_running_loop().call_later(left_s, self._deadline, running)

    def _ease(self) -> None:
        """Others are told slowly while Bindings are under way; volumes take minutes and hold up nobody."""
        if all(running.attempt.phase is Phase.PROVISIONING for running in self._running.values()):
            self._announcer.resume()
        else:
            self._announcer.pause()

    def _deadline(self, running: Running) -> None:
        """The deadline passed, unless it moved meanwhile."""
        self._count_wait(running)
        if running.attempt.deadline_s > self._clock():
            self._keep_time(running)
        else:
            self._deliver(running, events.DeadlinePassed(at_s=self._clock()))

    def _count_wait(self, running: Running) -> None:
        """Time in which nothing of an attempt was under way, because others came first, is not its own."""
        if running.idle_since_s is not None:
            now_s = self._clock()
            running.attempt = machine.delayed(running.attempt, now_s - running.idle_since_s)
            running.idle_since_s = now_s

    def _taken_up(self, running: Running) -> None:
        self._count_wait(running)
        running.idle_since_s = None
        running.queued -= 1
        running.in_flight += 1

    def _carried_out(self, running: Running) -> None:
        running.in_flight -= 1
        if running.queued and not running.in_flight:
            running.idle_since_s = self._clock()

    def _deliver(self, running: Running, event: events.Event) -> None:
        if running.attempt.is_done:
            return
        self._count(event)
        before = running.attempt
        running.attempt, todo = machine.step(before, event)
        self._dispatch(running, todo)
        if before.phase is Phase.PROVISIONING is not running.attempt.phase:
            self._volumes.end(before.key, running.attempt.failure)
        if running.attempt.is_done:
            self._end(running)
            return
        if running.attempt.phase is not before.phase:
            self._keep_time(running)
            self._ease()

    def _dispatch(self, running: Running, todo: tuple[events.Instruction, ...]) -> None:
        """Do at once what needs no API call; queue the rest."""
        loop = asyncio.get_running_loop()
        for instruction in todo:
            match instruction:
                case events.Forget(uid=uid):
                    self._state.forget(uid)
                case events.ProvideVolumes():
                    self._provide(running)
                case events.Announce():
                    self._announce(running, instruction)
                case events.WakeMember(uid=uid, after_s=after_s):
                    running.timers.append(loop.call_later(after_s, self._wake_member, running, uid))
                case events.WakeAttempt(after_s=after_s):
                    running.timers.append(loop.call_later(after_s, self._wake_attempt, running))
                case _:
                    self._queued += 1
                    running.queued += 1
                    if not running.in_flight and running.idle_since_s is None:
                        running.idle_since_s = self._clock()
                    self._queue.put_nowait((running.turn, self._queued, running, instruction))

    def _provide(self, running: Running) -> None:
        """Have the volumes of the planned members bound or provisioned, each for its node."""
        attempt = running.attempt
        nodes = {uid: attempt.members[uid].node for uid in attempt.uids(MemberState.PLANNED)}

        def told(event: events.Event) -> None:
            if running.attempt.phase is Phase.PROVISIONING:
                self._deliver(running, event)

        self._volumes.begin(attempt.key, nodes, told)

    def providing(self) -> list[tuple[PendingGang, str]]:
        """Gangs whose volumes are waited for, and for which."""
        waiting = [r for r in self._running.values() if r.attempt.phase is Phase.PROVISIONING]
        return [(r.gang, words) for r in waiting if (words := self._volumes.waits_for(r.attempt.key))]

    def _wake_member(self, running: Running, uid: str) -> None:
        self._deliver(running, events.MemberWoken(at_s=self._clock(), uid=uid))

    def _wake_attempt(self, running: Running) -> None:
        self._deliver(running, events.AttemptWoken(at_s=self._clock()))

    async def _perform(self, running: Running, instruction: events.Instruction) -> events.Event | None:
        attempt = running.attempt
        match instruction:
            case events.BindPod():
                return await self._bind(running, instruction)
            case events.ReadPod(uid=uid) if uid in running.done:
                return events.PodRead(
                    at_s=self._clock(), uid=uid, node=attempt.members[uid].node, has_succeeded=True
                )
            case events.EvictPod(uid=uid) if uid in running.done:
                return events.EvictGone(at_s=self._clock(), uid=uid)
            case events.ReadPod(uid=uid):
                return await self._binder.read(running.pods[uid])
            case events.EvictPod(uid=uid, reason=reason):
                return await self._binder.evict(running.pods[uid], epoch=attempt.epoch, reason=reason)
            case events.WriteClaim():
                return await self._claims.write(attempt, running.gang, running.places())
            case events.ReadClaim():
                return await self._claims.read(attempt)
            case events.WriteStatus():
                return await self._claims.finish(attempt, instruction, self._beside(running))
            case _:
                return None

    def _beside(self, running: Running) -> list[Place]:
        """Where the gang's other members are, and which rooms of lost ones are kept: this attempt's claim
        took the place of those that said so.
        """
        key, own = running.attempt.key, running.attempt.members
        there = [pod for pod in self._state.members(key) if pod.uid not in own and pod.holds_capacity]
        rooms = self._state.gangs.vacancies.by_gang.get(key, {}).values()
        found = [Place(pod.name, pod.uid, pod.node_name) for pod in there]
        found += [Place("", room.uid, room.node) for room in rooms if room.uid not in own]
        return running.places() + found if found else []

    async def _bind(self, running: Running, asked: events.BindPod) -> events.Event:
        """Send a Binding, if it may still be: since it was planned its claim was written, others were
        sent, or this one was and is tried again, and the view has moved on or stands still.
        """
        if running.attempt.phase is not Phase.BINDING:
            # It waited for a worker, and the gang is given up meanwhile.
            return events.BindRefused(
                at_s=self._clock(), uid=asked.uid, reason="the gang is given up", is_permanent=False
            )
        if not self._is_current():
            return events.BindRetry(at_s=self._clock(), uid=asked.uid, after_s=STALE_RETRY_S)
        pod = self._state.pod(asked.uid) or running.pods[asked.uid]
        devices = running.devices.get(asked.uid, ())
        objection = unfit(self._state, Assignment(pod=pod, node=asked.node, devices=devices))
        if objection is not None:
            return events.BindRefused(at_s=self._clock(), uid=asked.uid, reason=objection, is_permanent=False)
        return await self._binder.bind(
            pod,
            asked.node,
            epoch=running.attempt.epoch,
            resource_version=asked.resource_version,
            devices=devices,
        )

    def _announce(self, running: Running, told: events.Announce) -> None:
        pods = [running.pods[uid] for uid in told.uids if uid in running.pods]
        match told.kind:
            case "Scheduled":
                placed = [(pod, running.attempt.members[pod.uid].node) for pod in pods]
                self._announcer.bound(placed)
                if not running.gang.standing:
                    self._metrics.placed(self._wall() - running.gang.created_s)
                if not running.attempt.key.is_single:
                    log.info("gang bound", gang=str(running.attempt.key), pods=len(pods))
            case "Evicted":
                self._announcer.evicted(pods, told.message, "TakenBack")
                log.info("evicted", gang=str(running.attempt.key), pods=len(pods), reason=told.message)
            case "NotPlaced" | "Stuck":
                log.warning(
                    "gang not placed",
                    gang=str(running.attempt.key),
                    kind=told.kind,
                    reason=told.message,
                )

    def _count(self, event: events.Event) -> None:
        match event:
            case events.BindAcked(uid=uid, at_s=at_s):
                self._unconfirmed[uid] = at_s
                self._metrics.bind("bound")
            case events.BindRefused() | events.BindConflict():
                self._metrics.bind("refused")
            case events.BindRetry():
                self._metrics.bind("retried")
            case events.BindUnknown():
                self._metrics.bind("unknown")
            case events.EvictAcked():
                self._metrics.eviction("evicted")
            case events.EvictGone():
                self._metrics.eviction("refused")
            case events.EvictRetry():
                self._metrics.eviction("retried")
            case events.EvictUnknown():
                self._metrics.eviction("unknown")
            case _:
                pass

    def _end(self, running: Running) -> None:
        if running.deadline is not None:
            running.deadline.cancel()
        for timer in running.timers:
            timer.cancel()
        key = running.attempt.key
        if self._running.get(key) is running:
            del self._running[key]
        for uid in (*running.pods, *running.standing):
            if self._key_of.get(uid) == key:
                del self._key_of[uid]
        self._ease()
        self._ended(running.attempt)

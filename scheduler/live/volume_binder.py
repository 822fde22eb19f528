"""Has the volumes of placed pods bound or provisioned, before any of the pods is bound, and withdraws what
was asked in vain.

Level-triggered: at each look it is decided for each claim what is to be done from what the watches show
(``scheduler.volumes.provide``). A restart so loses nothing: the node that a claim names is kept to by the
next plan, and one that no attempt waits for is withdrawn after ``ORPHAN_S``.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace

from scheduler.gangs.events import Event, VolumesFailed, VolumesReady
from scheduler.live.logs import logger
from scheduler.live.volume_writes import Again, NotOurs, Refused, VolumeWriter, Written
from scheduler.model.gang import GangKey
from scheduler.model.objects import Node
from scheduler.model.plan import Plan
from scheduler.model.volumes import Claim, PersistentVolume, Wanted
from scheduler.state import ClusterState
from scheduler.volumes.provide import Adopt, Asked, Fail, Ready, Select, Take, offers, step, wanted_of

log = logger("volumes")

Key = tuple[str, str]

WORKERS = 8
#: Between two looks, so that a burst of events costs one; and without any event.
LOOK_MIN_S = 0.05
LOOK_MAX_S = 1.0
#: A look that takes long is not repeated at once: so many times its own length passes first.
LOOK_SHARE = 4.0
PODS_AT_ONCE = 200
#: What names a node without an attempt that waits for it is withdrawn after this.
ORPHAN_S = 30.0
ORPHANS_EVERY_S = 5.0
#: Where provisioning failed, nothing equal is asked for again within this.
AVOID_S = 300.0
AVOIDED_MAX = 10_000
FAILURES_MAX = 10_000
MESSAGE_MAX = 1_024


@dataclass(slots=True)
class Job:
    """One attempt that waits for volumes: pods still to be bound, by UID, and their nodes."""

    nodes: dict[str, str]
    answer: Callable[[Event], None]
    until_s: float
    #: What each claim waits for.
    asked: dict[Key, Asked] = field(default_factory=dict)
    #: Claims with a write under way, or one that waits to be tried again.
    busy: set[Key] = field(default_factory=set)
    #: Why a write for a claim was refused.
    refused: dict[Key, str] = field(default_factory=dict)
    has_failed: bool = False
    is_over: bool = False


@dataclass(frozen=True, slots=True)
class _Write:
    """``node`` None withdraws; ``volume`` set is set aside."""

    job: Job | None
    claim: Claim
    node: str | None = None
    volume: PersistentVolume | None = None


class VolumeBinder:
    """``bound_s``: how long an attempt waits for its volumes. lost: told when a write was not ours to send.

    wake: told when gangs may be placed where they could not before.
    """

    def __init__(
        self,
        state: ClusterState,
        writer: VolumeWriter,
        *,
        clock: Callable[[], float],
        bound_s: float,
        may_act: Callable[[], bool],
        lost: Callable[[], None],
        wake: Callable[[], None],
    ) -> None:
        self._state = state
        self._writer = writer
        self._clock = clock
        self._bound_s = bound_s
        self._may_act = may_act
        self._lost = lost
        self._wake_loop = wake
        self._jobs: dict[GangKey, Job] = {}
        self._queue: asyncio.Queue[_Write] = asyncio.Queue()
        self._woken = asyncio.Event()
        #: Claims to withdraw the node from, by key, and those being written.
        self._releasing: dict[Key, tuple[str, str]] = {}
        self._withdrawing: set[Key] = set()
        #: Since when a claim names a node that no attempt waits for.
        self._orphans: dict[Key, tuple[str, float]] = {}
        self._orphans_due_s = 0.0
        #: Volumes that running attempts were just given.
        self._given: set[str] = set()
        #: Why the last attempt of a gang failed while it waited for volumes.
        self._failures: dict[GangKey, str] = {}
        #: By what was wanted and node, until when it is not asked for there, and why.
        self._avoided: dict[Wanted, dict[str, tuple[float, str]]] = {}

    # -- what attempts ask -------------------------------------------------------------------------

    def begin(self, key: GangKey, nodes: Mapping[str, str], answer: Callable[[Event], None]) -> None:
        """Provide for these pods, by UID, on these nodes. ``answer`` takes what the gang machine is told."""
        self._jobs[key] = Job(dict(nodes), answer, self._clock() + self._bound_s)
        self.wake()

    def drop(self, key: GangKey, uid: str) -> None:
        """A pod is gone: nothing more is done for it."""
        job = self._jobs.get(key)
        if job is not None:
            job.nodes.pop(uid, None)
            self.wake()

    def end(self, key: GangKey, failure: str) -> None:
        """The attempt waits no longer; what it asked in vain is withdrawn. ``failure``: why, if it failed."""
        self._failures.pop(key, None)
        job = self._jobs.get(key)
        if job is None:
            return
        if failure:
            if len(self._failures) >= FAILURES_MAX:
                del self._failures[next(iter(self._failures))]
            self._failures[key] = failure
        self._finish(key, job)
        self.wake()

    def told(self, planned: Plan) -> Plan:
        """The plan with what became of the volumes of gangs' last attempts in their verdicts."""
        if not self._failures:
            return planned
        verdicts = tuple(
            replace(v, message=f"{v.message}; last attempt: {failure}"[:MESSAGE_MAX])
            if (failure := self._failures.get(v.key)) and failure not in v.message
            else v
            for v in planned.verdicts
        )
        return replace(planned, verdicts=verdicts)

    def waits_for(self, key: GangKey) -> str:
        """What an attempt waits for, in words; nothing where it waits for no volume."""
        job = self._jobs.get(key)
        if job is None:
            return ""
        waiting = sorted(
            f"{namespace}/{name} ({f'volume {a.volume}' if a.volume else f'node {a.node}'})"
            for (namespace, name), a in job.asked.items()
            if not self._is_bound((namespace, name))
        )
        shown = ", ".join(waiting[:3]) + (f" and {len(waiting) - 3} more" if len(waiting) > 3 else "")
        whole = len(self._keys(job.nodes))
        return f"waits for the volumes of {len(waiting)} of {whole} claims: {shown}" if waiting else ""

    def wake(self) -> None:
        self._woken.set()

    # -- working -----------------------------------------------------------------------------------

    async def run(self) -> None:
        """Look and write until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())
            while True:
                self._woken.clear()
                began_s = self._clock()
                await self._look()
                pause_s = max(LOOK_MIN_S, LOOK_SHARE * (self._clock() - began_s))
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_MAX_S):
                        await self._woken.wait()
                await asyncio.sleep(pause_s)

    async def _look(self) -> None:
        if not self._may_act():
            return
        self._given = {a.volume for job in self._jobs.values() for a in job.asked.values() if a.volume}
        for key, job in list(self._jobs.items()):
            await self._look_at(key, job)
        self._withdraw()
        self._forgive()

    async def _look_at(self, key: GangKey, job: Job) -> None:
        """One step for each claim of the attempt; an answer where it has failed or all is there.

        Others get their turn in between, so that a large gang holds up nobody.
        """
        is_late, is_ready = self._clock() >= job.until_s, True
        offered = offers(self._asking(job), self._state.claims, self._given)
        for count, (uid, name) in enumerate(sorted(job.nodes.items()), start=1):
            if count % PODS_AT_ONCE == 0:
                await asyncio.sleep(0)
            if job.is_over:
                return
            if uid not in job.nodes:
                continue
            row = self._state.columns.row.get(name)
            if row is None:
                self._fail(job, uid, f"node {name} is gone")
                continue
            for claim_key in self._state.volumes.keys(uid):
                node, volume = self._state.columns.nodes[row], offered.get(claim_key)
                done = self._step(job, uid, claim_key, node, volume, is_late=is_late)
                is_ready &= done is not False
                if done is None:
                    break
        if self._jobs.get(key) is job and job.nodes and is_ready:
            self._finish(key, job)
            job.answer(VolumesReady(at_s=self._clock()))

    def _finish(self, key: GangKey, job: Job) -> None:
        """Nobody waits for it any more: what was asked for and did not come is withdrawn."""
        del self._jobs[key]
        job.is_over = True
        for claim_key, asked in job.asked.items():
            claim = self._claim(claim_key)
            if claim is not None and not asked.volume and not claim.volume:
                self._releasing[claim_key] = (claim.uid, asked.node)

    def _asking(self, job: Job) -> dict[Key, tuple[Wanted, Node]]:
        """Claims for which nothing is written yet: what is asked of each, and the node of its first pod."""
        found: dict[Key, tuple[Wanted, Node]] = {}
        for uid, name in sorted(job.nodes.items()):
            node = self._node(name)
            for key in self._state.volumes.keys(uid):
                claim = self._claim(key)
                if node is None or claim is None or claim.volume or key in job.asked or key in found:
                    continue
                claims = self._state.claims
                if claim.storage_class not in claims.open_volumes and key not in claims.reserved:
                    continue
                wanted = wanted_of(claim, self._state.claims)
                if wanted is not None and not wanted.selected_node:
                    found[key] = (wanted, node)
        return found

    def _step(
        self, job: Job, uid: str, key: Key, node: Node, offered: PersistentVolume | None, *, is_late: bool
    ) -> bool | None:
        """Whether the claim is ready; None where the pod has failed by it."""
        claim = self._claim(key)
        asked = job.asked.get(key)
        next_step = step(claim, node, self._state.claims, asked, offered)
        if key in job.refused:
            next_step = Fail(job.refused[key])
        if asked is None and key in self._releasing:
            next_step = Fail(f"is being withdrawn from node {self._releasing[key][1]}")
        if is_late and not isinstance(next_step, Ready | Fail):
            late = f"no volume came within {self._bound_s:.0f} s"
            next_step = Fail(f"was not provisioned for node {node.name}: {late}", spent=late)
        match next_step:
            case Ready():
                return True
            case Fail(reason, spent):
                if spent and claim is not None:
                    self._avoid(claim, node if asked is None else self._node(asked.node) or node, spent)
                self._fail(job, uid, self._told(job, key, reason))
                return None
            case Adopt(found):
                job.asked[key] = found
            case Select() if claim is not None and key not in job.busy:
                job.busy.add(key)
                self._queue.put_nowait(_Write(job, claim, node=node.name))
            case Take(volume) if claim is not None and key not in job.busy:
                job.busy.add(key)
                # It is nobody else's from here on, so that two claims do not ask for one volume.
                job.asked[key] = Asked(node=node.name, version=1 << 62, volume=volume.name)
                self._given.add(volume.name)
                self._queue.put_nowait(_Write(job, claim, node=node.name, volume=volume))
            case _:
                pass
        return False

    async def _work(self) -> None:
        while True:
            write = await self._queue.get()
            if write.job is None:
                await self._carry_out_withdrawal(write)
            elif not write.job.is_over:
                await self._carry_out(write.job, write)
            self.wake()

    async def _carry_out(self, job: Job, write: _Write) -> None:
        key, node = write.claim.key, write.node or ""
        volume = write.volume
        if volume is None:
            outcome = await self._writer.select(write.claim, node)
        else:
            outcome = await self._writer.take(volume, write.claim)
        match outcome:
            case Written(found):
                job.asked[key] = Asked(node=node, version=found, volume="" if volume is None else volume.name)
                job.busy.discard(key)
                log.info("volume asked for", claim="/".join(key), node=node, volume=job.asked[key].volume)
                if job.is_over and volume is None:
                    # The attempt ended while this was under way.
                    self._releasing[key] = (write.claim.uid, node)
            case Again(after_s):
                if volume is not None:
                    job.asked.pop(key, None)
                asyncio.get_running_loop().call_later(after_s, self._free, job, key)
            case Refused(reason):
                job.asked.pop(key, None)
                job.refused[key] = reason
            case NotOurs():
                self._lost()

    async def _carry_out_withdrawal(self, write: _Write) -> None:
        key = write.claim.key
        outcome = await self._writer.select(write.claim, None)
        match outcome:
            case NotOurs():
                self._lost()
            case Again(after_s):
                asyncio.get_running_loop().call_later(after_s, self._withdrawing.discard, key)
                return
            case Written():
                log.info("node withdrawn from a claim", claim="/".join(key))
                self._wake_loop()
            case Refused(reason):
                log.warning("node not withdrawn from a claim", claim="/".join(key), reason=reason)
                self._releasing.pop(key, None)
        self._withdrawing.discard(key)

    def _free(self, job: Job, key: Key) -> None:
        job.busy.discard(key)
        self.wake()

    # -- what was asked in vain --------------------------------------------------------------------

    def _withdraw(self) -> None:
        """Take the node from claims that nobody provides for any more, as long as it is ours to take."""
        awaited = {key for job in self._jobs.values() for key in self._keys(job.nodes)}
        if self._clock() >= self._orphans_due_s:
            self._orphans_due_s = self._clock() + ORPHANS_EVERY_S
            self._note_orphans(awaited)
        for key, (uid, node) in list(self._releasing.items()):
            claim = self._claim(key)
            is_same = claim is not None and claim.uid == uid and claim.selected_node == node
            if claim is None or not is_same or claim.volume or claim.is_prebound or not self._is_ours(key):
                del self._releasing[key]
            elif key not in self._withdrawing:
                self._withdrawing.add(key)
                self._queue.put_nowait(_Write(None, claim))

    def _note_orphans(self, awaited: Collection[Key]) -> None:
        now_s, before = self._clock(), self._orphans
        self._orphans = {}
        for key, claim in self._state.volumes.selected().items():
            if claim.volume or claim.is_prebound or key in awaited or key in self._releasing:
                continue
            if not self._is_ours(key):
                continue
            node, since_s = before.get(key, (claim.selected_node, now_s))
            since_s = since_s if node == claim.selected_node else now_s
            self._orphans[key] = (claim.selected_node, since_s)
            if now_s - since_s >= ORPHAN_S:
                self._releasing[key] = (claim.uid, claim.selected_node)

    def _is_ours(self, key: Key) -> bool:
        """Whether pods of ours mount the claim, and nobody else's, and none of them has a node."""
        users = list(self._state.volumes.users(key))
        ours = self._state.scheduler_name
        return bool(users) and all(pod.scheduler_name == ours and not pod.node_name for pod in users)

    def _avoid(self, claim: Claim, node: Node, why: str) -> None:
        """Not there again for a while: on no node that is in the same place to the driver."""
        wanted = wanted_of(claim, self._state.claims)
        if wanted is None or len(self._avoided) >= AVOIDED_MAX:
            return
        wanted = replace(wanted, selected_node="")
        until_s, known = self._clock() + AVOID_S, self._avoided.setdefault(wanted, {})
        if known.get(node.name, (0.0, ""))[0] >= until_s - LOOK_MAX_S:
            return
        storage = self._state.claims.classes.get(wanted.storage_class)
        driver = "" if storage is None else storage.driver
        keys = self._state.claims.topology_keys.get(driver, ())
        place = [node.labels.get(key) for key in keys]
        alike = [n.name for n in self._state.columns.nodes if [n.labels.get(k) for k in keys] == place]
        known.update(dict.fromkeys(alike if keys else [node.name], (until_s, why)))
        # Before the failure is told: what is planned next has to know it.
        self._forgive()

    def _forgive(self) -> None:
        now_s = self._clock()
        for wanted, nodes in list(self._avoided.items()):
            left = {name: told for name, told in nodes.items() if told[0] > now_s}
            if left:
                self._avoided[wanted] = left
            else:
                del self._avoided[wanted]
        avoided = {
            wanted: {name: why for name, (_, why) in nodes.items()} for wanted, nodes in self._avoided.items()
        }
        if self._state.avoid(avoided):
            self._wake_loop()

    # -- inside ------------------------------------------------------------------------------------

    def _fail(self, job: Job, uid: str, reason: str) -> None:
        job.nodes.pop(uid, None)
        job.answer(VolumesFailed(at_s=self._clock(), uid=uid, reason=reason))

    def _told(self, job: Job, key: Key, reason: str) -> str:
        if job.has_failed:
            return f"persistentvolumeclaim {'/'.join(key)} {reason}"
        job.has_failed = True  # The first failure is the attempt's, and tells what was triggered.
        asked = len(job.asked)
        bound = sum(self._is_bound(each) for each in job.asked)
        triggered = f"; of {asked} claims asked for {bound} have their volumes" if asked else ""
        return f"persistentvolumeclaim {'/'.join(key)} {reason}{triggered}"

    def _claim(self, key: Key) -> Claim | None:
        found: Claim | None = self._state.volumes.known("claims").get(key)
        return found

    def _is_bound(self, key: Key) -> bool:
        claim = self._claim(key)
        return claim is not None and bool(claim.volume)

    def _node(self, name: str) -> Node | None:
        row = self._state.columns.row.get(name)
        return None if row is None else self._state.columns.nodes[row]

    def _keys(self, uids: Iterable[str]) -> set[Key]:
        return {key for uid in uids for key in self._state.volumes.keys(uid)}

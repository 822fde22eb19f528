"""A model of the API server and of the shell around the machine, for faults nobody hand-picked.

The server applies, loses answers, keeps requests under way that land later or never, answers from
an earlier moment and refuses. The oracle looks at the server only, never at the machine.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from scheduler.gangs import events as ev
from scheduler.gangs.attempt import Attempt, MemberState, Phase, verify
from scheduler.gangs.machine import step
from scheduler.model.objects import Pod
from tests.gangs.gang_cases import pod


@dataclass
class ServedPod:
    node: str = ""
    version: int = 1
    is_deleting: bool = False
    is_removed: bool = False

    def copy(self) -> ServedPod:
        return ServedPod(self.node, self.version, self.is_deleting, self.is_removed)


@dataclass
class UnderWay:
    """A write whose answer was given up; it may land until it expires."""

    write: ev.BindPod | ev.WriteClaim
    version: int
    epoch: int
    placement: dict[str, str]
    until_s: float


@dataclass
class Server:
    pods: dict[str, ServedPod] = field(default_factory=dict)
    claim: tuple[int, dict[str, str]] | None = None
    claim_phase: str = ""
    claim_version: int = 0
    #: Every Binding applied: (uid, node, epoch of the sender).
    bindings: list[tuple[str, str, int]] = field(default_factory=list)
    #: Evictions that began a deletion, and every eviction answered 201.
    evictions: list[str] = field(default_factory=list)
    evictions_acked: set[str] = field(default_factory=set)
    #: Every eviction that was carried out, of whatever there still was.
    evicted: list[str] = field(default_factory=list)

    def bind(self, uid: str, node: str, version: int, epoch: int) -> int:
        """Status code of a Binding with uid and resourceVersion preconditions."""
        target = self.pods[uid]
        if target.is_removed:
            return 404
        if target.is_deleting or target.node or target.version != version:
            return 409
        held = self.claim
        assert held is not None, "a pod of a gang is bound with no claim written"
        assert held[1].get(uid) == node, "bound elsewhere than claimed"
        assert held[0] == epoch, "bound under another leader's claim"
        target.node = node
        target.version += 1
        self.bindings.append((uid, node, epoch))
        return 201

    def write_claim(
        self, version: int, epoch: int, placement: dict[str, str], phase: str = "Binding"
    ) -> bool:
        if version != self.claim_version:
            return False
        self.claim, self.claim_phase = (epoch, placement), phase
        self.claim_version += 1
        return True

    def evict(self, uid: str) -> int:
        target = self.pods[uid]
        if target.is_removed:
            return 404
        if not target.is_deleting:
            self.evictions.append(uid)
        self.evictions_acked.add(uid)
        self.evicted.append(uid)
        target.is_deleting = True
        target.version += 1
        return 201

    def bound_live(self) -> set[str]:
        return {u for u, p in self.pods.items() if p.node and not p.is_deleting and not p.is_removed}

    def listed(self, standing: int) -> list[Pod]:
        """The gang's members as a new leader lists them."""
        stand = [pod(f"s-{i}", uid=f"s-{i}", node="node-s", phase="Running") for i in range(standing)]
        return stand + [
            pod(uid, uid=uid, node=p.node, is_deleting=p.is_deleting)
            for uid, p in self.pods.items()
            if not p.is_removed
        ]


@dataclass
class Open:
    """An instruction that waits for its answer, and the pod as it was when it was given."""

    what: ev.Instruction
    due_s: float
    seen: ServedPod | None = None


class Shell:
    """Carries out instructions one at a time, each with the fate it is told."""

    def __init__(self, server: Server, attempt: Attempt, todo: tuple[ev.Instruction, ...], now_s: float):
        self.server, self.attempt, self.now_s = server, attempt, now_s
        self.epoch = attempt.epoch
        self.open: list[Open] = []
        self.under_way: list[UnderWay] = []
        self.gone: list[str] = []
        self.claim_version = server.claim_version
        self.known = {uid: server.pods[uid].version for uid in attempt.members}
        self.announced: list[ev.Announce] = []
        self.statuses: list[ev.WriteStatus] = []
        #: Deletions the watch told of after the attempt had ended: for the next plan to heal.
        self.late_news: set[str] = set()
        self.told_deadline_s = 0.0
        self._take(todo)

    def tell(self, event: ev.Event) -> None:
        self.attempt, todo = step(self.attempt, event)
        verify(self.attempt)
        self._take(todo)

    def _take(self, todo: tuple[ev.Instruction, ...]) -> None:
        for what in todo:
            match what:
                case ev.Forget(uid=uid):
                    self._check_forgotten(uid)
                case ev.Announce():
                    self._check_announced(what)
                case ev.WakeMember(after_s=after_s) | ev.WakeAttempt(after_s=after_s):
                    self.open.append(Open(what, self.now_s + after_s))
                case ev.ReadPod(uid=uid):
                    self.open.append(Open(what, self.now_s, self.server.pods[uid].copy()))
                case _:
                    self.open.append(Open(what, self.now_s))

    def _check_forgotten(self, uid: str) -> None:
        target = self.server.pods[uid]
        leaving = target.is_deleting or target.is_removed
        ours = self.attempt.members[uid].node
        assert leaving or target.node != ours, "capacity of a bound pod was given back"
        for late in self.under_way:
            is_same = isinstance(late.write, ev.BindPod) and late.write.uid == uid
            may_land = is_same and late.until_s > self.now_s and late.version == target.version
            assert leaving or target.node or not may_land, "capacity was given back while a Binding may land"

    def _check_announced(self, what: ev.Announce) -> None:
        self.announced.append(what)
        if what.kind == "Scheduled":
            assert set(what.uids) <= {uid for uid, _, _ in self.server.bindings}, "announced before the fact"
        if what.kind == "Evicted":
            assert set(what.uids) <= self.server.evictions_acked, "announced before the fact"

    def ready(self) -> list[Open]:
        return [item for item in self.open if item.due_s <= self.now_s]

    def answer(self, item: Open, fate: str) -> None:
        """Carry out one open instruction. Fates: ok, lost, limbo, retry, refuse, early."""
        self.open.remove(item)
        at_s = self.now_s
        match item.what:
            case ev.BindPod():
                self._bind(item.what, fate)
            case ev.ReadPod(uid=uid):
                if fate == "retry":
                    return self.tell(ev.ReadRetry(at_s=at_s, uid=uid, after_s=1.0))
                now = self.server.pods[uid]
                self._read(uid, item.seen if fate == "early" and item.seen else now)
            case ev.EvictPod(uid=uid):
                self._evict(uid, fate)
            case ev.ProvideVolumes():
                self._provide(fate)
            case ev.WriteClaim():
                self._claim(fate)
            case ev.ReadClaim():
                if fate == "retry":
                    return self.tell(ev.ClaimReadRetry(at_s=at_s, after_s=1.0))
                self.claim_version = self.server.claim_version
                ours = self.server.claim == (self.epoch, dict(self.attempt.placement))
                self.tell(ev.ClaimRead(at_s=at_s, is_ours=ours))
            case ev.WriteStatus():
                if fate in ("retry", "lost"):
                    return self.tell(ev.StatusRetry(at_s=at_s, after_s=1.0))
                self.statuses.append(item.what)
                self.server.claim_phase = item.what.phase
                self.server.claim_version += 1
                self.tell(ev.StatusAcked(at_s=at_s))
            case ev.WakeMember(uid=uid):
                self.tell(ev.MemberWoken(at_s=at_s, uid=uid))
            case ev.WakeAttempt():
                self.tell(ev.AttemptWoken(at_s=at_s))
        return None

    def _bind(self, what: ev.BindPod, fate: str) -> None:
        at_s, uid = self.now_s, what.uid
        assert self.server.claim is not None, "a Binding was sent before the claim"
        version = int(what.resource_version or self.known[uid])
        if fate == "retry":
            return self.tell(ev.BindRetry(at_s=at_s, uid=uid, after_s=0.5))
        if fate == "refuse":
            return self.tell(ev.BindRefused(at_s=at_s, uid=uid, reason="forbidden", is_permanent=True))
        if fate == "early":
            return self.tell(ev.BindConflict(at_s=at_s, uid=uid))
        if fate == "limbo":
            until_s = at_s + self.attempt.limits.write_timeout_s
            self.under_way.append(UnderWay(what, version, self.epoch, {}, until_s))
            return self.tell(ev.BindUnknown(at_s=at_s, uid=uid))
        status = self.server.bind(uid, what.node, version, self.epoch)
        if fate == "lost":
            return self.tell(ev.BindUnknown(at_s=at_s, uid=uid))
        if status == 201:
            return self.tell(ev.BindAcked(at_s=at_s, uid=uid))
        if status == 404:
            return self.tell(ev.BindRefused(at_s=at_s, uid=uid, reason="gone", is_permanent=True))
        return self.tell(ev.BindConflict(at_s=at_s, uid=uid))

    def _provide(self, fate: str) -> None:
        """Every volume comes, or that of the first pod fails and the others come."""
        planned = self.attempt.uids(MemberState.PLANNED)
        if fate == "refuse" and planned:
            self.tell(ev.VolumesFailed(at_s=self.now_s, uid=planned[0], reason="no room"))
        if self.attempt.phase is Phase.PROVISIONING:
            self.tell(ev.VolumesReady(at_s=self.now_s))

    def _read(self, uid: str, served: ServedPod) -> None:
        self.tell(
            ev.PodRead(
                at_s=self.now_s,
                uid=uid,
                node=served.node,
                is_gone=served.is_removed,
                is_deleting=served.is_deleting,
                resource_version=str(served.version),
            )
        )

    def _evict(self, uid: str, fate: str) -> None:
        at_s = self.now_s
        if fate in ("retry", "refuse"):
            return self.tell(ev.EvictRetry(at_s=at_s, uid=uid, after_s=0.5))
        if fate == "limbo":
            return self.tell(ev.EvictUnknown(at_s=at_s, uid=uid))
        status = self.server.evict(uid)
        if fate == "lost":
            return self.tell(ev.EvictUnknown(at_s=at_s, uid=uid))
        if status == 404:
            return self.tell(ev.EvictGone(at_s=at_s, uid=uid))
        return self.tell(ev.EvictAcked(at_s=at_s, uid=uid))

    def _claim(self, fate: str) -> None:
        at_s = self.now_s
        placement = dict(self.attempt.placement)
        if fate == "retry":
            return self.tell(ev.ClaimRetry(at_s=at_s, after_s=0.5))
        if fate == "limbo":
            until_s = at_s + self.attempt.limits.write_timeout_s
            late = UnderWay(ev.WriteClaim(), self.claim_version, self.epoch, placement, until_s)
            self.under_way.append(late)
            return self.tell(ev.ClaimUnknown(at_s=at_s))
        if fate == "refuse":
            return self.tell(ev.ClaimRefused(at_s=at_s, reason="forbidden"))
        phase = "Unwinding" if self.attempt.is_taking_back else "Binding"
        is_written = self.server.write_claim(self.claim_version, self.epoch, placement, phase)
        if is_written and fate != "lost":
            self.claim_version = self.server.claim_version
        if fate == "lost":
            return self.tell(ev.ClaimUnknown(at_s=at_s))
        if is_written:
            return self.tell(ev.ClaimAcked(at_s=at_s))
        return self.tell(ev.ClaimRefused(at_s=at_s, reason="another write came first"))

    def land(self, late: UnderWay) -> None:
        """A write with no answer arrives after all."""
        self.under_way.remove(late)
        if late.until_s <= self.now_s:
            return
        if isinstance(late.write, ev.BindPod):
            self.server.bind(late.write.uid, late.write.node, late.version, late.epoch)
        else:
            phase = "Unwinding" if self.attempt.is_taking_back else "Binding"
            self.server.write_claim(late.version, late.epoch, late.placement, phase)

    def pass_time(self, seconds: float) -> None:
        self.now_s += seconds
        if self.now_s >= self.attempt.deadline_s != self.told_deadline_s:
            self.told_deadline_s = self.attempt.deadline_s
            self.tell(ev.DeadlinePassed(at_s=self.now_s))

    def watch(self) -> None:
        """The watch delivers the next deletion."""
        if self.gone:
            uid = self.gone.pop(0)
            if self.attempt.phase in (Phase.BOUND, Phase.DONE):
                self.late_news.add(uid)
            self.tell(ev.MemberGone(at_s=self.now_s, uid=uid))

    def run_out(self) -> None:
        """Faults stop: everything is answered truly, in order, until nothing is left to do."""
        for _ in range(2_000):
            if self.gone:
                self.watch()
            elif self.ready():
                self.answer(self.ready()[0], "ok")
            elif self.open:
                self.pass_time(min(item.due_s for item in self.open) - self.now_s)
            else:
                return
        raise AssertionError(f"no end in sight: {self.attempt.story}")

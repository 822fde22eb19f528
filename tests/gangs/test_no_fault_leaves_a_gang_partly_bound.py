"""INV2, INV3, INV12, INV13 and INV14 against a model API server that loses, delays and refuses."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scheduler.gangs.attempt import Limits, Phase
from scheduler.gangs.events import LeadershipLost, StandingGone
from scheduler.gangs.machine import start
from scheduler.gangs.recovery import Claim, recover
from scheduler.model.gang import GangSpec, RoleSpec
from tests.gangs.gang_cases import gang_of, planned
from tests.gangs.model_api import ServedPod, Server, Shell

FATES = st.sampled_from(["ok", "ok", "ok", "lost", "limbo", "retry", "refuse", "early"])
LIMITS = Limits(evict_tries=200)


class GangUnderFaults(RuleBasedStateMachine):
    """One gang, several leaders, and a server that does whatever servers do."""

    @initialize(
        drivers=st.integers(0, 1),
        workers=st.integers(1, 4),
        slack=st.integers(0, 2),
        standing=st.integers(0, 2),
        mounts=st.booleans(),
    )
    def plan(self, drivers: int, workers: int, slack: int, standing: int, mounts: bool) -> None:
        roles = {"driver": (1, 1)} if drivers else {}
        roles["worker"] = (workers, 0)
        self.total = drivers + workers
        self.standing = standing
        self.min_member = max(1, drivers, self.total - slack) + standing
        self.has_driver = bool(drivers)
        gang = gang_of(roles, min_member=self.min_member, standing=standing)
        self.key = gang.key
        self.server = Server(pods={p.uid: ServedPod() for p in gang.pods})
        attempt, todo = start(gang, planned(gang), epoch=1, at_s=0.0, limits=LIMITS, needs_volumes=mounts)
        self.shell = Shell(self.server, attempt, todo, 0.0)
        self.epoch = 1
        self.is_healthy = True

    @property
    def is_open(self) -> bool:
        return self.shell.attempt.phase not in (Phase.BOUND, Phase.DONE)

    @precondition(lambda self: self.shell.ready())
    @rule(pick=st.integers(0, 50), fate=FATES)
    def answer(self, pick: int, fate: str) -> None:
        ready = self.shell.ready()
        self.shell.answer(ready[pick % len(ready)], fate)

    @precondition(lambda self: self.shell.under_way)
    @rule(pick=st.integers(0, 50))
    def land_late(self, pick: int) -> None:
        self.shell.land(self.shell.under_way[pick % len(self.shell.under_way)])

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0, 9.0]))
    def pass_time(self, seconds: float) -> None:
        self.shell.pass_time(seconds)

    @precondition(lambda self: self.is_open)
    @rule(pick=st.integers(0, 50), is_removed=st.booleans())
    def delete_a_pod(self, pick: int, is_removed: bool) -> None:
        uid = sorted(self.server.pods)[pick % len(self.server.pods)]
        target = self.server.pods[uid]
        if target.is_deleting:
            return
        target.is_deleting, target.is_removed = True, is_removed
        target.version += 1
        if uid in self.shell.attempt.members:
            self.shell.gone.append(uid)
        elif target.node:
            self.shell.tell(StandingGone(at_s=self.shell.now_s))
        self.is_healthy = False

    @rule(pick=st.integers(0, 50))
    def touch_a_pod(self, pick: int) -> None:
        """Somebody labels a pod: Bindings with the old resourceVersion no longer land."""
        self.server.pods[sorted(self.server.pods)[pick % len(self.server.pods)]].version += 1

    @precondition(lambda self: self.is_open)
    @rule(pick=st.integers(0, 50))
    def foreign_bind(self, pick: int) -> None:
        target = self.server.pods[sorted(self.server.pods)[pick % len(self.server.pods)]]
        if not target.node and not target.is_deleting:
            target.node, target.version = "node-foreign", target.version + 1
            self.is_healthy = False

    @precondition(lambda self: self.standing > 0 and self.is_open)
    @rule()
    def lose_a_standing_member(self) -> None:
        self.standing -= 1
        self.shell.tell(StandingGone(at_s=self.shell.now_s))

    @rule()
    def watch(self) -> None:
        self.shell.watch()

    @precondition(lambda self: self.epoch < 4)
    @rule(lands=st.integers(0, 255), still_fits=st.booleans(), is_told=st.booleans())
    def change_the_leader(self, lands: int, still_fits: bool, is_told: bool) -> None:
        """The leader dies or loses its lease anywhere; what it sent lands or does not; a new one comes."""
        old = self.shell
        if is_told:
            old.open, before = [], old.open
            old.tell(LeadershipLost(at_s=old.now_s))
            assert not old.open, "acted after the lease was lost"
            old.open = before
        for position, late in enumerate(list(old.under_way)):
            if lands >> position % 8 & 1:
                old.land(late)
        old.now_s += old.attempt.limits.write_timeout_s
        self.epoch += 1
        held = self.server.claim
        if held is None:
            self._replan(old.now_s)
            return
        claim = Claim(key=self.key, phase=self.server.claim_phase, epoch=held[0], placement=held[1])
        roles = (RoleSpec(name="driver", minimum=1),) if self.has_driver else ()
        spec = GangSpec(key=self.key, min_member=self.min_member, generation=1, roles=roles)
        found = recover(
            claim,
            spec,
            self.server.listed(self.standing),
            still_fits=still_fits,
            epoch=self.epoch,
            at_s=old.now_s,
            limits=LIMITS,
        )
        if found is not None:
            self.shell = Shell(self.server, found[0], found[1], old.now_s)

    def _replan(self, now_s: float) -> None:
        """Nothing was claimed, so nothing was bound: the attempt of the new leader is a fresh one."""
        assert not self.server.bindings
        gang = gang_of({"worker": (self.total, 0)}, min_member=self.min_member - self.standing, standing=0)
        self.has_driver = False
        if self.total < gang.min_member:
            return
        self.min_member, self.standing = gang.min_member, 0
        self.server.pods = {p.uid: ServedPod() for p in gang.pods}
        attempt, todo = start(gang, planned(gang), epoch=self.epoch, at_s=now_s, limits=LIMITS)
        self.shell = Shell(self.server, attempt, todo, now_s)

    @invariant()
    def each_pod_is_bound_at_most_once(self) -> None:
        if hasattr(self, "server"):
            uids = [uid for uid, _, _ in self.server.bindings]
            assert len(uids) == len(set(uids))

    @invariant()
    def only_what_was_bound_is_evicted(self) -> None:
        if hasattr(self, "server"):
            assert set(self.server.evictions) <= {uid for uid, _, _ in self.server.bindings}
            assert len(self.server.evictions) == len(set(self.server.evictions))

    def teardown(self) -> None:
        if not hasattr(self, "server"):
            return
        self.shell.run_out()
        assert self.shell.attempt.is_done
        placed = {uid for uid, node, _ in self.server.bindings if self.server.pods[uid].node == node}
        live = len(placed & self.server.bound_live())
        foreign = sum(p.node == "node-foreign" and not p.is_deleting for p in self.server.pods.values())
        if self.shell.attempt.is_abandoned:
            return
        whole = live + foreign + self.standing + len(placed & self.shell.late_news)
        assert live == 0 or whole >= self.min_member, "partly bound"
        if self.shell.attempt.phase is Phase.DONE and self.has_driver and live and self.is_healthy:
            assert "driver-0" in self.server.bound_live()


GangUnderFaults.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
TestGangUnderFaults = GangUnderFaults.TestCase

"""A gang that stands is taken back: each member once and nobody else, however often the leader changes."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from scheduler.gangs import events as ev
from scheduler.gangs.attempt import Limits
from scheduler.gangs.recovery import TAKING_BACK, give_back, left_over
from scheduler.model.gang import GangKey
from tests.gangs.gang_cases import TEAM, pod
from tests.gangs.model_api import ServedPod, Server, Shell

KEY = GangKey(namespace=TEAM, dialect="own", name="bert")
FATES = st.sampled_from(["ok", "ok", "ok", "lost", "limbo", "retry"])
LIMITS = Limits(evict_tries=200, write_tries=200)


class GangTakenBack(RuleBasedStateMachine):
    """Leaders die anywhere; a controller replaces who left, and the newcomers stand beside those who stay."""

    @initialize(size=st.integers(1, 5))
    def begin(self, size: int) -> None:
        self.old = {f"w-{i}" for i in range(size)}
        self.server = Server(pods={uid: ServedPod(node="node-a") for uid in sorted(self.old)})
        self.epoch = 1
        self.now_s = 0.0
        self._lead(self.old, is_inherited=False)

    def _lead(self, uids: set[str], *, is_inherited: bool) -> None:
        pods = [pod(uid, uid=uid, node="node-a", phase="Running") for uid in sorted(uids)]
        attempt, todo = give_back(
            KEY,
            pods,
            min_member=1,
            epoch=self.epoch,
            at_s=self.now_s,
            reason="its device failed",
            limits=LIMITS,
            is_inherited=is_inherited,
        )
        assert todo == (ev.WriteClaim(),), "nobody is evicted before that is written"
        self.shell = Shell(self.server, attempt, todo, self.now_s)

    @precondition(lambda self: self.shell.ready())
    @rule(pick=st.integers(0, 50), fate=FATES)
    def answer(self, pick: int, fate: str) -> None:
        ready = self.shell.ready()
        self.shell.answer(ready[pick % len(ready)], fate)

    @rule(seconds=st.sampled_from([0.3, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        self.shell.pass_time(seconds)

    @rule()
    def replace_who_left(self) -> None:
        """As a controller: another UID, bound beside those who stay, since the gang may stand on one."""
        for uid, found in list(self.server.pods.items()):
            if found.is_deleting and not found.is_removed:
                found.is_removed = True
                self.server.pods[f"{uid}+"] = ServedPod(node="node-b")

    @precondition(lambda self: self.epoch < 5)
    @rule(is_late=st.booleans())
    def change_the_leader(self, is_late: bool) -> None:
        """The next one goes by the Gang object and the pods; its view of the pods may be a moment behind."""
        self.epoch += 1
        self.now_s = self.shell.now_s + LIMITS.write_timeout_s
        held = self.server.claim
        if held is None or self.server.claim_phase != TAKING_BACK:
            if not self.server.evicted:
                self._lead(self.old, is_inherited=False)
            return
        seen = [
            pod(uid, uid=uid, node=found.node, is_deleting=found.is_deleting and not is_late)
            for uid, found in self.server.pods.items()
            if not found.is_removed
        ]
        left = left_over(held[1], seen)
        if left:
            self._lead({one.uid for one in left}, is_inherited=True)

    @invariant()
    def no_member_is_evicted_twice_and_no_newcomer_at_all(self) -> None:
        if hasattr(self, "server"):
            assert len(self.server.evicted) == len(set(self.server.evicted))
            assert set(self.server.evicted) <= self.old

    def teardown(self) -> None:
        if hasattr(self, "server"):
            self.shell.run_out()
            assert set(self.server.evicted) == self.old, "somebody was forgotten"


GangTakenBack.TestCase.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)
TestGangTakenBack = GangTakenBack.TestCase


def test_who_takes_over_with_an_old_view_reads_before_it_evicts() -> None:
    """The last leader's eviction landed; the next one's list is from before."""
    went = ServedPod(node="node-a", is_deleting=True)
    server = Server(pods={"w-0": went, "w-1": ServedPod(node="node-a")}, evicted=["w-0"])
    seen = [pod(uid, uid=uid, node="node-a", phase="Running") for uid in ("w-0", "w-1")]
    attempt, todo = give_back(
        KEY, seen, min_member=1, epoch=2, at_s=0.0, reason="its device failed", is_inherited=True
    )
    Shell(server, attempt, todo, 0.0).run_out()
    assert server.evicted == ["w-0", "w-1"]


def test_who_came_in_a_members_place_is_let_alone() -> None:
    stays = pod("w-1", uid="w-1", node="node-a", phase="Running")
    newcomer = pod("w-0", uid="w-0+", node="node-b", phase="Running")
    assert left_over({"w-0", "w-1"}, [newcomer, stays]) == (stays,)

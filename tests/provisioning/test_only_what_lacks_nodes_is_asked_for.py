"""Which gangs get a ProvisioningRequest, for how many pods, and when one is withdrawn: the decision alone."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from binpacking.answer import Infeasible
from scheduler.gangs.view import single
from scheduler.model.gang import GangKey, PendingGang, PendingRole, Waiting
from scheduler.model.plan import Budget, Policy, Reason, Verdict
from scheduler.planner import plan
from scheduler.provisioning import (
    CONSUMES,
    ENDS,
    LACKING,
    MESSAGE_MAX,
    SETS_MAX,
    UNANSWERED_S,
    Ask,
    ProvisioningPolicy,
    Request,
    Said,
    ask,
    is_lacking,
    name_of,
    noted,
    steps,
)
from scheduler.state import ClusterState
from tests.builders import gang as pods_of
from tests.builders import node, pod, shape

POLICY = ProvisioningPolicy(class_name="c.example", after_s=10.0, retry_s=600.0)
NOW_S = 1_000_000.0
REASONS: tuple[Reason, ...] = get_args(Reason)
PROOF = Infeasible(())


def made(sizes: list[int], minima: list[int], *, need: int, standing: int = 0) -> PendingGang:
    """A gang of roles so large, each with a shape of its own, that lacks so many pods."""
    roles = tuple(
        PendingRole(
            name=f"r{i}",
            shape=shape(gpu=i + 1),
            minimum=least,
            pods=tuple(pod(f"r{i}-{j}", gpu=i + 1) for j in range(size)),
        )
        for i, (size, least) in enumerate(zip(sizes, minima, strict=True))
    )
    return PendingGang(
        key=GangKey(namespace="team", dialect="own", name="g"),
        generation=1,
        priority=0,
        created_s=0.0,
        min_member=need + standing,
        standing=standing,
        standing_nodes=(),
        roles=roles,
    )


@st.composite
def gangs(draw: st.DrawFn) -> PendingGang:
    sizes = draw(st.lists(st.integers(1, 6), min_size=1, max_size=5))
    minima = [draw(st.integers(0, size)) for size in sizes]
    need = draw(st.integers(sum(minima), sum(sizes)))
    return made(sizes, minima, need=need, standing=draw(st.integers(0, 4)))


def verdict(gang: PendingGang, reason: Reason = "Unschedulable", message: str = "needs") -> Verdict:
    return Verdict(key=gang.key, reason=reason, message=message, certificate=PROOF)


def asked(gang: PendingGang) -> Ask:
    found = ask(gang, POLICY)
    assert found is not None
    return found


def request(gang: PendingGang, **said: float) -> Request:
    """As asked for, with these conditions true since then."""
    words = {kind: Said(kind=kind, is_true=True, message="m", since_s=at_s) for kind, at_s in said.items()}
    return Request(
        namespace="team",
        name=name_of("u"),
        uid="pr-u",
        gang_uid="u",
        mark=asked(gang).mark,
        created_s=NOW_S,
        said=words,
    )


@given(gangs())
def test_what_is_asked_is_what_the_minimum_lacks(gang: PendingGang) -> None:
    if gang.need == 0:
        assert not is_lacking(verdict(gang), gang)
        assert ask(gang, POLICY) is None
        return
    found = asked(gang)
    by_role = {role.pods[0].uid: role for role in gang.roles}
    assert sum(one.count for one in found.sets) == gang.need
    for one in found.sets:
        role = by_role[one.pod.uid]
        assert max(1, role.minimum) <= one.count <= len(role.pods)
    left_out = set(by_role) - {one.pod.uid for one in found.sets}
    assert all(by_role[uid].minimum == 0 for uid in left_out)


@given(gangs(), gangs(), st.sampled_from(["c.example", "d.example"]))
def test_the_mark_tells_one_ask_from_another_and_nothing_else(
    one: PendingGang, other: PendingGang, class_name: str
) -> None:
    first, second = ask(one, POLICY), ask(other, replace(POLICY, class_name=class_name))
    if first is None or second is None:
        return
    same = [(s.pod.shape, s.count) for s in first.sets] == [(s.pod.shape, s.count) for s in second.sets]
    is_same = same and class_name == POLICY.class_name
    # Roles are named by their place here, so equal shapes and counts are equal roles.
    assert (first.mark == second.mark) == is_same


@given(st.sampled_from(REASONS))
def test_only_a_verdict_that_nodes_would_change_is_lacking(reason: Reason) -> None:
    gang = made([4], [4], need=4)
    assert is_lacking(verdict(gang, reason), gang) == (reason in LACKING)
    assert not {"Rejected", "Waiting", "QuotaExceeded", "WaitingForVictims"} & LACKING


def test_nobody_asks_for_what_is_held_back_alone_or_asked_for_already() -> None:
    gang = made([4], [4], need=4)
    assert is_lacking(verdict(gang), gang)
    # Held behind another gang: no capacity was judged.
    assert not is_lacking(replace(verdict(gang), certificate=None), gang)
    blocked = replace(gang, blocked=Waiting(reason="members"))
    assert not is_lacking(verdict(blocked), blocked)
    alone = single(pod("p", gpu=8))
    assert not is_lacking(verdict(alone), alone)
    for key in CONSUMES:
        consuming = tuple(pod(f"p{i}", gpu=1, annotations={key: "mine"}) for i in range(4))
        theirs = replace(gang, roles=(replace(gang.roles[0], pods=consuming),))
        assert not is_lacking(verdict(theirs), theirs)


def test_more_sets_than_the_api_takes_are_not_asked_for() -> None:
    most = made([1] * SETS_MAX, [1] * SETS_MAX, need=SETS_MAX)
    assert len(asked(most).sets) == SETS_MAX
    assert ask(made([1] * (SETS_MAX + 1), [1] * (SETS_MAX + 1), need=SETS_MAX + 1), POLICY) is None


def test_the_planner_says_of_each_gang_whether_nodes_would_help() -> None:
    state = ClusterState("stowplan")
    for name in ("n0", "n1"):
        state.set_node(node(name, gpu=8))
    held = [pod("held", gpu=8, node="n0", phase="Running")]
    short = pods_of("short", 2, gpu=8)
    wide, incomplete = pods_of("wide", 5, gpu=8), pods_of("part", 2, minimum=3, gpu=8)
    for each in [*held, *short, *wide, *incomplete, pod("alone", gpu=64)]:
        state.set_pod(each)
    snapshot = state.snapshot()
    by_key = {gang.key: gang for gang in snapshot.gangs}
    verdicts = plan(snapshot, Policy(), Budget()).verdicts
    lacking = {v.key.name: asked(by_key[v.key]) for v in verdicts if is_lacking(v, by_key[v.key])}
    assert {name: [s.count for s in found.sets] for name, found in lacking.items()} == {
        "short": [2],
        "wide": [5],
    }


@given(st.booleans(), st.booleans(), st.booleans())
def test_a_request_is_made_once_and_kept_while_it_is_true(
    is_lacking_now: bool, is_due: bool, is_there: bool
) -> None:
    gang = made([4], [4], need=4)
    lacking = {"u": asked(gang)} if is_lacking_now else {}
    found = [request(gang)] if is_there else []
    step = steps(lacking, ["u"] if is_due else [], found, POLICY, NOW_S)
    assert [uid for uid, _ in step.made] == (["u"] if is_lacking_now and is_due and not is_there else [])
    # Once made it stands as long as the gang lacks capacity, also when a restart forgot for how long.
    assert list(step.withdrawn) == (found if is_there and not is_lacking_now else [])


def test_a_request_for_something_else_goes_before_another_is_made() -> None:
    gang, grown = made([4], [4], need=4), made([6], [6], need=6)
    old = request(gang)
    step = steps({"u": asked(grown)}, ["u"], [old], POLICY, NOW_S)
    assert (step.withdrawn, step.made) == ((old,), ())
    assert steps({"u": asked(grown)}, ["u"], [], POLICY, NOW_S).made == (("u", asked(grown)),)


@given(st.sampled_from(ENDS), st.floats(0, 2_000))
def test_a_failed_request_stands_for_a_while_and_is_then_made_anew(kind: str, age_s: float) -> None:
    gang = made([4], [4], need=4)
    failed = request(gang, **{kind: NOW_S - age_s, "Accepted": 0.0, "Provisioned": 0.0})
    step = steps({"u": asked(gang)}, ["u"], [failed], POLICY, NOW_S)
    assert step.made == ()
    assert (step.withdrawn == (failed,)) == (NOW_S - failed.said[kind].since_s >= POLICY.retry_s)
    # The usual way is open meanwhile.
    assert noted(verdict(gang), failed, NOW_S).reason == "Unschedulable"


@given(st.sampled_from(sorted(LACKING)), st.text(max_size=2 * MESSAGE_MAX))
def test_pods_are_kept_from_autoscalers_only_while_a_request_may_bring_nodes(
    reason: Reason, message: str
) -> None:
    gang = made([4], [4], need=4)
    plain = verdict(gang, reason, message[:MESSAGE_MAX])
    fresh, taken = request(gang), request(gang, Accepted=NOW_S)
    for one, now_s, told in (
        (fresh, NOW_S, "not accepted yet"),
        (taken, NOW_S + 10 * UNANSWERED_S, "Accepted: m"),
        (request(gang, Accepted=NOW_S, Provisioned=NOW_S), NOW_S, "Provisioned: m"),
    ):
        found = noted(plain, one, now_s)
        assert (found.reason, found.message.endswith(f"{name_of('u')}: {told}")) == ("WaitingForNodes", True)
        assert len(found.message) <= MESSAGE_MAX
    ignored = noted(plain, fresh, NOW_S + UNANSWERED_S)
    assert (ignored.reason, ignored.message.endswith("no autoscaler has accepted it")) == (reason, True)
    refused = noted(plain, None, NOW_S, "403 forbidden")
    assert (refused.reason, refused.message.endswith("no ProvisioningRequest: 403 forbidden")) == (
        reason,
        True,
    )
    assert noted(plain, None, NOW_S) == replace(plain, reason="WaitingForNodes")


def test_what_the_autoscaler_could_not_do_yet_is_told() -> None:
    gang = made([4], [4], need=4)
    said = {
        "Accepted": Said(kind="Accepted", is_true=True, message="", since_s=NOW_S),
        "Provisioned": Said(
            kind="Provisioned", is_true=False, message="Capacity is not found", since_s=NOW_S
        ),
    }
    found = noted(verdict(gang), replace(request(gang), said=said), NOW_S)
    assert found.message.endswith("not Provisioned yet: Capacity is not found")
    assert found.reason == "WaitingForNodes"

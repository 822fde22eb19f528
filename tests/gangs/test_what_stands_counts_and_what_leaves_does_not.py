"""The planner's view of a gang: standing and pending members, roles, order, reasons."""

from __future__ import annotations

import random

from hypothesis import given
from hypothesis import strategies as st

from scheduler.gangs import words
from scheduler.gangs.registry import resolve
from scheduler.gangs.standing import stands
from scheduler.gangs.view import pending_gang, single
from scheduler.model.gang import GangKey, PendingGang, Waiting
from scheduler.model.objects import Phase, Pod, Rejected, Shape
from tests.gangs.gang_cases import LARGE, SMALL, Objects, pod


def member(
    name: str,
    *,
    size: int = 4,
    role: str = "",
    role_min: int = 0,
    node: str = "",
    phase: Phase = "Pending",
    is_deleting: bool = False,
    gates: tuple[str, ...] = (),
    created_s: float = 5.0,
    priority: int = 0,
    shape: Shape = SMALL,
) -> Pod:
    keys = {words.GANG: "bert", words.MIN_MEMBER: str(size)}
    if role:
        keys[words.ROLE] = role
    if role_min:
        keys[words.ROLE_MIN] = str(role_min)
    return pod(
        name,
        annotations=keys,
        node=node,
        phase=phase,
        is_deleting=is_deleting,
        gates=gates,
        created_s=created_s,
        priority=priority,
        shape=shape,
    )


def view(members: list[Pod], refused: tuple[tuple[str, Rejected], ...] = ()) -> PendingGang | None:
    key = resolve(members[0])
    assert isinstance(key, GangKey)
    return pending_gang(key, members, Objects(), refused)


def seen(members: list[Pod], refused: tuple[tuple[str, Rejected], ...] = ()) -> PendingGang:
    found = view(members, refused)
    assert found is not None
    return found


def test_a_gang_waits_until_its_members_exist_and_says_how_many() -> None:
    assert seen([member("w-0", size=16), member("w-1", size=16)]).blocked == Waiting(
        reason="2 of 16 members exist"
    )


def test_a_refused_member_does_not_exist_and_is_named_with_its_reason() -> None:
    refused = (("w-3", Rejected(reason="spec.containers[0]: negative request")),)
    blocked = seen([member(f"w-{i}") for i in range(3)], refused).blocked
    assert blocked == Waiting(
        reason="3 of 4 members exist; 1 refused, of them w-3: spec.containers[0]: negative request"
    )


def test_gated_members_are_neither_planned_nor_counted() -> None:
    members = [
        member("w-0"),
        member("w-1"),
        member("w-2"),
        member("w-3", gates=("kueue.x-k8s.io/admission",)),
    ]
    found = seen(members)
    assert len(found.pods) == 3
    assert found.blocked == Waiting(reason="3 of 4 members exist; 1 more behind scheduling gates")


STATES = st.tuples(
    st.sampled_from(["", "node-1", "node-2"]),
    st.sampled_from(["Pending", "Running", "Succeeded", "Failed", "Unknown"]),
    st.booleans(),
    st.sampled_from([(), ("gate",)]),
)


@given(st.lists(STATES, min_size=1, max_size=12), st.integers(1, 12))
def test_need_and_standing_add_up(states: list[tuple[str, Phase, bool, tuple[str, ...]]], size: int) -> None:
    members = [
        member(f"w-{i}", size=size, node=node, phase=phase, is_deleting=leaving, gates=gates)
        for i, (node, phase, leaving, gates) in enumerate(states)
    ]
    found = view(members)
    if found is None:
        assert not any(
            not p.node_name and p.phase == "Pending" and not p.is_deleting and not p.gates for p in members
        )
        return
    standing = [p for p in members if stands(p)]
    assert found.standing == len(standing)
    assert not {p.uid for p in found.pods} & {p.uid for p in standing}
    assert all(not p.node_name and not p.is_deleting and not p.gates for p in found.pods)
    assert (found.blocked is None) == (len(standing) + len(found.pods) >= size)
    assert set(found.standing_nodes) <= {p.node_name for p in standing}


def test_a_replaced_member_rejoins_and_the_gang_keeps_its_age() -> None:
    running = [member(f"w-{i}", node="n", phase="Running", created_s=1.0) for i in range(3)]
    lost = member("w-3", node="n", phase="Failed", created_s=1.0)
    fresh = member("w-3b", created_s=900.0)
    found = seen([*running, lost, fresh])
    assert (found.need, found.created_s, found.blocked) == (1, 1.0, None)


def test_a_bound_member_that_is_deleting_stands_no_longer() -> None:
    members = [member(f"w-{i}", node="n", phase="Running") for i in range(3)]
    members += [member("w-3", node="n", phase="Running", is_deleting=True), member("w-4")]
    assert seen(members).standing == 3


def test_roles_split_by_shape_and_keep_their_minimum_on_the_first_ranks() -> None:
    members = [
        member("d-0", role="driver", role_min=1, size=5),
        *(
            member(f"w-{i}", role="worker", role_min=4, size=5, shape=LARGE if i < 3 else SMALL)
            for i in range(6)
        ),
    ]
    random.Random(7).shuffle(members)
    roles = {(r.name, r.shape): (r.minimum, [p.name for p in r.pods]) for r in seen(members).roles}
    assert roles == {
        ("driver", SMALL): (1, ["d-0"]),
        ("worker", LARGE): (3, ["w-0", "w-1", "w-2"]),
        ("worker", SMALL): (1, ["w-3", "w-4", "w-5"]),
    }


def test_a_role_minimum_counts_what_stands() -> None:
    members = [member("d-0", role="driver", role_min=1, size=2, node="n", phase="Running")]
    members += [member("d-1", role="driver", size=2), member("w-0", role="worker", role_min=1, size=2)]
    assert {r.name: r.minimum for r in seen(members).roles} == {"driver": 0, "worker": 1}


def test_a_role_with_members_to_come_waits_by_name() -> None:
    members = [member(f"w-{i}", role="worker", role_min=3, size=4) for i in range(2)]
    members += [member(f"d-{i}", role="driver", size=4) for i in range(2)]
    assert seen(members).blocked == Waiting(reason="2 of 3 members of role worker exist")


@given(st.permutations(range(12)))
def test_the_order_of_arrival_changes_nothing(order: list[int]) -> None:
    members = [member(f"w-{i}") for i in range(12)]
    expected = seen(members)
    assert seen([members[i] for i in order]) == expected
    assert [p.name for p in expected.pods] == [f"w-{i}" for i in range(12)]


def test_one_urgent_member_does_not_lift_its_gang() -> None:
    assert seen([member(f"w-{i}", priority=1000 if i == 0 else 5) for i in range(4)]).priority == 5


def test_the_description_changes_with_the_words_and_only_with_them() -> None:
    four = seen([member(f"w-{i}") for i in range(4)])
    assert seen([member(f"w-{i}") for i in range(6)]).generation == four.generation
    assert seen([member(f"w-{i}", size=3) for i in range(4)]).generation != four.generation


def test_a_gang_with_nothing_pending_is_not_shown() -> None:
    assert view([member("w-0", node="n", phase="Running")]) is None


def test_a_single_pod_is_a_gang_of_one() -> None:
    found = single(pod("p"))
    assert found.key.is_single
    assert (found.need, [r.minimum for r in found.roles]) == (1, [1])

"""Masks that are made late, patched or shared are those of the nodes at their snapshot's moment."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.columns import NodeColumns
from scheduler.model.objects import Node, Shape
from scheduler.model.selection import NodeTerm, Requirement, Taint, Toleration
from scheduler.model.volumes import Claims
from scheduler.predicates.registry import why
from scheduler.state import ClusterState
from scheduler.state.masks import Masks, MasksAt
from tests.builders import node, pod, shape

ZONE = "topology.kubernetes.io/zone"
TAINT = Taint(key="a", value="b", effect="NoSchedule")
ELSEWHERE = Requirement(key=ZONE, operator="NotIn", values=("z1",))
SOMEWHERE = Requirement(key=ZONE, operator="Exists", values=())
BY_NAME = Requirement(key="metadata.name", operator="In", values=("n1", "n2"))
SHAPES: tuple[Shape, ...] = tuple(
    replace(asked, tolerations=tolerations)
    for asked in (
        shape(gpu=1),
        shape(gpu=2),
        shape(node_selector=((ZONE, "z1"),)),
        shape(node_terms=(NodeTerm(expressions=(ELSEWHERE,), fields=()),)),
        shape(node_terms=(NodeTerm(expressions=(SOMEWHERE,), fields=()),)),
        shape(node_terms=(NodeTerm(expressions=(), fields=(BY_NAME,)),)),
    )
    for tolerations in ((), (Toleration(key="a", operator="Exists", value="", effect=""),))
)
NO_CLAIMS = Claims()


@dataclass(frozen=True)
class Taken:
    """The masks of a moment, and the nodes then."""

    nodes: tuple[Node, ...]
    masks: MasksAt


class Stage:
    def __init__(self, rng: random.Random, *, patched: int, memory: int) -> None:
        self._rng = rng
        self._columns = NodeColumns()
        self._masks = Masks(self._columns, bytes_max=memory, patched_max=patched)

    def change(self) -> None:
        rng = self._rng
        name = f"n{rng.randrange(6)}"
        if rng.random() < 0.15:
            self._columns.remove(name)
            self._masks.rows_moved()
            return
        zone = rng.choice((None, "z1", "z2"))
        now = node(
            name,
            labels={} if zone is None else {ZONE: zone},
            taints=(TAINT,) if rng.random() < 0.3 else (),
            is_unschedulable=rng.random() < 0.2,
        )
        if self._columns.put(now) is None:
            self._masks.rows_moved()
        else:
            self._masks.node_changed(now)

    def take(self) -> Taken:
        return Taken(tuple(self._columns.nodes), self._masks.at(frozenset(SHAPES), NO_CLAIMS))

    def check_now(self) -> None:
        """What the state itself is asked between plans."""
        one = self._rng.choice(SHAPES)
        assert self._masks.of(one, NO_CLAIMS).tolist() == _told(one, tuple(self._columns.nodes))


def _told(asked: Shape, nodes: tuple[Node, ...]) -> list[bool]:
    return [why(asked, there, NO_CLAIMS) is None for there in nodes]


@given(seed=st.integers(0, 2**32), patched=st.sampled_from([0, 2, 64]), memory=st.sampled_from([8, 2**20]))
@settings(max_examples=100)
def test_a_mask_is_what_the_rules_say_of_each_node_then(seed: int, patched: int, memory: int) -> None:
    rng = random.Random(seed)
    stage = Stage(rng, patched=patched, memory=memory)
    taken: list[Taken] = []
    for _ in range(rng.randint(1, 25)):
        stage.change()
        if rng.random() < 0.5:
            taken.append(stage.take())
        if rng.random() < 0.5:
            stage.check_now()
        for one in rng.sample(taken, min(2, len(taken))):
            asked = rng.choice(SHAPES)
            assert one.masks[asked].tolist() == _told(asked, one.nodes)
    for one in taken:
        for asked in SHAPES:
            assert one.masks[asked].tolist() == _told(asked, one.nodes)


def test_shapes_that_no_static_rule_tells_apart_share_a_mask() -> None:
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    for i in range(5_000):
        state.set_pod(pod(f"p{i}", of=shape(gpu=1, memory=2**30 + i)))
    snapshot = state.snapshot()
    assert len({id(snapshot.masks[role.shape]) for gang in snapshot.gangs for role in gang.roles}) == 1

"""Soft wishes: which node comes first, and by how much with kube-scheduler's weights."""

from __future__ import annotations

from scheduler.model.plan import Placed
from scheduler.model.selection import (
    NodeTerm,
    PodTerm,
    Requirement,
    Selector,
    SpreadConstraint,
    Taint,
    Toleration,
    WeightedNodeTerm,
    WeightedPodTerm,
)
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.preference import Wisher, Wishes, preference
from tests.builders import node, shape

SPOT = Taint(key="spot", value="", effect="PreferNoSchedule")
WEB = Selector(requirements=(Requirement(key="app", operator="In", values=("web",)),))
NEAR_WEB = PodTerm(topology_key="rack", selector=WEB, namespaces=("team",))
RACKS = [node(f"n{i}", labels={"rack": rack}) for i, rack in enumerate("aabb")]


def web(row: int) -> Placed:
    return Placed(namespace="team", labels=(("app", "web"),), node=row, shape=shape())


def test_without_wishes_there_is_no_score() -> None:
    nodes = [node("a"), node("b", taints=(Taint(key="x", value="", effect="NoSchedule"),))]
    assert preference(shape(), "team", nodes, [web(0)], {}) is None
    tolerant = shape(tolerations=(Toleration(key="spot", operator="Exists", value="", effect=""),))
    assert preference(tolerant, "team", [node("a", taints=(SPOT,))], [], {}) is None


def test_fewer_unwelcome_taints_come_first_with_weight_three() -> None:
    other = Taint(key="old", value="", effect="PreferNoSchedule")
    nodes = [node("a", taints=(SPOT, other)), node("b"), node("c", taints=(SPOT,))]
    score = preference(shape(), "team", nodes, [], {})
    assert score is not None
    assert score.tolist() == [0, 300, 150]


def test_preferred_node_terms_add_up_with_weight_two() -> None:
    def wish(weight: int, rack: str) -> WeightedNodeTerm:
        term = NodeTerm(expressions=(Requirement(key="rack", operator="In", values=(rack,)),))
        return WeightedNodeTerm(weight=weight, term=term)

    score = preference(shape(preferred_nodes=(wish(80, "a"), wish(20, "b"))), "team", RACKS, [], {})
    assert score is not None
    assert score.tolist() == [200, 200, 50, 50]


def test_preferred_affinity_pulls_and_anti_affinity_pushes_a_whole_domain() -> None:
    wish = WeightedPodTerm(weight=10, term=NEAR_WEB)
    pulled = preference(shape(preferred_pods=(wish,)), "team", RACKS, [web(0)], {})
    pushed = preference(shape(preferred_anti_pods=(wish,)), "team", RACKS, [web(0)], {})
    assert pulled is not None
    assert pushed is not None
    assert pulled.tolist() == [200, 200, 0, 0]
    assert pushed.tolist() == [0, 0, 200, 200]


def test_soft_spread_prefers_the_emptier_domain_and_ignores_nodes_without_the_key() -> None:
    soft = SpreadConstraint(topology_key="rack", max_skew=1, is_required=False, selector=WEB)
    score = preference(shape(spread=(soft,)), "team", [*RACKS, node("bare")], [web(0), web(1), web(2)], {})
    assert score is not None
    assert score[2] == score[3] > score[0] == score[1] > score[4] == 0


def test_pods_of_other_namespaces_are_not_meant() -> None:
    wish = WeightedPodTerm(weight=10, term=NEAR_WEB)
    stranger = Placed(namespace="other", labels=(("app", "web"),), node=0, shape=shape())
    score = preference(shape(preferred_pods=(wish,)), "team", RACKS, [stranger], {})
    assert score is not None
    assert score.tolist() == [0, 0, 0, 0]


def placed_with(row: int, **rules: object) -> Placed:
    return Placed(namespace="team", labels=(), node=row, shape=shape(**rules))  # type: ignore[arg-type] # fields of Shape


def test_pods_on_nodes_have_wishes_of_a_newcomer_too() -> None:
    wish = WeightedPodTerm(weight=10, term=NEAR_WEB)
    crowd = Crowd(
        RACKS, [placed_with(0, preferred_anti_pods=(wish,)), placed_with(2, pod_affinity=(NEAR_WEB,))]
    )
    wisher = Wisher(shape=shape(), namespace="team", labels=(("app", "web"),))
    score = Wishes(wisher, crowd, {}).score()
    assert score is not None
    assert score.tolist() == [0, 0, 200, 200]


def test_wishes_of_pods_on_nodes_mean_those_they_name() -> None:
    wish = WeightedPodTerm(weight=10, term=NEAR_WEB)
    crowd = Crowd(RACKS, [placed_with(0, preferred_pods=(wish,))])
    for namespace, labels in (("team", (("app", "db"),)), ("other", (("app", "web"),))):
        assert Wishes(Wisher(shape=shape(), namespace=namespace, labels=labels), crowd, {}).score() is None

"""Topology spread: which nodes and pods count, case by case (meanings of kube-scheduler's own tests)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from scheduler.model.objects import Node, Shape
from scheduler.model.plan import Placed
from scheduler.model.selection import Requirement, Selector, SpreadConstraint, Taint
from scheduler.predicates.crowd import Crowd, Labels
from scheduler.predicates.topology_spread import constrain_spread
from tests.builders import node, shape

WEB = Selector(requirements=(Requirement(key="app", operator="In", values=("web",)),))
EVEN = SpreadConstraint(topology_key="zone", max_skew=1, is_required=True, selector=WEB)
AWAY = Taint(key="reserved", value="", effect="NoSchedule")


def web(row: int, namespace: str = "team") -> Placed:
    return Placed(namespace=namespace, labels=(("app", "web"),), node=row, shape=shape())


def have(of: Shape, nodes: list[Node], *placed: Placed, labels: Labels = (("app", "web"),)) -> dict[str, int]:
    """Matching pods by zone that counts, for a newcomer that counts itself."""
    _, (skew, *_) = constrain_spread(of, "team", dict(labels), Crowd(nodes, placed))
    zones = {int(d): str(n.labels["zone"]) for d, n in zip(skew.domain_of, nodes, strict=True) if d >= 0}
    return {zone: int(skew.have[domain]) for domain, zone in sorted(zones.items())}


def zoned(name: str, zone: str, **fields: object) -> Node:
    return node(name, labels={"zone": zone}, **fields)  # type: ignore[arg-type] # fields of Node by name


def test_a_zone_behind_a_taint_counts_unless_taints_are_honoured() -> None:
    nodes = [zoned("a", "z1", taints=(AWAY,)), zoned("b", "z2")]
    assert have(shape(spread=(EVEN,)), nodes, web(1)) == {"z1": 0, "z2": 1}
    honouring = replace(EVEN, honours_taints=True)
    assert have(shape(spread=(honouring,)), nodes, web(1)) == {"z2": 1}


def test_a_zone_outside_the_pods_affinity_counts_only_if_affinity_is_ignored() -> None:
    nodes = [zoned("a", "z1"), zoned("b", "z2")]
    only: tuple[tuple[str, str], ...] = (("zone", "z2"),)
    assert have(shape(spread=(EVEN,), node_selector=only), nodes, web(1)) == {"z2": 1}
    ignoring = replace(EVEN, honours_affinity=False)
    assert have(shape(spread=(ignoring,), node_selector=only), nodes, web(1)) == {"z1": 0, "z2": 1}


def test_a_node_that_lacks_the_key_of_one_constraint_counts_for_none() -> None:
    nodes = [zoned("a", "z1"), zoned("b", "z2"), zoned("c", "z1")]
    nodes[1] = replace(nodes[1], labels={**nodes[1].labels, "rack": "r"})
    nodes[2] = replace(nodes[2], labels={**nodes[2].labels, "rack": "r"})
    racks = replace(EVEN, topology_key="rack", max_skew=9)
    assert have(shape(spread=(EVEN, racks)), nodes, web(0), web(1)) == {"z1": 0, "z2": 1}


def test_pods_of_other_namespaces_and_labels_do_not_count() -> None:
    stranger = Placed(namespace="team", labels=(("app", "db"),), node=0, shape=shape())
    nodes = [zoned("a", "z1"), zoned("b", "z2")]
    assert have(shape(spread=(EVEN,)), nodes, web(0), web(0, "other"), stranger) == {"z1": 1, "z2": 0}


def test_an_empty_selector_counts_nobody_but_the_newcomer() -> None:
    everyone = replace(EVEN, selector=Selector())
    assert have(shape(spread=(everyone,)), [zoned("a", "z1"), zoned("b", "z2")], web(0)) == {"z1": 0, "z2": 0}


def test_a_soft_constraint_rules_nothing_out() -> None:
    soft = replace(EVEN, is_required=False)
    assert constrain_spread(shape(spread=(soft,)), "team", {}, Crowd([node("a")])) == (None, ())


@pytest.mark.parametrize(
    ("min_domains", "allowed"),
    [(1, [True, True, False]), (2, [True, True, False]), (3, [False, True, False])],
)
def test_a_newcomer_that_does_not_count_itself_still_looks_at_the_level(
    min_domains: int, allowed: list[bool]
) -> None:
    of = shape(spread=(replace(EVEN, min_domains=min_domains),))
    nodes = [zoned("a", "z1"), zoned("b", "z2"), node("no zone")]
    mask, skews = constrain_spread(of, "team", {}, Crowd(nodes, [web(0), web(0), web(1)]))
    assert skews == ()
    assert mask is not None
    assert np.asarray(mask).tolist() == allowed

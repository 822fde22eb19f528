"""What ``constrain`` asks of a role as a whole is what the rules ask pod by pod, each seeing those before it.

The per-pod verdict is the one compared with kube-scheduler's; the role's limits, skews and shared domains
must allow exactly the sequences that it allows.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.plan import Placed
from scheduler.model.selection import Requirement, Selector, SpreadConstraint, Toleration
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.interpod import Interpod, constrain
from tests.predicates.cluster import Cluster, cluster_of, feasible, rules_of
from tests.predicates.generate import HOSTNAME, ZONE, case


def with_newcomer_on(found: Cluster, node: int) -> Cluster:
    pod = found.newcomer
    placed = Placed(namespace=pod.namespace, labels=pod.labels, node=node, shape=pod.shape)
    return replace(found, placed=(*found.placed, placed))


def keeps(rules: Interpod, found: Cluster, where: list[int]) -> bool:
    """Whether newcomers on these nodes keep every rule of the role but the skews."""
    if rules.mask is not None and not all(rules.mask[node] for node in where):
        return False
    for key in rules.same_domain:
        if len({found.nodes[node].labels.get(key) for node in where}) > 1:
            return False
    for limit in rules.limits:
        used = Counter(int(limit.domain_of[node]) for node in where)
        if any(domain < 0 or count > limit.most[domain] for domain, count in used.items()):
            return False
    return True


def anywhere(seed: int, **rules: object) -> Cluster:
    """A random cluster whose newcomer may go to any node as far as static rules go."""
    found = cluster_of(case(Random(seed)))
    every = (Toleration(key="", operator="Exists", value="", effect=""),)
    shape = replace(found.newcomer.shape, node_selector=(), node_terms=None, volumes=(), tolerations=every)
    shape = replace(shape, **rules)  # type: ignore[arg-type] # fields of Shape by name
    return replace(found, newcomer=replace(found.newcomer, shape=shape))


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 5), min_size=1, max_size=5))
def test_any_sequence_is_allowed_for_the_role_if_and_only_if_each_step_is(
    seed: int, wanted: list[int]
) -> None:
    start = anywhere(seed, spread=())
    where = [number % len(start.nodes) for number in wanted]
    at, each_step = start, True
    for node in where:
        each_step = each_step and bool(feasible(at)[node])
        at = with_newcomer_on(at, node)
    assert keeps(rules_of(start), start, where) == each_step


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 5), st.sampled_from([HOSTNAME, ZONE, "rack"]), st.integers(1, 4))
def test_skews_count_a_newcomer_where_it_went_and_nowhere_else(
    seed: int, at: int, key: str, domains: int
) -> None:
    itself = Selector(requirements=(Requirement(key="app", operator="In", values=("x",)),))
    rule = SpreadConstraint(
        topology_key=key, max_skew=1, is_required=True, selector=itself, min_domains=domains
    )
    found = anywhere(seed, spread=(rule,))
    start = replace(found, newcomer=replace(found.newcomer, labels=(("app", "x"),)))
    node = at % len(start.nodes)
    (before,) = rules_of(start).skews
    (after,) = rules_of(with_newcomer_on(start, node)).skews
    expected = before.have.copy()
    if before.domain_of[node] >= 0:
        expected[before.domain_of[node]] += 1
    assert after.have.tolist() == expected.tolist()
    assert after.domain_of.tolist() == before.domain_of.tolist()
    labelled = [node.labels.get(key) for node in start.nodes]
    assert [d < 0 for d in before.domain_of] == [value is None for value in labelled]
    assert (before.max_skew, before.min_domains) == (1, domains)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.lists(st.integers(0, 5), max_size=6))
def test_a_crowd_taken_back_is_the_crowd_before(seed: int, added: list[int]) -> None:
    found = cluster_of(case(Random(seed)))
    pod = found.newcomer
    crowd = Crowd(found.nodes, found.placed)
    before = len(crowd)
    for node in added:
        row = node % len(found.nodes)
        crowd.add(Placed(namespace=pod.namespace, labels=pod.labels, node=row, shape=pod.shape))
    crowd.rewind(before)
    again = constrain(pod.shape, pod.namespace, pod.labels, found.nodes, crowd, found.namespaces)
    fresh = rules_of(found)
    assert (again.mask is None) == (fresh.mask is None)
    if again.mask is not None and fresh.mask is not None:
        assert again.mask.tolist() == fresh.mask.tolist()
    assert [s.have.tolist() for s in again.skews] == [s.have.tolist() for s in fresh.skews]
    assert again.same_domain == fresh.same_domain

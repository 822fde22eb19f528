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
from scheduler.model.selection import HostPort, PodTerm, Requirement, Selector, SpreadConstraint, Toleration
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.interpod import Interpod, constrain
from tests.predicates.cluster import Cluster, cluster_of, feasible, rules_of
from tests.predicates.generate import HOSTNAME, NAMESPACES, ZONE, case


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


ITSELF = Selector(requirements=(Requirement(key="app", operator="In", values=("x",)),))
PORT = HostPort(protocol="TCP", host_ip="0.0.0.0", port=80)
keys = st.sampled_from([HOSTNAME, ZONE, "rack"])
#: Terms by which a newcomer with label app=x speaks of its like.
own_terms = st.builds(
    PodTerm, topology_key=keys, selector=st.just(ITSELF), namespaces=st.just(tuple(sorted(NAMESPACES)))
)
nodes_wanted = st.lists(st.integers(0, 3), min_size=2, max_size=4)


def check_sequence(start: Cluster, wanted: list[int]) -> None:
    """The role's rules allow these nodes together if and only if each step is allowed in turn."""
    where = [number % len(start.nodes) for number in wanted]
    at, each_step = start, True
    for node in where:
        each_step = each_step and bool(feasible(at)[node])
        at = with_newcomer_on(at, node)
    assert keeps(rules_of(start), start, where) == each_step


def like_itself(found: Cluster, *, is_empty: bool) -> Cluster:
    newcomer = replace(found.newcomer, labels=(("app", "x"),))
    return replace(found, newcomer=newcomer, placed=() if is_empty else found.placed)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), st.lists(own_terms, min_size=1, max_size=2), st.booleans(), nodes_wanted)
def test_pods_that_want_each_other_share_one_domain_from_the_first_on(
    seed: int, near: list[PodTerm], is_empty: bool, wanted: list[int]
) -> None:
    found = anywhere(seed, spread=(), pod_affinity=tuple(near), pod_anti_affinity=(), host_ports=())
    check_sequence(like_itself(found, is_empty=is_empty), wanted)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), own_terms, st.booleans(), nodes_wanted)
def test_pods_that_avoid_each_other_get_one_domain_each(
    seed: int, apart: PodTerm, is_empty: bool, wanted: list[int]
) -> None:
    found = anywhere(seed, spread=(), pod_affinity=(), pod_anti_affinity=(apart,), host_ports=())
    check_sequence(like_itself(found, is_empty=is_empty), wanted)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32), st.booleans(), nodes_wanted)
def test_pods_with_a_host_port_get_one_node_each(seed: int, is_empty: bool, wanted: list[int]) -> None:
    found = anywhere(seed, spread=(), pod_affinity=(), pod_anti_affinity=(), host_ports=(PORT,))
    check_sequence(like_itself(found, is_empty=is_empty), wanted)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32), nodes_wanted)
def test_any_mix_of_rules_holds_together(seed: int, wanted: list[int]) -> None:
    check_sequence(anywhere(seed, spread=()), wanted)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 5), keys, st.integers(1, 4))
def test_skews_count_a_newcomer_where_it_went_and_nowhere_else(
    seed: int, at: int, key: str, domains: int
) -> None:
    rule = SpreadConstraint(
        topology_key=key, max_skew=1, is_required=True, selector=ITSELF, min_domains=domains
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
    avoiding = PodTerm(topology_key="rack", selector=ITSELF, namespaces=tuple(sorted(NAMESPACES)))
    found = like_itself(anywhere(seed, pod_anti_affinity=(avoiding,), host_ports=(PORT,)), is_empty=False)
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

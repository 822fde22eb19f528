"""Affinity, anti-affinity and topology spread of a pod, checked and with the API server's defaults.

Sources: ``pkg/registry/core/pod/strategy.go`` (matchLabelKeys, KEP-3243, KEP-3633),
``kube-scheduler/framework/types.go`` (namespaces of a term), ``podtopologyspread/common.go`` (1.37).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeVar

import msgspec

from scheduler.kube import wire
from scheduler.model.selection import (
    NodeTerm,
    Operator,
    PodTerm,
    Requirement,
    Selector,
    SpreadConstraint,
    WeightedNodeTerm,
    WeightedPodTerm,
)
from scheduler.parse.refusal import Refusal, shown
from scheduler.parse.selectors import (
    TERMS_MAX,
    bounded,
    check_key,
    parse_node_term,
    parse_node_terms,
    parse_selector,
    selector_of,
)

T = TypeVar("T")

#: More than this is not written by hand, and would take longer to read than a pod may.
RAW_MAX = 24 * 1024
WEIGHT_MAX = 100
SKEW_MAX = 100_000
NAMESPACES_MAX = 1_000

_REQUIRED = "requiredDuringSchedulingIgnoredDuringExecution"
_PREFERRED = "preferredDuringSchedulingIgnoredDuringExecution"
_AFFINITY = msgspec.json.Decoder(wire.Affinity | None)
_SPREAD = msgspec.json.Decoder(tuple[wire.TopologySpreadConstraint, ...] | None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Who:
    """The pod whose terms are read: its namespace and labels fill what the terms leave out."""

    namespace: str
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Affinities:
    """``spec.affinity`` in full."""

    node_terms: tuple[NodeTerm, ...] | None = None
    preferred_nodes: tuple[WeightedNodeTerm, ...] = ()
    pod_affinity: tuple[PodTerm, ...] = ()
    pod_anti_affinity: tuple[PodTerm, ...] = ()
    preferred_pods: tuple[WeightedPodTerm, ...] = ()
    preferred_anti_pods: tuple[WeightedPodTerm, ...] = ()


def parse_affinity(raw: bytes, who: Who) -> Affinities:
    """``spec.affinity``. Raises Refusal."""
    found = decode("spec.affinity", raw, _AFFINITY)
    if found is None:
        return Affinities()
    node = found.node_affinity or wire.NodeAffinity()
    together = found.pod_affinity or wire.PodAffinity()
    apart = found.pod_anti_affinity or wire.PodAffinity()
    prefix = "spec.affinity"
    return Affinities(
        node_terms=parse_node_terms(
            f"{prefix}.nodeAffinity.{_REQUIRED}.nodeSelectorTerms",
            node.required_during_scheduling_ignored_during_execution,
        ),
        preferred_nodes=_preferred_nodes(
            f"{prefix}.nodeAffinity.{_PREFERRED}", node.preferred_during_scheduling_ignored_during_execution
        ),
        pod_affinity=_pod_terms(
            f"{prefix}.podAffinity.{_REQUIRED}",
            together.required_during_scheduling_ignored_during_execution,
            who,
        ),
        pod_anti_affinity=_pod_terms(
            f"{prefix}.podAntiAffinity.{_REQUIRED}",
            apart.required_during_scheduling_ignored_during_execution,
            who,
        ),
        preferred_pods=_preferred_pods(
            f"{prefix}.podAffinity.{_PREFERRED}",
            together.preferred_during_scheduling_ignored_during_execution,
            who,
        ),
        preferred_anti_pods=_preferred_pods(
            f"{prefix}.podAntiAffinity.{_PREFERRED}",
            apart.preferred_during_scheduling_ignored_during_execution,
            who,
        ),
    )


def parse_spread(raw: bytes, who: Who) -> tuple[SpreadConstraint, ...]:
    """``spec.topologySpreadConstraints``. Raises Refusal."""
    field = "spec.topologySpreadConstraints"
    found = decode(field, raw, _SPREAD)
    terms = bounded(field, found, TERMS_MAX)
    return tuple(dict.fromkeys(_spread(f"{field}[{i}]", term, who) for i, term in enumerate(terms)))


def decode(field: str, raw: bytes, decoder: msgspec.json.Decoder[T]) -> T | None:
    """A raw subtree as its type; None when it was not sent. Raises Refusal."""
    if not raw:
        return None
    if len(raw) > RAW_MAX:
        raise Refusal(field, f"{len(raw):,} bytes: use at most {RAW_MAX:,}")
    try:
        return decoder.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Refusal(field, f"is not as the API defines it: {error}") from None


def _spread(field: str, found: wire.TopologySpreadConstraint, who: Who) -> SpreadConstraint:
    check_key(f"{field}.topologyKey", found.topology_key)
    if not 1 <= found.max_skew <= SKEW_MAX:
        raise Refusal(f"{field}.maxSkew", f"must be 1 to {SKEW_MAX:,}")
    required = _choice(
        f"{field}.whenUnsatisfiable", found.when_unsatisfiable, "DoNotSchedule", "ScheduleAnyway"
    )
    min_domains = 1 if found.min_domains is None else found.min_domains
    if not 1 <= min_domains <= SKEW_MAX:
        raise Refusal(f"{field}.minDomains", f"must be 1 to {SKEW_MAX:,}")
    selector = parse_selector(f"{field}.labelSelector", found.label_selector)
    return SpreadConstraint(
        topology_key=found.topology_key,
        max_skew=found.max_skew,
        is_required=required,
        selector=_merge(f"{field}.matchLabelKeys", selector, found.match_label_keys, "In", who),
        min_domains=min_domains,
        honours_affinity=_honours(f"{field}.nodeAffinityPolicy", found.node_affinity_policy, True),
        honours_taints=_honours(f"{field}.nodeTaintsPolicy", found.node_taints_policy, False),
    )


def _honours(field: str, policy: str | None, default: bool) -> bool:
    return default if policy is None else _choice(field, policy, "Honor", "Ignore")


def _choice(field: str, value: str, true: str, false: str) -> bool:
    if value not in (true, false):
        raise Refusal(field, f"{shown(value)} is unknown: use {true} or {false}")
    return value == true


def _preferred_nodes(
    field: str, found: Sequence[wire.PreferredNodeTerm] | None
) -> tuple[WeightedNodeTerm, ...]:
    terms: list[WeightedNodeTerm] = []
    for i, item in enumerate(bounded(field, found, TERMS_MAX)):
        term = parse_node_term(f"{field}[{i}].preference", item.preference)
        weight = _weight(f"{field}[{i}].weight", item.weight)
        if term != NodeTerm():
            terms.append(WeightedNodeTerm(weight=weight, term=term))
    return tuple(terms)


def _preferred_pods(
    field: str, found: Sequence[wire.WeightedPodAffinityTerm] | None, who: Who
) -> tuple[WeightedPodTerm, ...]:
    return tuple(
        WeightedPodTerm(
            weight=_weight(f"{field}[{i}].weight", item.weight),
            term=_pod_term(f"{field}[{i}].podAffinityTerm", item.pod_affinity_term, who),
        )
        for i, item in enumerate(bounded(field, found, TERMS_MAX))
    )


def _weight(field: str, weight: int) -> int:
    if not 1 <= weight <= WEIGHT_MAX:
        raise Refusal(field, f"must be 1 to {WEIGHT_MAX}")
    return weight


def _pod_terms(field: str, found: Sequence[wire.PodAffinityTerm] | None, who: Who) -> tuple[PodTerm, ...]:
    terms = bounded(field, found, TERMS_MAX)
    return tuple(dict.fromkeys(_pod_term(f"{field}[{i}]", term, who) for i, term in enumerate(terms)))


def _pod_term(field: str, found: wire.PodAffinityTerm, who: Who) -> PodTerm:
    check_key(f"{field}.topologyKey", found.topology_key)
    selector = parse_selector(f"{field}.labelSelector", found.label_selector)
    selector = _merge_once(f"{field}.matchLabelKeys", selector, found.match_label_keys, "In", who)
    selector = _merge_once(f"{field}.mismatchLabelKeys", selector, found.mismatch_label_keys, "NotIn", who)
    names = bounded(f"{field}.namespaces", found.namespaces, NAMESPACES_MAX)
    namespace_selector = parse_selector(f"{field}.namespaceSelector", found.namespace_selector)
    if not names and namespace_selector is None:
        names = (who.namespace,)
    return PodTerm(
        topology_key=found.topology_key,
        selector=selector,
        namespaces=tuple(sorted(set(names))),
        namespace_selector=namespace_selector,
    )


def _merge(
    field: str, selector: Selector | None, keys: Sequence[str] | None, operator: Operator, who: Who
) -> Selector | None:
    """The selector with the pod's own values of some keys, as the API server merges them at creation."""
    if selector is None or not keys:
        return selector
    merged = list(selector.requirements)
    for key in bounded(field, keys, TERMS_MAX):
        check_key(field, key)
        if key in who.labels:
            merged.append(Requirement(key=key, operator=operator, values=(who.labels[key],)))
    return selector_of(merged)


def _merge_once(
    field: str, selector: Selector | None, keys: Sequence[str] | None, operator: Operator, who: Who
) -> Selector | None:
    """``_merge``, without the keys that were merged already: the pod's labels may have changed since."""
    if selector is None or not keys:
        return selector
    merged = {r.key for r in selector.requirements if r.operator == operator and len(r.values) == 1}
    return _merge(field, selector, [key for key in keys if key not in merged], operator, who)


def keys_of(selectors: Iterable[Selector | None]) -> frozenset[str]:
    """Label keys that decide whether these selectors match a pod."""
    return frozenset(r.key for s in selectors if s is not None for r in s.requirements)


@lru_cache(maxsize=1_024)
def label_keys(affinity: bytes, spread: bytes) -> frozenset[str]:
    """Keys of the pod's own labels on which its terms depend; empty if they cannot be read."""
    try:
        found = decode("spec.affinity", affinity, _AFFINITY) or wire.Affinity()
        spreads = decode("spec.topologySpreadConstraints", spread, _SPREAD) or ()
    except Refusal:
        return frozenset()
    keys: set[str] = set()
    for side in (found.pod_affinity, found.pod_anti_affinity):
        if side is None:
            continue
        terms = [*(side.required_during_scheduling_ignored_during_execution or ())]
        wishes = side.preferred_during_scheduling_ignored_during_execution or ()
        for term in terms + [wish.pod_affinity_term for wish in wishes]:
            keys |= _wire_keys(term.label_selector, term.match_label_keys, term.mismatch_label_keys)
    for constraint in spreads:
        keys |= _wire_keys(constraint.label_selector, constraint.match_label_keys)
    return frozenset(keys)


def _wire_keys(selector: wire.LabelSelector | None, *lists: Sequence[str] | None) -> set[str]:
    keys = {key for keys in lists for key in keys or ()}
    if selector is not None:
        keys |= set(selector.match_labels or ())
        keys |= {expression.key for expression in selector.match_expressions or ()}
    return keys

"""Topology spread. Source: ``plugins/podtopologyspread/filtering.go`` and ``common.go`` (1.37)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import Skew
from scheduler.model.objects import Node, Shape
from scheduler.model.selection import SpreadConstraint
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.matching import selects
from scheduler.predicates.node_affinity import affinity_mask
from scheduler.predicates.node_rows import Domains
from scheduler.predicates.predicate import Mask
from scheduler.predicates.taints import untolerated


def constrain_spread(
    shape: Shape, namespace: str, labels: Mapping[str, str], crowd: Crowd
) -> tuple[Mask | None, tuple[Skew, ...]]:
    """Nodes that every required constraint allows, and a Skew for each that counts the newcomer itself."""
    required = [c for c in shape.spread if c.is_required]
    if not required:
        return None, ()
    allowed = carriers(required, crowd)
    skews: list[Skew] = []
    for constraint in required:
        domains, have = existing(constraint, required, shape, namespace, crowd)
        if selects(constraint.selector, labels):
            skews.append(
                Skew(
                    domain_of=domains.of,
                    have=have,
                    max_skew=constraint.max_skew,
                    min_domains=constraint.min_domains,
                )
            )
            allowed &= domains.of >= 0
        else:
            level = int(have.min()) if domains.count >= constraint.min_domains else 0
            fits = np.append(have - level <= constraint.max_skew, False)
            allowed &= fits[domains.of]
    return allowed, tuple(skews)


def carriers(constraints: Sequence[SpreadConstraint], crowd: Crowd) -> Mask:
    """bool[N]: nodes that carry the topology keys of all these constraints; others are not counted."""
    carrying = np.ones(len(crowd.nodes), dtype=np.bool_)
    for constraint in constraints:
        carrying &= crowd.domains(constraint.topology_key).of >= 0
    return carrying


def existing(
    constraint: SpreadConstraint,
    together: Sequence[SpreadConstraint],
    shape: Shape,
    namespace: str,
    crowd: Crowd,
) -> tuple[Domains, NDArray[np.int64]]:
    """The domains that count for a constraint, and the matching pods in each, int64[D]."""
    eligible = carriers(together, crowd)
    if constraint.honours_affinity:
        wished = affinity_mask(shape, crowd.nodes)
        if wished is not None:
            eligible &= wished
    if constraint.honours_taints:
        eligible &= _tolerated(shape, crowd.nodes)
    domains = _only(crowd.domains(constraint.topology_key), eligible)
    selector = constraint.selector
    # kube-scheduler counts no pod on a node for an empty selector, although it matches everything
    # (``countPodsMatchSelector``), but each that was promised one (``updateWithPod``).
    if selector is not None and not selector.requirements:
        return domains, domains.counts(crowd.promised_in(namespace))
    return domains, domains.counts(crowd.selected(selector, namespace))


def _only(domains: Domains, eligible: Mask) -> Domains:
    """The domains that have an eligible node, renumbered."""
    kept, of = np.unique(np.where(eligible, domains.of, -1), return_inverse=True)
    shift = int(kept.size > 0 and kept[0] < 0)
    return Domains((of - shift).astype(np.int32), int(kept.size) - shift)


def _tolerated(shape: Shape, nodes: Sequence[Node]) -> Mask:
    return np.fromiter(
        (untolerated(shape.tolerations, node.taints) is None for node in nodes),
        dtype=np.bool_,
        count=len(nodes),
    )

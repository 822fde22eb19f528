"""Required pod anti-affinity, of the newcomer and of pods on nodes.

Source: ``plugins/interpodaffinity/filtering.go`` (1.37).
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from binpacking.problem import COUNT_MAX, DomainLimit
from scheduler.model.objects import Shape
from scheduler.model.selection import PodTerm
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.matching import Namespaces, term_applies
from scheduler.predicates.predicate import Mask


def forbidden_by_placed(
    namespace: str, labels: Mapping[str, str], crowd: Crowd, namespaces: Namespaces
) -> Mask | None:
    """bool[N]: nodes that pods already there keep a newcomer with these labels away from; None for none."""
    forbidden: Mask | None = None
    for terms, rows in crowd.keeping_apart():
        for term in terms:
            if term_applies(term, namespace, labels, namespaces):
                here = crowd.domains(term.topology_key).has(np.array(rows, dtype=np.int64))
                forbidden = here if forbidden is None else forbidden | here
    return forbidden


def constrain_anti_affinity(
    shape: Shape, namespace: str, labels: Mapping[str, str], crowd: Crowd, namespaces: Namespaces
) -> tuple[Mask | None, tuple[DomainLimit, ...]]:
    """Nodes away from pods that the newcomer's terms name; one a domain where it names its equals."""
    if not shape.pod_anti_affinity:
        return None, ()
    allowed = np.ones(len(crowd.nodes), dtype=np.bool_)
    limits: list[DomainLimit] = []
    for term in shape.pod_anti_affinity:
        rows = crowd.matching((term,), namespaces)
        allowed &= ~crowd.domains(term.topology_key).has(rows)
        if term_applies(term, namespace, labels, namespaces):
            limits.append(_one_a_domain(term, crowd))
    return allowed, tuple(limits)


def _one_a_domain(term: PodTerm, crowd: Crowd) -> DomainLimit:
    """Nodes without the label are in no domain, so the term does not bind there."""
    domains = crowd.domains(term.topology_key)
    most = np.ones(domains.count + 1, dtype=np.int64)
    most[domains.count] = COUNT_MAX
    return DomainLimit(
        domain_of=np.where(domains.of < 0, domains.count, domains.of).astype(np.int32), most=most
    )

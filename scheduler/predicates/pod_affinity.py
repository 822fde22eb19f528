"""Required pod affinity. Source: ``plugins/interpodaffinity/filtering.go`` (1.37)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scheduler.model.objects import Shape
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.matching import Namespaces, term_applies
from scheduler.predicates.predicate import Mask


def constrain_affinity(
    shape: Shape, namespace: str, labels: Mapping[str, str], crowd: Crowd, namespaces: Namespaces
) -> tuple[Mask | None, tuple[str, ...]]:
    """Nodes beside pods that match every term, and the topology keys that pods of this role must share.

    When no such pod is on any node, a pod that matches its own terms may open any domain, and its
    equals must follow into that one: their keys are the second part of the answer.
    """
    terms = shape.pod_affinity
    if not terms:
        return None, ()
    domains = [crowd.domains(term.topology_key) for term in terms]
    allowed = np.ones(len(crowd.nodes), dtype=np.bool_)
    for domain in domains:
        allowed &= domain.of >= 0
    rows = crowd.matching(terms, namespaces)
    if any((domain.of[rows] >= 0).any() for domain in domains):
        for domain in domains:
            allowed &= domain.has(rows)
        return allowed, ()
    if all(term_applies(term, namespace, labels, namespaces) for term in terms):
        return allowed, tuple(dict.fromkeys(term.topology_key for term in terms))
    return np.zeros(len(crowd.nodes), dtype=np.bool_), ()

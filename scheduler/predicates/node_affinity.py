"""Node selector and required node affinity. Source: ``plugins/nodeaffinity/node_affinity.go`` (1.37)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.selection import NodeTerm, Requirement
from scheduler.model.volumes import Claims
from scheduler.predicates.matching import terms_match
from scheduler.predicates.node_rows import NodeRows
from scheduler.predicates.predicate import Mask, Predicate


def matches(shape: Shape, node: Node) -> bool:
    """Whether the pod's own wishes about the node are met."""
    if any(node.labels.get(key) != value for key, value in shape.node_selector):
        return False
    return terms_match(shape.node_terms, node.labels, node.name)


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    return None if matches(shape, node) else "node(s) didn't match Pod's node affinity/selector"


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask | None:
    return affinity_mask(shape, nodes)


def affinity_mask(shape: Shape, nodes: Sequence[Node]) -> Mask | None:
    """bool[N] of ``matches``, or None when the shape asks nothing. One evaluation per distinct value."""
    if not shape.node_selector and shape.node_terms is None:
        return None
    rows = NodeRows.of(nodes)
    allowed = np.ones(len(nodes), dtype=np.bool_)
    for key, value in shape.node_selector:
        allowed &= rows.where(Requirement(key=key, operator="In", values=(value,)))
    if shape.node_terms is not None:
        some = np.zeros(len(nodes), dtype=np.bool_)
        for term in shape.node_terms:
            some |= term_mask(term, rows)
        allowed &= some
    return allowed


def term_mask(term: NodeTerm, nodes: Sequence[Node]) -> Mask:
    """bool[N]: where one term matches."""
    if not term.expressions and not term.fields:
        return np.zeros(len(nodes), dtype=np.bool_)
    rows = NodeRows.of(nodes)
    allowed = np.ones(len(nodes), dtype=np.bool_)
    for requirement in term.expressions:
        allowed &= rows.where(requirement)
    for requirement in term.fields:
        allowed &= rows.where_name(requirement)
    return allowed


RULE = Predicate(name="NodeAffinity", why=why, mask=mask, alike=lambda node: None)

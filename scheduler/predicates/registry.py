"""All static rules, in kube-scheduler's order; a new one is one file and one line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims
from scheduler.predicates import declared_features, node_affinity, node_unschedulable, taints, volumes
from scheduler.predicates.node_rows import NodeRows
from scheduler.predicates.predicate import Mask, Predicate

STATIC: tuple[Predicate, ...] = (
    node_unschedulable.RULE,
    taints.RULE,
    node_affinity.RULE,
    volumes.RULE,
    declared_features.RULE,
)


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask:
    """bool[N]: where every static rule lets pods of this shape go."""
    rows = NodeRows.of(nodes)
    allowed = np.ones(len(rows), dtype=np.bool_)
    for rule in STATIC:
        own = rule.mask(shape, rows, claims)
        if own is not None:
            allowed &= own
    return allowed


def allows(shape: Shape, node: Node, claims: Claims) -> bool:
    """The mask's entry of one node."""
    return why(shape, node, claims) is None


def reasons(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Counter[str]:
    """How many nodes are ruled out by each reason, as ``why`` gives it. Costs what differs."""
    rows = NodeRows.of(nodes)
    left = np.ones(len(rows), dtype=np.bool_)
    found: Counter[str] = Counter()
    for rule in STATIC:
        own = rule.mask(shape, rows, claims)
        if own is None:
            continue
        ruled_out = np.flatnonzero(left & ~own)
        kinds = ruled_out if rule.alike is None else rows.kinds(rule.alike)[ruled_out]
        _, first, counts = np.unique(kinds, return_index=True, return_counts=True)
        for row, count in zip(ruled_out[first].tolist(), counts.tolist(), strict=True):
            found[rule.why(shape, rows[row], claims) or rule.name] += count
        left &= own
    return found


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    """The first static reason against the node, in kube-scheduler's words, or None."""
    for rule in STATIC:
        reason = rule.why(shape, node, claims)
        if reason is not None:
            return reason
    return None

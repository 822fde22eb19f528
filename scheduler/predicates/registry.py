"""All static rules, in kube-scheduler's order; a new one is one file and one line here."""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Sequence

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
        said: dict[Hashable, str | None] = {}
        for row in np.flatnonzero(left & ~own).tolist():
            kind = row if rule.alike is None else rule.alike(rows[row])
            if kind not in said:
                said[kind] = rule.why(shape, rows[row], claims)
            found[said[kind] or rule.name] += 1
        left &= own
    return found


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    """The first static reason against the node, in kube-scheduler's words, or None."""
    for rule in STATIC:
        reason = rule.why(shape, node, claims)
        if reason is not None:
            return reason
    return None

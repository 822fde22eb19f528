"""Cordoned nodes. Source: ``plugins/nodeunschedulable/node_unschedulable.go`` (1.37)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.selection import Taint
from scheduler.model.volumes import Claims
from scheduler.predicates.matching import tolerates
from scheduler.predicates.predicate import Mask, Predicate

CORDON = Taint(key="node.kubernetes.io/unschedulable", value="", effect="NoSchedule")


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    if node.is_unschedulable and not tolerates(shape.tolerations, CORDON):
        return "node(s) were unschedulable"
    return None


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask | None:
    if tolerates(shape.tolerations, CORDON):
        return None
    return np.fromiter((not node.is_unschedulable for node in nodes), dtype=np.bool_, count=len(nodes))


RULE = Predicate(name="NodeUnschedulable", why=why, mask=mask)

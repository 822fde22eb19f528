"""Cordoned nodes. Source: ``plugins/nodeunschedulable/node_unschedulable.go`` (1.37)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.model.objects import Node, Shape
from scheduler.model.selection import Taint
from scheduler.model.volumes import Claims
from scheduler.predicates.matching import tolerates
from scheduler.predicates.node_rows import NodeRows
from scheduler.predicates.predicate import Mask, Predicate

CORDON = Taint(key="node.kubernetes.io/unschedulable", value="", effect="NoSchedule")


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    if node.is_unschedulable and not tolerates(shape.tolerations, CORDON):
        return "node(s) were unschedulable"
    return None


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask | None:
    if tolerates(shape.tolerations, CORDON):
        return None
    return ~NodeRows.of(nodes).unschedulable


RULE = Predicate(name="NodeUnschedulable", why=why, mask=mask, alike=lambda node: None)

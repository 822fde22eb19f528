"""Taints and tolerations. Source: ``plugins/tainttoleration/taint_toleration.go`` (1.37)."""

from __future__ import annotations

from collections.abc import Sequence

from scheduler.model.objects import Node, Shape
from scheduler.model.selection import Taint, Toleration
from scheduler.model.volumes import Claims
from scheduler.predicates.matching import tolerates
from scheduler.predicates.node_rows import NodeRows
from scheduler.predicates.predicate import Mask, Predicate


def untolerated(tolerations: Sequence[Toleration], taints: Sequence[Taint]) -> Taint | None:
    """The first taint that keeps pods away and is not tolerated."""
    for taint in taints:
        if taint.effect != "PreferNoSchedule" and not tolerates(tolerations, taint):
            return taint
    return None


def unwelcome(tolerations: Sequence[Toleration], taints: Sequence[Taint]) -> int:
    """How many PreferNoSchedule taints are not tolerated."""
    return sum(t.effect == "PreferNoSchedule" and not tolerates(tolerations, t) for t in taints)


def why(shape: Shape, node: Node, claims: Claims) -> str | None:
    taint = untolerated(shape.tolerations, node.taints)
    return None if taint is None else f"node(s) had untolerated taint {{{taint.key}: {taint.value}}}"


def mask(shape: Shape, nodes: Sequence[Node], claims: Claims) -> Mask | None:
    allowed = NodeRows.of(nodes).by_taints(
        shape.tolerations, lambda taints: untolerated(shape.tolerations, taints) is None
    )
    return None if allowed.all() else allowed


RULE = Predicate(name="TaintToleration", why=why, mask=mask, alike=lambda node: node.taints)

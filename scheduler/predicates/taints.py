"""Taints and tolerations. Source: ``plugins/tainttoleration/taint_toleration.go`` (1.37)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.selection import Taint, Toleration
from scheduler.model.volumes import Claims
from scheduler.predicates.matching import tolerates
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
    known: dict[tuple[Taint, ...], bool] = {(): True}
    allowed = np.ones(len(nodes), dtype=np.bool_)
    for i, node in enumerate(nodes):
        if not node.taints:
            continue
        fits = known.get(node.taints)
        if fits is None:
            fits = known[node.taints] = untolerated(shape.tolerations, node.taints) is None
        allowed[i] = fits
    return None if allowed.all() else allowed


RULE = Predicate(name="TaintToleration", why=why, mask=mask)

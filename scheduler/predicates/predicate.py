"""What a static rule is: it depends on the pod's shape and on one node, never on other pods."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node, Shape
from scheduler.model.volumes import Claims

Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True, kw_only=True)
class Predicate:
    """One rule in two forms that always agree.

    ``why`` gives the reason why a node is ruled out, in kube-scheduler's words, or None.
    ``mask`` gives bool[N], or None where the rule says nothing about the shape.
    """

    name: str
    why: Callable[[Shape, Node, Claims], str | None]
    mask: Callable[[Shape, Sequence[Node], Claims], Mask | None]
    #: Nodes that are equal in this are ruled out for the same reason; None where each node may have its own.
    alike: Callable[[Node], Hashable] | None = None

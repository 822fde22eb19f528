"""Spot nodes first or last, as a pod wishes; which nodes are spot, each platform's labels tell."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node, SpotWish
from scheduler.model.platforms import is_spot
from scheduler.predicates.predicate import Mask
from scheduler.predicates.preference import NODE_WEIGHT, SCORE_MAX


def spot_nodes(nodes: Sequence[Node]) -> Mask:
    """bool[N]: those that the provider may take back at short notice."""
    return np.fromiter((is_spot(node.labels) for node in nodes), dtype=np.bool_, count=len(nodes))


def by_spot(wish: SpotWish, is_spot: Mask) -> NDArray[np.int64] | None:
    """int64[N], higher is better, weighed as preferred node affinity is; None where nothing is wished."""
    if not wish:
        return None
    liked = is_spot if wish == "prefer" else ~is_spot
    return NODE_WEIGHT * SCORE_MAX * liked.astype(np.int64)

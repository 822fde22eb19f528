"""Soft wishes as one score a node, with kube-scheduler's weights.

Sources (1.37): Score and NormalizeScore of ``plugins/nodeaffinity``, ``tainttoleration``,
``interpodaffinity`` and ``podtopologyspread``, weights of ``apis/config/v1/default_plugins.go``. Unlike
there, the preferences of pods already on nodes towards the newcomer are left out, and scores are
normalised over all nodes, not over those that passed the filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node, Shape
from scheduler.model.plan import Placed
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.matching import Namespaces
from scheduler.predicates.node_affinity import term_mask
from scheduler.predicates.node_rows import NodeRows
from scheduler.predicates.taints import unwelcome
from scheduler.predicates.topology_spread import carriers, existing

Score = NDArray[np.int64]

SCORE_MAX = 100
TAINT_WEIGHT = 3
NODE_WEIGHT = 2
SPREAD_WEIGHT = 2
POD_WEIGHT = 2


def preference(
    shape: Shape,
    namespace: str,
    nodes: Sequence[Node],
    placed: Sequence[Placed] | Crowd,
    namespaces: Namespaces,
) -> Score | None:
    """int64[N], higher is better, 0 to 900; None when the shape prefers no node to another."""
    scores = [_by_taints(shape, nodes), _by_nodes(shape, nodes)]
    if shape.preferred_pods or shape.preferred_anti_pods or any(not c.is_required for c in shape.spread):
        crowd = placed if isinstance(placed, Crowd) else Crowd(nodes, placed)
        scores += [_by_pods(shape, crowd, namespaces), _by_spread(shape, namespace, crowd)]
    told = [score for score in scores if score is not None]
    return sum(told[1:], start=told[0]) if told else None


def _by_taints(shape: Shape, nodes: Sequence[Node]) -> Score | None:
    kinds, of = NodeRows.of(nodes).taints
    known = np.array([unwelcome(shape.tolerations, taints) for taints in kinds], dtype=np.int64)
    if not known.any():
        return None
    counts = known[of]
    return TAINT_WEIGHT * (SCORE_MAX - _of_most(counts))


def _by_nodes(shape: Shape, nodes: Sequence[Node]) -> Score | None:
    if not shape.preferred_nodes or not nodes:
        return None
    score = np.zeros(len(nodes), dtype=np.int64)
    for wish in shape.preferred_nodes:
        score += wish.weight * term_mask(wish.term, nodes)
    return NODE_WEIGHT * _of_most(score)


def _by_pods(shape: Shape, crowd: Crowd, namespaces: Namespaces) -> Score | None:
    wishes = [(w.weight, w.term) for w in shape.preferred_pods]
    wishes += [(-w.weight, w.term) for w in shape.preferred_anti_pods]
    if not wishes or not crowd.nodes:
        return None
    score = np.zeros(len(crowd.nodes), dtype=np.int64)
    for weight, term in wishes:
        rows = crowd.matching((term,), namespaces)
        domains = crowd.domains(term.topology_key)
        score += weight * np.append(domains.counts(rows), 0)[domains.of]
    low, high = int(score.min()), int(score.max())
    if high == low:
        return np.zeros(len(crowd.nodes), dtype=np.int64)
    return POD_WEIGHT * (SCORE_MAX * (score - low) // (high - low))


def _by_spread(shape: Shape, namespace: str, crowd: Crowd) -> Score | None:
    """Fewer matching pods in the domain is better; nodes that lack a key come last."""
    wishes = [c for c in shape.spread if not c.is_required]
    if not wishes or not crowd.nodes:
        return None
    carrying = carriers(wishes, crowd)
    raw = np.zeros(len(crowd.nodes), dtype=np.float64)
    for wish in wishes:
        domains, have = existing(wish, wishes, shape, namespace, crowd)
        raw += np.append(have, 0)[domains.of] * math.log(domains.count + 2) + (wish.max_skew - 1)
    score = np.rint(raw).astype(np.int64)
    if not carrying.any():
        return np.zeros(len(crowd.nodes), dtype=np.int64)
    low, high = int(score[carrying].min()), int(score[carrying].max())
    normal = np.full(len(score), SCORE_MAX) if high == 0 else SCORE_MAX * (high + low - score) // high
    return SPREAD_WEIGHT * np.where(carrying, normal, 0).astype(np.int64)


def _of_most(score: Score) -> Score:
    """0 to 100, relative to the largest (``helper.DefaultNormalizeScore``)."""
    most = int(score.max(initial=0))
    return SCORE_MAX * score // most if most else score

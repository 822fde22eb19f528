"""Soft wishes as one score a node, with kube-scheduler's weights.

Sources (1.37): Score and NormalizeScore of ``plugins/nodeaffinity``, ``tainttoleration``,
``interpodaffinity`` and ``podtopologyspread``, weights of ``apis/config/v1/default_plugins.go``. Unlike
there, scores are normalised over all nodes, not over those that passed the filters.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node, Shape
from scheduler.model.plan import Placed
from scheduler.model.selection import SpreadConstraint
from scheduler.predicates.crowd import Crowd, Labels, drawn_by
from scheduler.predicates.matching import Namespaces, selects, term_applies
from scheduler.predicates.node_affinity import term_mask
from scheduler.predicates.node_rows import Domains, NodeRows
from scheduler.predicates.taints import unwelcome
from scheduler.predicates.topology_spread import carriers, existing

Score = NDArray[np.int64]

SCORE_MAX = 100
TAINT_WEIGHT = 3
NODE_WEIGHT = 2
SPREAD_WEIGHT = 2
POD_WEIGHT = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Wisher:
    """Newcomers that are alike: their shape, and what pods on nodes can see of them.

    owner: the controller over whose pods they spread by ``default_spread``; empty for none.
    """

    shape: Shape
    namespace: str
    labels: Labels = ()
    owner: str = ""
    default_spread: tuple[SpreadConstraint, ...] = ()


class Wishes:
    """The wishes of pods that are alike. Each one placed may change what the next one wishes."""

    def __init__(self, wisher: Wisher, crowd: Crowd, namespaces: Namespaces) -> None:
        fixed = [_by_taints(wisher.shape, crowd.nodes), _by_nodes(wisher.shape, crowd.nodes)]
        told = [score for score in fixed if score is not None]
        self._fixed = sum(told[1:], start=told[0]) if told else None
        self._pull = _Pull.of(wisher, crowd, namespaces) if crowd.nodes else None
        self._spread = _Spread.of(wisher, crowd) if crowd.nodes else None

    @property
    def see_each_other(self) -> bool:
        """Whether one placed changes the score for the next."""
        own = (self._pull is not None and self._pull.own, self._spread is not None and self._spread.counted)
        return any(own)

    def placed(self, row: int) -> None:
        """One of them goes to this node."""
        if self._pull is not None:
            self._pull.placed(row)
        if self._spread is not None:
            self._spread.placed(row)

    def score(self) -> Score | None:
        """int64[N], higher is better, 0 to 900; None where no node is preferred to another."""
        told = [part.score() for part in (self._pull, self._spread) if part is not None]
        if self._fixed is not None:
            told.append(self._fixed)
        return sum(told[1:], start=told[0]) if told else None


def preference(
    shape: Shape,
    namespace: str,
    nodes: Sequence[Node],
    placed: Sequence[Placed] | Crowd,
    namespaces: Namespaces,
) -> Score | None:
    """The score for one newcomer without labels."""
    crowd = placed if isinstance(placed, Crowd) else Crowd(nodes, placed)
    return Wishes(Wisher(shape=shape, namespace=namespace), crowd, namespaces).score()


def _by_taints(shape: Shape, nodes: Sequence[Node]) -> Score | None:
    tolerations = shape.tolerations
    counts = NodeRows.of(nodes).unwelcome(tolerations, lambda taints: unwelcome(tolerations, taints))
    return None if counts is None else TAINT_WEIGHT * (SCORE_MAX - _of_most(counts))


def _by_nodes(shape: Shape, nodes: Sequence[Node]) -> Score | None:
    if not shape.preferred_nodes or not nodes:
        return None
    score = np.zeros(len(nodes), dtype=np.int64)
    for wish in shape.preferred_nodes:
        score += wish.weight * term_mask(wish.term, nodes)
    return NODE_WEIGHT * _of_most(score)


class _Pull:
    """Attraction and repulsion between pods: of the newcomer to those on nodes, and theirs to it."""

    def __init__(self, score: Score, own: tuple[tuple[int, Domains], ...]) -> None:
        self._raw = score
        #: What each newcomer adds for the next ones, in the domain that it goes to.
        self.own = own

    @classmethod
    def of(cls, wisher: Wisher, crowd: Crowd, namespaces: Namespaces) -> _Pull | None:
        shape, namespace, who = wisher.shape, wisher.namespace, dict(wisher.labels)
        wishes = [(w.weight, w.term) for w in shape.preferred_pods]
        wishes += [(-w.weight, w.term) for w in shape.preferred_anti_pods]
        parts = [(w, t, crowd.matching((t,), namespaces)) for w, t in wishes]
        parts += [
            (w.weight, w.term, np.array(rows, dtype=np.int64))
            for drawn, rows in (crowd.drawing() if crowd.kind(namespace, wisher.labels, namespaces) else ())
            for w in drawn
            if term_applies(w.term, namespace, who, namespaces)
        ]
        theirs = [(w.weight, w.term) for w in drawn_by(shape)]
        own = [(w, t) for w, t in (*wishes, *theirs) if term_applies(t, namespace, who, namespaces)]
        if not parts and not own:
            return None
        score = np.zeros(len(crowd.nodes), dtype=np.int64)
        for weight, term, rows in parts:
            domains = crowd.domains(term.topology_key)
            score += weight * np.append(domains.counts(rows), 0)[domains.of]
        return cls(score, tuple((w, crowd.domains(t.topology_key)) for w, t in own))

    def placed(self, row: int) -> None:
        for weight, domains in self.own:
            if domains.of[row] >= 0:
                self._raw[domains.of == domains.of[row]] += weight

    def score(self) -> Score:
        low, high = int(self._raw.min()), int(self._raw.max())
        if high == low:
            return np.zeros(len(self._raw), dtype=np.int64)
        return POD_WEIGHT * (SCORE_MAX * (self._raw - low) // (high - low))


class _Spread:
    """Fewer matching pods in the domain is better; nodes that lack a key of a written wish come last."""

    def __init__(self, raw: NDArray[np.float64], carrying: NDArray[np.bool_]) -> None:
        self._raw = raw
        self._carrying = carrying
        #: Domains in which each newcomer counts for the next ones, with the weight of one.
        self.counted: list[tuple[float, Domains]] = []

    @classmethod
    def of(cls, wisher: Wisher, crowd: Crowd) -> _Spread | None:
        shape = wisher.shape
        wishes = [c for c in shape.spread if not c.is_required]
        if wishes:
            slack = float(sum(wish.max_skew - 1 for wish in wishes))
            spread = cls(np.full(len(crowd.nodes), slack), carriers(wishes, crowd))
            for wish in wishes:
                domains, have = existing(wish, wishes, shape, wisher.namespace, crowd)
                spread._count(wish, domains, have, selects(wish.selector, dict(wisher.labels)))
            return spread
        if not wisher.owner or not wisher.default_spread:
            return None
        spread = cls(np.zeros(len(crowd.nodes)), np.ones(len(crowd.nodes), dtype=np.bool_))
        rows = crowd.owned(wisher.owner)
        for wish in wisher.default_spread:
            domains = crowd.domains(wish.topology_key)
            spread._raw[domains.of >= 0] += wish.max_skew - 1
            spread._count(wish, domains, domains.counts(rows), is_own=True)
        return spread

    def _count(self, wish: SpreadConstraint, domains: Domains, have: NDArray[np.int64], is_own: bool) -> None:
        weight = math.log(domains.count + 2)
        lying = domains.of >= 0
        self._raw[lying] += have[domains.of[lying]] * weight
        # An empty selector counts nobody, see ``existing``.
        if is_own and (wish.selector is None or wish.selector.requirements):
            self.counted.append((weight, domains))

    def placed(self, row: int) -> None:
        for weight, domains in self.counted:
            if domains.of[row] >= 0:
                self._raw[domains.of == domains.of[row]] += weight

    def score(self) -> Score:
        score, carrying = np.rint(self._raw).astype(np.int64), self._carrying
        if not carrying.any():
            return np.zeros(len(score), dtype=np.int64)
        low, high = int(score[carrying].min()), int(score[carrying].max())
        normal = np.full(len(score), SCORE_MAX) if high == 0 else SCORE_MAX * (high + low - score) // high
        return SPREAD_WEIGHT * np.where(carrying, normal, 0).astype(np.int64)


def _of_most(score: Score) -> Score:
    """0 to 100, relative to the largest (``helper.DefaultNormalizeScore``)."""
    most = int(score.max(initial=0))
    return SCORE_MAX * score // most if most else score

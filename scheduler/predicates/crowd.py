"""The pods on the nodes, indexed for the rules between pods.

Pods of one namespace and equal labels are looked at once, however many there are, so a rule costs
what differs, not what exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache

import numpy as np

from scheduler.model.objects import Node, Shape
from scheduler.model.plan import Placed
from scheduler.model.selection import HostPort, PodTerm, Selector, WeightedPodTerm
from scheduler.predicates.matching import Namespaces, selects, term_reaches
from scheduler.predicates.node_rows import Domains, NodeRows, Rows

Labels = tuple[tuple[str, str], ...]

#: ``hardPodAffinityWeight`` of kube-scheduler's InterPodAffinityArgs, as it is by default.
HARD_WEIGHT = 1


class Crowd:
    """Placed pods over fixed nodes. Grows by ``add``; ``rewind`` takes the newest back."""

    def __init__(self, nodes: Sequence[Node], placed: Iterable[Placed] = ()) -> None:
        self.nodes = nodes
        self._rows = NodeRows.of(nodes)
        #: Pods that were promised a node, where it is asked what holds beside them; put in as well.
        self.promised: Sequence[Placed] = ()
        self._placed: list[Placed] = []
        self._groups: dict[str, dict[Labels, list[int]]] = {}
        #: Pods that are being deleted.
        self._leaving: dict[str, dict[Labels, list[int]]] = {}
        self._apart: dict[tuple[PodTerm, ...], list[int]] = {}
        #: By what pods on nodes wish of others, with its weight, and ask for.
        self._drawing: dict[tuple[WeightedPodTerm, ...], list[int]] = {}
        self._ports: dict[tuple[HostPort, ...], list[int]] = {}
        self._owned: dict[str, list[int]] = {}
        #: By namespace, the labels that terms of pods on nodes look at there; None where no term does.
        self._reached: dict[str, frozenset[str] | None] = {}
        for pod in placed:
            self.add(pod)

    def __len__(self) -> int:
        return len(self._placed)

    def add(self, pod: Placed) -> None:
        self._placed.append(pod)
        self.put_in(pod)

    def rewind(self, length: int) -> None:
        """Forget pods until ``length`` are left."""
        while len(self._placed) > length:
            self.take_out(self._placed.pop())

    def put_in(self, pod: Placed) -> None:
        """Let rules see the pod until it is taken out."""
        for rows in self._rows_of(pod):
            rows.append(pod.node)

    def take_out(self, pod: Placed) -> bool:
        """Let rules see one equal pod less; whether there was one."""
        rows_of = self._rows_of(pod)
        if pod.node not in rows_of[0][-1:] and pod.node not in rows_of[0]:
            return False
        for rows in rows_of:
            if rows[-1] == pod.node:
                rows.pop()
            else:
                rows.remove(pod.node)
        return True

    def _rows_of(self, pod: Placed) -> list[list[int]]:
        """The lists of nodes in which the pod is one entry."""
        groups = self._leaving if pod.is_leaving else self._groups
        found = [groups.setdefault(pod.namespace, {}).setdefault(pod.labels, [])]
        shape = pod.shape
        if shape.speaks_of_pods:
            wishes = drawn_by(shape)
            if shape.pod_anti_affinity:
                if shape.pod_anti_affinity not in self._apart:
                    self._reached.clear()
                found.append(self._apart.setdefault(shape.pod_anti_affinity, []))
            if wishes:
                if wishes not in self._drawing:
                    self._reached.clear()
                found.append(self._drawing.setdefault(wishes, []))
        if shape.host_ports:
            found.append(self._ports.setdefault(shape.host_ports, []))
        if pod.owner and not pod.is_leaving:
            found.append(self._owned.setdefault(pod.owner, []))
        return found

    def domains(self, key: str) -> Domains:
        """The domains of a node label, numbered in the order of the nodes."""
        return self._rows.domains(key)

    def matching(self, terms: Sequence[PodTerm], namespaces: Namespaces) -> Rows:
        """int64[*]: the node of every pod of which all these terms speak."""
        rows: list[int] = []
        for spaces in (self._groups, self._leaving):
            for name, groups in spaces.items():
                if all(term_reaches(term, name, namespaces) for term in terms):
                    rows += _selected([term.selector for term in terms], groups)
        return np.array(rows, dtype=np.int64)

    def selected(self, selector: Selector | None, namespace: str) -> Rows:
        """int64[*]: the node of every pod of the namespace that the selector matches and that stays."""
        return np.array(_selected([selector], self._groups.get(namespace, {})), dtype=np.int64)

    def promised_in(self, namespace: str) -> Rows:
        """int64[*]: the node of every promised pod of the namespace."""
        return np.array([pod.node for pod in self.promised if pod.namespace == namespace], dtype=np.int64)

    @property
    def keeps_apart(self) -> bool:
        """Whether some pod on a node has required anti-affinity, which binds newcomers too."""
        return any(self._apart.values())

    def keeping_apart(self) -> Iterable[tuple[tuple[PodTerm, ...], Sequence[int]]]:
        """Required anti-affinity terms of pods on nodes, with the nodes of those pods."""
        return ((terms, rows) for terms, rows in self._apart.items() if rows)

    def drawing(self) -> Iterable[tuple[tuple[WeightedPodTerm, ...], Sequence[int]]]:
        """What pods on nodes wish of newcomers, with the nodes of those pods."""
        return ((wishes, rows) for wishes, rows in self._drawing.items() if rows)

    def owned(self, owner: str) -> Rows:
        """int64[*]: the node of every pod of the controller that stays."""
        return np.array(self._owned.get(owner, ()), dtype=np.int64)

    def kind(self, namespace: str, labels: Labels, namespaces: Namespaces) -> tuple[object, ...]:
        """What pods on nodes with terms about others can see of a newcomer: equals are treated alike."""
        reached = self._reached.get(namespace)
        if reached is None and namespace not in self._reached:
            terms = {term: None for terms in self._apart for term in terms}
            terms |= {wish.term: None for wishes in self._drawing for wish in wishes}
            reached = self._reached[namespace] = _keys(
                term for term in terms if term_reaches(term, namespace, namespaces)
            )
        if reached is None:
            return ()
        return (namespace, *(item for item in labels if item[0] in reached))

    def listening(self) -> Iterable[tuple[tuple[HostPort, ...], Rows]]:
        """Host ports of pods on nodes, with the nodes of those pods."""
        return ((ports, np.array(rows, dtype=np.int64)) for ports, rows in self._ports.items() if rows)


@lru_cache(maxsize=4_096)
def drawn_by(shape: Shape) -> tuple[WeightedPodTerm, ...]:
    """What pods of this shape on nodes wish of a newcomer: required affinity weighs one there, too."""
    wishes = [WeightedPodTerm(weight=HARD_WEIGHT, term=term) for term in shape.pod_affinity]
    wishes += shape.preferred_pods
    wishes += [WeightedPodTerm(weight=-w.weight, term=w.term) for w in shape.preferred_anti_pods]
    return tuple(wishes)


def _keys(terms: Iterable[PodTerm]) -> frozenset[str] | None:
    """The labels that the terms look at; None without any term."""
    found = list(terms)
    if not found:
        return None
    selectors = [term.selector for term in found if term.selector is not None]
    return frozenset(r.key for selector in selectors for r in selector.requirements)


def _selected(selectors: Sequence[Selector | None], groups: Mapping[Labels, list[int]]) -> list[int]:
    """Nodes of pods that every selector matches. One evaluation for each combination of values looked at."""
    keys = {r.key for selector in selectors if selector is not None for r in selector.requirements}
    verdicts: dict[Labels, bool] = {}
    rows: list[int] = []
    for labels, nodes in groups.items():
        seen = tuple(item for item in labels if item[0] in keys)
        verdict = verdicts.get(seen)
        if verdict is None:
            verdict = verdicts[seen] = all(selects(selector, dict(seen)) for selector in selectors)
        if verdict:
            rows += nodes
    return rows

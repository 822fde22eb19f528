"""The pods on the nodes, indexed for the rules between pods.

Pods of one namespace and equal labels are looked at once, however many there are, so a rule costs
what differs, not what exists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import Node
from scheduler.model.plan import Placed
from scheduler.model.selection import HostPort, PodTerm, Selector
from scheduler.predicates.matching import Namespaces, selects, term_reaches

Labels = tuple[tuple[str, str], ...]
Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class Domains:
    """The values of one node label. of: int32[N], -1 where the node lacks the label; ``count`` values."""

    of: NDArray[np.int32]
    count: int

    def counts(self, rows: Rows) -> NDArray[np.int64]:
        """int64[count]: how many of these rows are in each domain."""
        inside = self.of[rows]
        return np.bincount(inside[inside >= 0], minlength=self.count).astype(np.int64)

    def has(self, rows: Rows) -> NDArray[np.bool_]:
        """bool[N]: nodes in a domain that holds one of these rows."""
        return np.append(self.counts(rows) > 0, False)[self.of]


class Crowd:
    """Placed pods over fixed nodes. Grows by ``add``; ``rewind`` takes the newest back."""

    def __init__(self, nodes: Sequence[Node], placed: Iterable[Placed] = ()) -> None:
        self.nodes = nodes
        self._placed: list[Placed] = []
        self._groups: dict[str, dict[Labels, list[int]]] = {}
        self._apart: dict[tuple[PodTerm, ...], list[int]] = {}
        self._ports: dict[tuple[HostPort, ...], list[int]] = {}
        self._domains: dict[str, Domains] = {}
        #: Labels that required anti-affinity of pods on nodes looks at, or did.
        self.keys_apart: set[str] = set()
        for pod in placed:
            self.add(pod)

    def __len__(self) -> int:
        return len(self._placed)

    def add(self, pod: Placed) -> None:
        self._placed.append(pod)
        self._groups.setdefault(pod.namespace, {}).setdefault(pod.labels, []).append(pod.node)
        if pod.shape.pod_anti_affinity:
            if pod.shape.pod_anti_affinity not in self._apart:
                self.keys_apart |= _keys(term.selector for term in pod.shape.pod_anti_affinity)
            self._apart.setdefault(pod.shape.pod_anti_affinity, []).append(pod.node)
        if pod.shape.host_ports:
            self._ports.setdefault(pod.shape.host_ports, []).append(pod.node)

    def rewind(self, length: int) -> None:
        """Forget pods until ``length`` are left."""
        while len(self._placed) > length:
            pod = self._placed.pop()
            self._groups[pod.namespace][pod.labels].pop()
            if pod.shape.pod_anti_affinity:
                self._apart[pod.shape.pod_anti_affinity].pop()
            if pod.shape.host_ports:
                self._ports[pod.shape.host_ports].pop()

    def domains(self, key: str) -> Domains:
        """The domains of a node label, numbered in the order of the nodes."""
        known = self._domains.get(key)
        if known is None:
            seen: dict[str, int] = {}
            of = [
                -1 if (value := node.labels.get(key)) is None else seen.setdefault(value, len(seen))
                for node in self.nodes
            ]
            known = self._domains[key] = Domains(np.array(of, dtype=np.int32), len(seen))
        return known

    def matching(self, terms: Sequence[PodTerm], namespaces: Namespaces) -> Rows:
        """int64[*]: the node of every pod of which all these terms speak."""
        rows: list[int] = []
        for name, groups in self._groups.items():
            if all(term_reaches(term, name, namespaces) for term in terms):
                rows += _selected([term.selector for term in terms], groups)
        return np.array(rows, dtype=np.int64)

    def selected(self, selector: Selector | None, namespace: str) -> Rows:
        """int64[*]: the node of every pod of the namespace that the selector matches."""
        return np.array(_selected([selector], self._groups.get(namespace, {})), dtype=np.int64)

    def keeping_apart(self) -> Iterable[tuple[tuple[PodTerm, ...], Rows]]:
        """Required anti-affinity terms of pods on nodes, with the nodes of those pods."""
        return ((terms, np.array(rows, dtype=np.int64)) for terms, rows in self._apart.items() if rows)

    def listening(self) -> Iterable[tuple[tuple[HostPort, ...], Rows]]:
        """Host ports of pods on nodes, with the nodes of those pods."""
        return ((ports, np.array(rows, dtype=np.int64)) for ports, rows in self._ports.items() if rows)


def _keys(selectors: Iterable[Selector | None]) -> set[str]:
    return {r.key for selector in selectors if selector is not None for r in selector.requirements}


def _selected(selectors: Sequence[Selector | None], groups: Mapping[Labels, list[int]]) -> list[int]:
    """Nodes of pods that every selector matches. One evaluation for each combination of values looked at."""
    keys = _keys(selectors)
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

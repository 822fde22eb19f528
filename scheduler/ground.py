"""What plans on the same nodes have in common: nothing of it depends on a pod, so it is laid out once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import cached_property, partial
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import AMOUNT_MAX, SUM_MAX, InvalidProblem, Nodes
from scheduler.columns import OVERFLOW
from scheduler.model.objects import Shape
from scheduler.model.plan import Prices, Snapshot
from scheduler.model.platforms import is_domain
from scheduler.model.selection import Toleration
from scheduler.predicates.node_rows import NodeRows
from scheduler.predicates.price import dearness
from scheduler.predicates.spot import spot_nodes
from scheduler.predicates.taints import unwelcome

#: Grounds that are kept, and requests of shapes on each; more are made anew.
KNOWN_MAX = 4
REQUESTS_MAX = 8_192


class Ground:
    """The nodes and resources of snapshots. From one plan to the next they are mostly the very same."""

    _known: ClassVar[tuple[Ground, ...]] = ()

    def __init__(self, snapshot: Snapshot) -> None:
        self.rows = NodeRows.of(snapshot.nodes)
        self.resources = snapshot.resources
        self.column: Mapping[str, int] = {name: i for i, name in enumerate(snapshot.resources)}
        # What pods ask in sum has no bound: past this it means "nothing" and "more than anybody asks".
        self._most = min(AMOUNT_MAX, SUM_MAX // max(1, len(snapshot.nodes)))
        self._empty: Nodes | None = None
        self._total: NDArray[np.int64] | None = None
        self._requests: dict[Shape, NDArray[np.int64]] = {}
        self._places: dict[str, NDArray[np.int32]] = {}
        self._dearness: dict[tuple[Prices, ...], NDArray[np.int64] | None] = {}

    @staticmethod
    def of(snapshot: Snapshot) -> Ground:
        """The ground of these nodes and resources; of the very same nodes the very same ground."""
        for known in Ground._known:
            if known.rows.nodes is snapshot.nodes and known.resources == snapshot.resources:
                return known
        made = Ground(snapshot)
        Ground._known = (made, *Ground._known[: KNOWN_MAX - 1])
        return made

    @cached_property
    def spot(self) -> NDArray[np.bool_]:
        """bool[N]: nodes that the provider may take back."""
        return spot_nodes(self.rows)

    def dearness(self, prices: Sequence[Prices]) -> NDArray[np.int64] | None:
        """int64[N] as ``price.dearness``."""
        key = tuple(prices)
        if key not in self._dearness:
            if len(self._dearness) >= KNOWN_MAX:
                self._dearness.clear()
            self._dearness[key] = dearness(key, self.rows)
        return self._dearness[key]

    def is_unwelcome(self, tolerations: tuple[Toleration, ...]) -> bool:
        """Whether some node would rather not have pods of these tolerations."""
        return self.rows.unwelcome(tolerations, partial(unwelcome, tolerations)) is not None

    def place(self, label: str) -> NDArray[np.int32]:
        """int32[N]: each node's domain of a level of the network, -1 where its value names no place."""
        known = self._places.get(label)
        if known is None:
            values = [node.labels.get(label, "") for node in self.rows]
            nodes = Counter(values)
            real = [is_domain(label, value, nodes[value]) for value in values]
            known = np.where(real, self.rows.domains(label).of, -1).astype(np.int32)
            self._places[label] = known
        return known

    def request(self, shape: Shape) -> NDArray[np.int64]:
        """int64[R] of the shape, read only."""
        known = self._requests.get(shape)
        if known is None:
            known = np.zeros(len(self.resources), dtype=np.int64)
            for name, amount in shape.requests:
                known[self.column.get(name, self.column[OVERFLOW])] += amount
            known.setflags(write=False)
            if len(self._requests) >= REQUESTS_MAX:
                self._requests.clear()
            self._requests[shape] = known
        return known

    def nodes(self, total: NDArray[np.int64], free: NDArray[np.int64]) -> Nodes:
        """The nodes without levels. total, free: int64[N, R], the first of one and the same array mostly."""
        if self._empty is None or self._total is not total:
            sizes = self.sizes(total)
            self._total, self._empty = total, Nodes(free=sizes, total=sizes, resources=self.resources)
        try:
            return self._empty.with_free(free)
        except InvalidProblem:
            return self._empty.with_free(self.bounded(free))

    def sizes(self, total: NDArray[np.int64]) -> NDArray[np.int64]:
        """What empty nodes have, within the same bounds."""
        return np.clip(total, 0, self._most)

    def bounded(self, free: NDArray[np.int64]) -> NDArray[np.int64]:
        """The same within what a problem may hold."""
        return np.clip(free, -self._most, self._most)

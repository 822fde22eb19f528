"""Devices that the plugin gives to several pods each, in a quarter of the storms, under one of its names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from random import Random

from scheduler.model.devices import WHOLE_GPU
from scheduler.model.gpu_resources import SHARED
from scheduler.model.objects import CPU, MEMORY, PODS, Node, Shape
from scheduler.state import ClusterState
from tests.builders import GIB
from tests.builders import node as node_object


class Replicas:
    """``each``: pods that one board is given to; where it is 1, boards are named and given whole."""

    def __init__(self, seed: int, state: ClusterState, node: str, boards: int) -> None:
        # Of its own, so that storms without it are as they would be.
        rng = Random(f"replicas {seed}")
        self.each = rng.choice((1, 1, 1, 4))
        self.resource = WHOLE_GPU if self.each == 1 else rng.choice((WHOLE_GPU, WHOLE_GPU + SHARED))
        self.boards = self.most = boards
        #: What else labels say, and whether one says how many share a board.
        self.labels: Mapping[str, str] = {}
        self.is_said = True
        #: Of a plugin that is gone, what its kubelet counts.
        self.counted = 0
        self._is_there = True
        self._state = state
        self._node = node

    def offer(self, *, is_there: bool = True, counted: int = 0) -> None:
        """What the plugin offers: all, or nothing while it restarts."""
        self._is_there, self.counted = is_there, counted
        self.offer_again()

    def listed(self, boards: int) -> None:
        """So many boards are on the bus."""
        self.boards = boards
        self.offer_again()

    def offer_again(self) -> None:
        """The same by other labels."""
        labels = dict(self.labels)
        if self.each > 1 and self.is_said:
            labels["nvidia.com/gpu.replicas"] = str(self.each)
        there = {CPU: 96_000, MEMORY: 512 * GIB, PODS: 110}
        if self._is_there:
            there[self.resource] = self.boards * self.each
        capacity = {self.resource: self.counted} if self.counted else {}
        found: Node = node_object(self._node, labels=labels, allocatable=there, capacity=capacity)
        self._state.set_node(found)

    def shape(self) -> Shape:
        return Shape(requests=((CPU, 100), (self.resource, 1), (PODS, 1)))

    def free(self) -> int:
        """How many more pods the scheduler would place."""
        snapshot = self._state.snapshot()
        at = [name == self.resource for name in snapshot.resources]
        row = self._state.columns.row[self._node]
        return int(snapshot.free[row, at.index(True)]) if any(at) else 0

    def room(self, uuid: str, given: Iterable[str]) -> int:
        """How many more pods a board can be given to."""
        return self.each - sum(one == uuid for one in given)

    def ids(self, uuid: str) -> tuple[str, ...]:
        """As the kubelet's pod-resources API spells it."""
        return (uuid,) if self.each == 1 else (f"{uuid}::1",)

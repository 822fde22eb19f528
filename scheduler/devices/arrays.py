"""The rows of the devices' arrays, one a node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

#: Stands for "no device says less than the node's allocatable".
UNLIMITED = 2**52


@dataclass(slots=True)
class Summary:
    """One node's row: as the arrays of ``DeviceView``, and how many of each resource are free or there."""

    room: list[int] = field(default_factory=list)
    size: list[int] = field(default_factory=list)
    island: list[int] = field(default_factory=list)
    uuids: tuple[str, ...] = ()
    most: int = 0
    shared: int = 0
    is_exact: bool = True
    #: Devices that are shared and could be given again, with the UIDs of the pods that share them.
    sharers: dict[str, tuple[str, ...]] = field(default_factory=dict)
    free: dict[str, int] = field(default_factory=dict)
    there: dict[str, int] = field(default_factory=dict)
    free_uuids: dict[str, tuple[str, ...]] = field(default_factory=dict)


class Arrays:
    """The rows of all nodes; those without a report are unlimited."""

    def __init__(self, nodes: int, width: int) -> None:
        self.room = np.zeros((nodes, width), dtype=np.int64)
        self.size = np.zeros((nodes, width), dtype=np.int64)
        self.island = np.full((nodes, width), -1, dtype=np.int32)
        self.most = np.zeros(nodes, dtype=np.int64)
        self.shared = np.zeros(nodes, dtype=np.int64)
        self.has_report = np.zeros(nodes, dtype=np.bool_)
        self.is_exact = np.ones(nodes, dtype=np.bool_)
        self.uuids: list[tuple[str, ...]] = [()] * nodes
        self.caps: dict[str, NDArray[np.int64]] = {}
        self.there: dict[str, NDArray[np.int64]] = {}
        self.free_slots: dict[str, dict[int, tuple[str, ...]]] = {}
        self.sharers: dict[int, Mapping[str, tuple[str, ...]]] = {}

    def is_small(self, nodes: int, width: int) -> bool:
        return self.room.shape[0] != nodes or self.room.shape[1] < width

    def clear(self, row: int) -> None:
        self.write(row, Summary())
        self.has_report[row] = False
        for caps in (*self.caps.values(), *self.there.values()):
            caps[row] = UNLIMITED

    def write(self, row: int, summary: Summary) -> None:
        width = len(summary.room)
        for array, values, rest in (
            (self.room, summary.room, 0),
            (self.size, summary.size, 0),
            (self.island, summary.island, -1),
        ):
            array[row, :width] = values
            array[row, width:] = rest
        self.most[row], self.shared[row] = summary.most, summary.shared
        self.has_report[row] = True
        self.is_exact[row] = summary.is_exact
        self.uuids[row] = summary.uuids
        self.sharers.pop(row, None)
        if summary.sharers:
            self.sharers[row] = summary.sharers
        for name in summary.free:
            if name not in self.caps:
                # Nodes that reported before and did not name it have none.
                self.caps[name] = np.where(self.has_report, 0, UNLIMITED).astype(np.int64)
                self.there[name] = self.caps[name].copy()
                self.free_slots[name] = {}
        for name in self.caps:
            # A node that reports has of what stands on devices what its report names: nothing of the rest.
            self.caps[name][row] = summary.free.get(name, 0)
            self.there[name][row] = summary.there.get(name, 0)
            if name in summary.free_uuids:
                self.free_slots[name][row] = summary.free_uuids[name]
            else:
                self.free_slots[name].pop(row, None)

"""What a snapshot shows of devices, and what a planning run changes of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from binpacking.choice import Ask, Devices
from scheduler.model.devices import WHOLE_GPU
from scheduler.model.gpu_resources import stands_on
from scheduler.model.objects import Shape


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceView:
    """Devices of one moment; read-only arrays.

    N nodes, G the most devices of a node: as ``binpacking.choice.Devices``, and ``uuids`` by node and device.
    has_report: bool[N], nodes whose agent told anything; the others go by allocatable. is_exact: bool[N],
    whether it is known of every pod on the node which devices it holds.
    free_slots: by MIG resource and node, the UUIDs of instances that are free. shares: how many pods hold a
    share of a device, by its thousandths.
    """

    room: NDArray[np.int64]
    size: NDArray[np.int64]
    island: NDArray[np.int32]
    most: NDArray[np.int64]
    has_report: NDArray[np.bool_]
    is_exact: NDArray[np.bool_]
    uuids: tuple[tuple[str, ...], ...]
    free_slots: Mapping[str, Mapping[int, tuple[str, ...]]]
    shares: Mapping[int, int]
    #: By node and UUID of a shared device, the UIDs of the pods that share it.
    sharers: Mapping[int, Mapping[str, tuple[str, ...]]] = field(default_factory=dict)
    #: By node, whole devices more that are free once pods on their way out are gone.
    coming: Mapping[int, int] = field(default_factory=dict)
    #: By resource, int64[N]: how many a node's report has, well or ill; ``UNLIMITED`` where nobody knows.
    there: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)
    #: By the same, int64[N]: how many of it the node's device plugin offers, whatever the report has.
    offered: Mapping[str, NDArray[np.int64]] = field(default_factory=dict)

    def devices(self, worth: NDArray[np.float64] | None = None) -> Devices:
        """A copy to plan with. worth: of free thousandths of a device, float64[1001]."""
        return Devices(
            room=self.room.copy(), size=self.size, island=self.island, most=self.most.copy(), worth=worth
        )


@lru_cache(maxsize=8_192)
def ask_of(shape: Shape) -> Ask | None:
    """What a pod of this shape asks of devices, as ``binpacking`` puts it; None for nothing of them."""
    ask = shape.ask
    if ask is not None and ask.milli:
        return Ask(milli=ask.milli)
    if ask is not None and ask.memory_bytes:
        return Ask(units=ask.memory_bytes)
    whole = next((amount for name, amount in shape.requests if name == WHOLE_GPU), 0)
    if not whole:
        return None
    return Ask(whole=whole, linked=ask is not None and ask.nvlink == "required")


def mig_of(shape: Shape) -> tuple[tuple[str, int], ...]:
    """MIG instances and replicas of devices that a pod of this shape requests, by resource."""
    return tuple(each for each in shape.requests if stands_on(each[0]) and each[0] != WHOLE_GPU)


def column_of(ask: Ask) -> str:
    """The name of the column that counts how many such pods fit a node; empty where one of GPUs does."""
    if ask.milli:
        return f"shares of {ask.milli / 1000:g} GPU"
    if ask.units:
        return f"shares of {ask.units / 2**30:.4g}Gi GPU memory"
    return f"NVLink-connected sets of {ask.whole} GPUs" if ask.linked else ""


def told_of(ask: Ask) -> str:
    """What one such pod asks, for people; ``column_of`` names how many of them fit."""
    if ask.milli:
        return f"{ask.milli / 1000:g} of a GPU"
    if ask.units:
        return f"{ask.units / 2**30:.4g}Gi of a GPU's memory"
    return f"{ask.whole} GPUs connected by NVLink" if ask.linked else ""

"""Room that is coming because somebody leaves, and for whom it is held, with what is free by now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import RolePlacement
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import Gang
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.team import Teams
from scheduler.translation import Translation

Placement = tuple[RolePlacement, ...]
Mask = NDArray[np.bool_]
#: Who is to be gone so shortly after the last of the others delays nobody.
IN_TIME_S = 5.0


@dataclass(frozen=True, slots=True, eq=False)
class Held:
    """int64[N, R] that somebody is promised, and what of it was taken from what is free by now."""

    asked: NDArray[np.int64]
    free: NDArray[np.int64]


@dataclass(frozen=True, slots=True, eq=False)
class _Promise:
    """Nodes by pod UID."""

    nodes: Mapping[str, str]
    room: Held


class Promises:
    """``packing`` is the run's: what is held for somebody is taken from what is free in it."""

    def __init__(self, translation: Translation, packing: Packing, teams: Teams) -> None:
        self._translation = translation
        self._packing = packing
        #: int64[N, R]: what is coming and promised to nobody.
        self._coming = np.zeros_like(packing.free)
        self._coming[:, : teams.leaving.shape[1]] = teams.leaving
        #: float64[N]: by when it is there.
        self._by_s = np.full(len(packing.free), np.inf)
        self._by_s[: len(teams.leaving_by_s)] = teams.leaving_by_s
        devices, gpu = translation.snapshot.devices, translation.gpu_column
        if devices is not None and gpu is not None:
            for row, gpus in devices.coming.items():
                self._coming[row, gpu] = gpus
        self._row = {node.name: row for row, node in enumerate(translation.snapshot.nodes)}
        #: First who was promised room first.
        self._promises: dict[GangKey, _Promise] = {}

    def promise(self, gang: PendingGang, nodes: Mapping[str, str]) -> None:
        """Hold what was nominated earlier, unless it cannot come true any more."""
        pods = {pod.uid: pod for pod in gang.pods}
        if any(role.shape.sees_pods for role in gang.roles) or not nodes.keys() <= pods.keys():
            return
        asked = np.zeros_like(self._coming)
        for uid, node in nodes.items():
            row = self._row.get(node)
            if row is None or not self._translation.snapshot.masks[pods[uid].shape][row]:
                return
            asked[row] += self._translation.request(pods[uid].shape)
        later = self._packing.free + self._coming - asked
        if len(nodes) < max(1, gang.need) or gang.tears(nodes) or ((later < 0) & (asked > 0)).any():
            return
        self._promises[gang.key] = _Promise(nodes, self._hold(asked))

    def kept(self, gang: PendingGang) -> tuple[Mapping[str, str], bool] | None:
        """The nodes promised to the gang, and whether all is free by now, in which case they are taken."""
        promise = self._promises.get(gang.key)
        if promise is None or not promise.nodes.keys() <= {pod.uid for pod in gang.pods}:
            return None
        room, later = promise.room, self._later_than(gang)
        here = self._packing.free + room.free + sum(other.free for other in later)
        if ((here < room.asked) & (room.asked > 0)).any():
            return promise.nodes, False
        self.give_up(gang)
        self._packing.free -= room.asked
        for other in later:
            self._postpone(other)
        return promise.nodes, True

    def _later_than(self, gang: PendingGang) -> list[Held]:
        """Of promises made after the gang's: what is free by now is first for whom it was promised first."""
        keys = list(self._promises)
        return [self._promises[key].room for key in keys[keys.index(gang.key) + 1 :]]

    def _postpone(self, room: Held) -> None:
        """Of what is held there as much as is taken by now is held of what is coming instead."""
        taken = np.clip(-self._packing.free, 0, room.free)
        room.free[:] -= taken
        self._packing.free += taken
        self._coming -= taken

    def give_up(self, gang: PendingGang) -> None:
        """What was promised to the gang is for all again."""
        self.give_back(self._promises.pop(gang.key).room)

    def give_back(self, room: Held) -> None:
        """Nobody holds it any more."""
        self._packing.free += room.free
        self._coming += room.asked - room.free

    def elsewhere(
        self, gang: PendingGang, nodes: Mapping[str, str], tried: PendingGang, within: Mask | None
    ) -> dict[str, str]:
        """The nodes where as much of the gang as is tried can start now, taken; else the promise stands."""
        turns = list(self._promises)
        self.give_up(gang)
        asked = self._translation.gang(tried, within=within)
        placement = place_greedy(self._packing, asked)
        if placement is None:
            self.promise(gang, nodes)
            self._promises = {key: self._promises[key] for key in turns if key in self._promises}
            return {}
        self._packing.take_all(asked, placement)
        return self.nominated([tried], placement)

    def expect(self, row: int, amounts: NDArray[np.int64]) -> bool:
        """So much more (or less) is coming to a node; False where that is promised to somebody by now."""
        if (self._coming[row] + amounts < 0).any():
            return False
        self._coming[row] += amounts
        return True

    def hold(self, gang: Gang) -> Placement | None:
        """Where the gang can stand once those who are leaving are gone; held for it."""
        if not self._coming.any():
            return None
        placement = place_greedy(self.credited(), gang)
        if placement is not None:
            self.take(gang, placement, np.zeros_like(self._coming))
        return placement

    def nominated(self, gangs: Sequence[PendingGang], placement: Placement) -> dict[str, str]:
        """Node by pod UID: role by role, in the order in which pods get their places."""
        names: dict[str, str] = {}
        for index, where in enumerate(placement):
            pods = [pod for one in gangs for pod in one.roles[index].pods]
            names |= {
                pod.uid: node for pod, node in zip(pods, self._translation.node_names(where), strict=False)
            }
        return names

    def credited(self) -> Packing:
        """A packing of what is free and what is coming."""
        packing = Packing(self._packing.nodes, score=self._packing.score)
        packing.free[:] = self._packing.free + self._coming
        return packing

    def take(self, gang: Gang, placement: Placement, released: NDArray[np.int64]) -> Held:
        """From now on ``released`` (int64[N, R]) is coming too, and what the gang asks is nobody else's."""
        asked = np.zeros_like(self._coming)
        for role, where in zip(gang.roles, placement, strict=True):
            asked[where.nodes] += where.counts[:, None] * role.request
        self._coming += released
        self._by_s[released.any(axis=1)] = np.inf
        return self._hold(asked)

    def _hold(self, asked: NDArray[np.int64]) -> Held:
        """Take it of what is free, as far as that goes, and of what is coming.

        What is coming to a node comes before what is free there only where that is there in time, since the
        rest of what is asked is still to come to other nodes: else whoever comes would delay it.
        """
        there = np.clip(self._packing.free, 0, asked)
        late = np.where((there < asked).any(axis=1), self._by_s, -np.inf)
        is_in_time = self._by_s <= _latest_of_others(late) + IN_TIME_S
        coming = np.where(is_in_time[:, None], np.maximum(self._coming, 0), 0)
        free = np.minimum(there, np.maximum(asked - coming, 0))
        self._packing.free -= free
        self._coming -= asked - free
        return Held(asked, free)


def _latest_of_others(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """float64[N]: of all but the node itself; minus infinity where there is no other."""
    if not len(times_s):
        return times_s
    last = int(times_s.argmax())
    found = np.full(len(times_s), times_s[last])
    found[last] = np.delete(times_s, last).max(initial=-np.inf)
    return found

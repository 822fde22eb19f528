"""A gang on several GPU models where its team may not have all of it on one: so many pods on each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from quotas.amounts import add_amounts
from quotas.units import UNITS
from scheduler.model.gang import PendingGang, PendingRole

if TYPE_CHECKING:
    from scheduler.teams.allowance import Allowance

#: Pods by GPU model, an index into ``Teams.models``.
Counts = Mapping[int, int]


class Splitter:
    """is_strict: more than there is is no either."""

    def __init__(self, allowance: Allowance, gang: PendingGang, *, is_strict: bool) -> None:
        self._allowance = allowance
        self._gang = gang
        self._is_strict = is_strict

    def split(self) -> tuple[Counts, ...] | None:
        """For each role the most pods on each model; whatever keeps to that is allowed. None without such.

        A gang of one role is left the choice wherever every choice is allowed. Elsewhere the models on
        which a pod counts least are filled first, and the counts are exact.
        """
        if len(self._gang.roles) == 1:
            caps = self._caps(self._gang.roles[0])
            if caps is not None:
                return (caps,)
        chosen: list[Counts] = []
        for role in self._gang.roles:
            left, own = len(role.pods), dict[int, int]()
            for code in self._by_units(role):
                own[code] = self._most(chosen, own, code, left)
                left -= own[code]
            if own and left:
                return None
            chosen.append(own)
        return tuple(chosen)

    def _caps(self, role: PendingRole) -> Counts | None:
        """The most on each model by itself; None where not all ways to keep to that are allowed."""
        codes, left = self._by_units(role), len(role.pods)
        caps = {code: self._most([], {}, code, left) for code in codes}
        dearest: dict[int, int] = {}
        for code in reversed(codes):
            dearest[code] = min(left, caps[code])
            left -= dearest[code]
        return None if left or not self._is_allowed([dearest]) else caps

    def _most(self, chosen: Sequence[Counts], own: Counts, code: int, size: int) -> int:
        """The most pods, up to ``size``, of the next role that may go to the model beside what was chosen."""
        low, high = 0, size
        while low < high:
            middle = (low + high + 1) // 2
            fits = self._is_allowed([*chosen, {**own, code: middle}])
            low, high = (middle, high) if fits else (low, middle - 1)
        return low

    def _by_units(self, role: PendingRole) -> list[int]:
        """The models it may go to, that on which a pod counts least first; none for pods without GPUs."""
        pod, models = role.pods[0], self._allowance.teams.models
        codes = self._allowance.models(role.shape)
        return sorted(codes, key=lambda code: (self._allowance.of_pod(pod, models[code]).get(UNITS, 0), code))

    def _is_allowed(self, counts: Sequence[Counts]) -> bool:
        """Whether the first roles may have so many pods on each model, together."""
        total: dict[str, int] = {}
        for role, own in zip(self._gang.roles, counts, strict=False):
            # Without GPUs it counts the same wherever it goes.
            where = {self._allowance.teams.models[code]: pods for code, pods in own.items()}
            for model, pods in where.items() if where else (("", len(role.pods)),):
                amounts = self._allowance.of_pod(role.pods[0], model)
                add_amounts(total, {name: amount * pods for name, amount in amounts.items()})
        return self._allowance.denied(self._gang, total, is_strict=self._is_strict) is None

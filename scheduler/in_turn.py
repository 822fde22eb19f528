"""Pods placed one after another, each seeing those before it, where they cannot be counted together.

Valid but not exact: where it fails, nothing is proven.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from binpacking.capacity import column_sums, domain_sums, slots
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import Gang
from scheduler.model.gang import PendingGang, PendingRole
from scheduler.model.plan import Assignment
from scheduler.translation import Translation

Mask = NDArray[np.bool_]
#: Topology domains that are tried, those with most room first.
DOMAINS_MAX = 16
#: Searches after which no further domain is tried.
ATTEMPTS_MAX = 2_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Tried:
    """assignments: those of a gang that stands, with their devices and all taken; empty where it does not.

    short: what the first pod that found no room asked for, None where all did.
    """

    assignments: tuple[Assignment, ...]
    short: Gang | None
    #: Searches for a node that it took.
    attempts: int = 0


def place_in_turn(
    translation: Translation, packing: Packing, pending: PendingGang, within: Mask | None
) -> Tried:
    """Place the gang, role by role, in the first domain that its topology allows and in which it stands."""
    tried = Tried(assignments=(), short=None)
    attempts = 0
    for area in _areas(translation, packing, pending, within):
        tried = _try(translation, packing, pending, area)
        attempts += tried.attempts
        if tried.assignments or attempts > ATTEMPTS_MAX:
            break
    return replace(tried, attempts=attempts)


def _try(translation: Translation, packing: Packing, pending: PendingGang, within: Mask | None) -> Tried:
    taken: list[Assignment] = []
    short: Gang | None = None
    mark, devices = translation.mark(), translation.devices.mark()
    free = packing.free.copy()
    attempts, lacking = 0, Lacking(pending)
    for role in pending.roles:
        for pod in role.pods:
            if lacking.is_too_much:
                break
            attempts += 1
            alone = replace(pending, roles=(replace(role, pods=(pod,), minimum=1),))
            gang = translation.gang(alone, count=1, minimum=1, within=within)
            placement = place_greedy(packing, gang, prefer=translation.preference(alone.roles))
            if placement is None:
                short = short or gang
                lacking.add(role)
                continue
            bare = Assignment(pod=pod, node=translation.node_names(placement[0])[0])
            packing.take(gang.roles[0], placement[0])
            chosen = translation.choose([bare], packing)
            if chosen is None:
                packing.give(gang.roles[0], placement[0])
                short = short or gang
                lacking.add(role)
                continue
            translation.note(chosen)
            taken += chosen
    translation.rewind(mark)
    if short is None or _stands(pending, taken):
        return Tried(assignments=tuple(taken), short=short, attempts=attempts)
    translation.devices.rewind(devices)
    packing.free[:] = free
    return Tried(assignments=(), short=short, attempts=attempts)


class Lacking:
    """How many pods found no node, against how many the gang and its roles can do without."""

    def __init__(self, pending: PendingGang) -> None:
        self._spare = len(pending.pods) - pending.need
        self._spare_of = {id(role): len(role.pods) - role.minimum for role in pending.roles}
        self.is_too_much = False

    def add(self, role: PendingRole) -> None:
        self._spare -= 1
        self._spare_of[id(role)] -= 1
        self.is_too_much |= min(self._spare, self._spare_of[id(role)]) < 0


def _areas(
    translation: Translation, packing: Packing, pending: PendingGang, within: Mask | None
) -> Iterator[Mask | None]:
    """The nodes of each domain that the gang has to keep to, or all that it may use."""
    levels = translation.required_levels(pending)
    if not levels:
        yield within
        return
    codes = packing.codes(levels)
    gang = translation.gang(pending, within=within)
    holds = column_sums([np.minimum(slots(packing.free, role), role.count) for role in gang.roles])
    room = domain_sums(codes.astype(np.int32), holds, int(codes.max(initial=-1)) + 1)
    for domain in np.argsort(-room, kind="stable")[:DOMAINS_MAX].tolist():
        inside: Mask = codes == domain
        yield inside if within is None else inside & within


def _stands(pending: PendingGang, assignments: Sequence[Assignment]) -> bool:
    """Whether these pods are enough for the gang and for each of its roles."""
    placed = {a.pod.uid for a in assignments}
    return bool(placed) and len(placed) >= pending.need and all(_has(role, placed) for role in pending.roles)


def _has(role: PendingRole, placed: set[str]) -> bool:
    return sum(pod.uid in placed for pod in role.pods) >= role.minimum

"""Which gangs stood once: what was whole is not begun, whatever becomes of it or is asked of it later."""

from __future__ import annotations

from math import inf
from typing import Final

from scheduler.invariants.history import GangRef, PodVersion
from scheduler.invariants.world import Asked, Change, World

#: A size that was asked less than this before a first Binding may be the one that was decided on.
VIEW_S: Final = 10.0
#: A Binding that lands so shortly after the last member left was on its way when the gang still stood.
UNDER_WAY_S: Final = 1.0


class Stood:
    """Gangs that stood whole at some revision, and of which some member holds its node ever since, but for
    less than a Binding may be under way.

    ``by``: the minimum by which each stood last. ``begun``: what was asked of each when the first of those
    who hold nodes was bound. Who begins is bound by that: what is asked between two Bindings is for later.

    view_s: what was asked so shortly before the first Binding could still be counted on.
    """

    def __init__(self, view_s: float = VIEW_S) -> None:
        self.by: dict[GangRef, int] = {}
        self.begun: dict[GangRef, Asked] = {}
        self._view_s = view_s
        #: By what each stood whose members all left, and when the last of them did.
        self._was: dict[GangRef, tuple[float, int, Asked]] = {}
        #: Of gangs that hold no node: what was asked lately, and until when; of what is asked now, for ever.
        self._lately: dict[GangRef, list[tuple[float, Asked]]] = {}

    def see(self, world: World, ref: GangRef, now_s: float) -> int:
        """Look at a gang that changed; how many members it is short of its minimum while some hold nodes."""
        members, asked = world.members(ref), world.asked(ref)
        if not any(pod.holds for pod in members):
            by, begun = self.by.pop(ref, None), self.begun.pop(ref, None)
            if by is not None and begun is not None:
                self._was[ref] = now_s, by, begun
            # A pod's own word is for its own run, and so is that of an object whose pods are all gone.
            is_said_of_all = members and not any(pod.minimum for pod in members)
            self._ask(ref, asked if is_said_of_all else None, now_s)
            return 0
        was = self._was.pop(ref, None)
        if was is not None and now_s < was[0] + UNDER_WAY_S:
            _, self.by[ref], self.begun[ref] = was
        if asked is None:
            return 0
        if ref not in self.begun:
            lately = [one for until_s, one in self._lately.pop(ref, []) if until_s > now_s - self._view_s]
            self.begun[ref] = min([asked, *lately], key=lambda one: one.minimum)
        missing = world.missing(ref, _stands, asked) or 0
        if missing == 0:
            self.by[ref] = asked.minimum
        elif ref not in self.by and world.missing(ref, _stands, self.begun[ref]) == 0:
            self.by[ref] = self.begun[ref].minimum
        return missing

    def _ask(self, ref: GangRef, asked: Asked | None, now_s: float) -> None:
        if asked is None:
            self._lately.pop(ref, None)
            return
        known = self._lately.get(ref, [])
        if known and known[-1] == (inf, asked):
            return
        ended = [(min(until_s, now_s), one) for until_s, one in known]
        kept = [(until_s, one) for until_s, one in ended if until_s > now_s - self._view_s]
        self._lately[ref] = [*kept, (inf, asked)]

    def is_unfinished(self, world: World, ref: GangRef, now_s: float) -> bool:
        """The same, and whether members are bound while the gang does not stand and never did."""
        return self.see(world, ref, now_s) > 0 and ref not in self.by


def _stands(pod: PodVersion) -> bool:
    return pod.stands


def touched(world: World, change: Change) -> set[GangRef]:
    """Gangs to look at after a change."""
    if change.entry.kind == "Group":
        return set(world.refs())
    pods = (change.before, change.pod)
    return {pod.gang for pod in pods if pod is not None and pod.gang is not None}

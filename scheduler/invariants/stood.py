"""Which gangs stood once: what was whole is not begun, whatever becomes of it or is asked of it later."""

from __future__ import annotations

from scheduler.invariants.history import GangRef, PodVersion
from scheduler.invariants.world import Asked, World


class Stood:
    """Gangs that stood whole at some revision, and of which some member holds its node ever since.

    ``by``: the minimum by which each stood last. ``begun``: what was asked of each when the first of those
    who hold nodes was bound. Who begins is bound by that: what is asked between two Bindings is for later.
    """

    def __init__(self) -> None:
        self.by: dict[GangRef, int] = {}
        self.begun: dict[GangRef, Asked] = {}

    def see(self, world: World, ref: GangRef) -> int:
        """Look at a gang that changed; how many members it is short of its minimum while some hold nodes."""
        if not any(pod.holds for pod in world.members(ref)):
            self.by.pop(ref, None)
            self.begun.pop(ref, None)
            return 0
        asked = world.asked(ref)
        if asked is None:
            return 0
        begun = self.begun.setdefault(ref, asked)
        missing = world.missing(ref, _stands, asked) or 0
        if missing == 0:
            self.by[ref] = asked.minimum
        elif ref not in self.by and world.missing(ref, _stands, begun) == 0:
            self.by[ref] = begun.minimum
        return missing

    def is_unfinished(self, world: World, ref: GangRef) -> bool:
        """The same, and whether members are bound while the gang does not stand and never did."""
        return self.see(world, ref) > 0 and ref not in self.by


def _stands(pod: PodVersion) -> bool:
    return pod.stands

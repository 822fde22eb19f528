"""Which gangs stood once: what was whole is not begun, whatever becomes of it or is asked of it later."""

from __future__ import annotations

from scheduler.invariants.history import GangRef
from scheduler.invariants.world import World


class Stood:
    """Gangs that stood whole at some revision, and of which some member holds its node ever since.

    ``by``: the least minimum by which each stood.
    """

    def __init__(self) -> None:
        self.by: dict[GangRef, int] = {}

    def see(self, world: World, ref: GangRef) -> int:
        """Look at a gang that changed; how many members it is short of its minimum while some hold nodes."""
        if not any(pod.holds for pod in world.members(ref)):
            self.by.pop(ref, None)
            return 0
        missing, minimum = world.missing(ref, lambda pod: pod.stands), world.minimum(ref)
        if missing == 0 and minimum is not None:
            self.by[ref] = minimum
        return missing or 0

    def is_unfinished(self, world: World, ref: GangRef) -> bool:
        """The same, and whether members are bound while the gang does not stand and never did."""
        return self.see(world, ref) > 0 and ref not in self.by

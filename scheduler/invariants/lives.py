"""A gang from its first bind to its end: under which minimum it started, who is done, since when it is short.

An auditor's own reading, revision by revision, of what ``docs/healing.md`` promises: a gang stands by the
minimum under which it started; who succeeded is no loss, wherever the pod is now; who is still leaving is
not lost yet, for nobody can make the same pod anew before; and a run that is over counts for no later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from scheduler.invariants.history import GangRef, PodVersion
from scheduler.invariants.world import Change, World

#: A member that is on its way out is waited for no longer, less what a look at it may be late, unless its
#: grace is longer.
LEAVING_S: Final = 294.0
#: The room of a lost member is kept for this long, for one that is not there yet.
KEPT_S: Final = 60.0


@dataclass(slots=True)
class Life:
    """``minimum``: under which it started; 0 before. ``done``: UIDs of who succeeded.

    ``short_since``: when it fell below it; None while it stands. ``lost``: members that went and are missed,
    or will be when those are gone who are leaving, as they were last seen on their nodes.
    ``bound_at_s``: of its last member that was bound. ``leaves_s``: since when each member was seen to leave.
    ``touched_s``: when something happened to a member that no scheduler does.
    """

    begun_s: float
    minimum: int = 0
    done: set[str] = field(default_factory=set)
    evicted: set[str] = field(default_factory=set)
    short_since: float | None = None
    lost: list[tuple[float, PodVersion]] = field(default_factory=list)
    bound_at_s: float = 0.0
    leaves_s: dict[str, float] = field(default_factory=dict)
    touched_s: float = -1e9


class Lives:
    """Follows a world. ``take`` each change right after it was applied."""

    def __init__(self) -> None:
        self.of: dict[GangRef, Life] = {}

    def take(self, world: World, change: Change) -> None:
        now_s = change.entry.at_s
        if change.entry.kind == "Group":
            for ref in list(self.of):
                self._look(world, ref, now_s)
            return
        pod, before = change.pod, change.before
        either = pod or before
        if either is None or either.gang is None or either.scheduler != world.ours:
            return
        ref = either.gang
        life = self.of.get(ref)
        if life is None or (before is None and not any(m.holds for m in world.members(ref))):
            # A pod is made and none runs: another run, which owes nothing to the one before.
            life = self.of[ref] = Life(begun_s=now_s)
        if change.is_bind:
            life.bound_at_s = now_s
        if pod is not None and pod.is_deleting:
            life.leaves_s.setdefault(pod.uid, now_s)
        if pod is not None and pod.phase == "Succeeded":
            life.done.add(pod.uid)
        if pod is not None and pod.is_evicted:
            life.evicted.add(pod.uid)
        if _is_foreign(before, pod):
            life.touched_s = now_s
        held = before is not None and bool(before.node) and before.is_live
        if before is not None and held and before.uid not in life.done and not _counts(pod, life):
            life.lost.append((now_s, before))
        self._look(world, ref, now_s)

    def _look(self, world: World, ref: GangRef, now_s: float) -> None:
        life = self.of[ref]
        missing = world.missing(ref, lambda pod: pod.stands)
        if life.minimum == 0:
            if missing == 0 and any(pod.holds for pod in world.members(ref)):
                life.minimum = world.minimum(ref) or 0
            return
        if missing == 0:
            life.minimum = max(_asked(world, ref, there=True), min(life.minimum, _asked(world, ref)))
        if self.short_by(world, ref) > 0:
            if life.short_since is None:
                life.short_since = now_s
        else:
            life.short_since = None
        if self.short_by(world, ref, leaving_counts=False) <= 0:
            life.lost.clear()

    def lacks(self, world: World, ref: GangRef, now_s: float) -> bool:
        """Whether it is below that minimum if nobody evicted counts, nor who takes too long to go."""
        life = self.of[ref]
        least = min(life.minimum, _asked(world, ref) or life.minimum)
        here = {
            pod.uid
            for pod in world.members(ref)
            if _counts(pod, life) and now_s - life.leaves_s.get(pod.uid, now_s) < max(LEAVING_S, pod.grace_s)
        }
        return len(here | life.done) < least

    def short_by(self, world: World, ref: GangRef, *, leaving_counts: bool = True) -> int:
        """How many members it is below the minimum it started with, our evictions not counted as losses."""
        life = self.of.get(ref)
        if life is None or not life.minimum:
            return 0
        least = min(life.minimum, _asked(world, ref) or life.minimum)
        here = {
            pod.uid
            for pod in world.members(ref)
            if _counts(pod, life) and (leaving_counts or not pod.is_deleting)
        }
        gone = life.evicted - here
        return max(0, least - len(here | life.done | gone))


def _asked(world: World, ref: GangRef, *, there: bool = False) -> int:
    """The largest size that is asked of the gang by anybody; there: of those that stand now.

    Who failed speaks for the gang until another member is made: the newest say what is asked of it now. So do
    the newest of one controller for all of its pods.
    """
    most = sum(pod.stands for pod in world.members(ref)) if there else 10**9
    kin = world.there(ref)
    newest = max((pod.created for pod in kin if pod.phase != "Failed"), default="")
    heard = [
        pod
        for pod in kin
        if (pod.phase != "Failed" or pod.created >= newest) and not pod.together and 0 < pod.minimum <= most
    ]
    last = {pod.owner: pod.created for pod in sorted(heard, key=lambda pod: pod.created)}
    said = {pod.minimum for pod in heard if not pod.owner or pod.created == last[pod.owner]}
    return max(world.minimum(ref) or 0, *said, 0)


def _counts(pod: PodVersion | None, life: Life) -> bool:
    if pod is None or pod.phase == "Failed":
        return pod is not None and pod.uid in life.evicted
    return bool(pod.node) or pod.phase == "Succeeded"


def _is_foreign(before: PodVersion | None, pod: PodVersion | None) -> bool:
    """Whether somebody else than a scheduler did something to a member."""
    if before is None or pod is None:
        return not (before is not None and before.is_evicted)
    if pod.is_evicted:
        return False
    return (
        pod.is_deleting != before.is_deleting
        or pod.is_gated != before.is_gated
        or (pod.phase != before.phase and pod.phase != "Running")
        or (pod.node == before.node and pod.told == before.told and pod.phase == before.phase)
    )

"""INV3, INV5 and INV14: each pod bound once and as written down, leaders in order, nothing said too early."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from scheduler.invariants.history import EventVersion, GangRef, GangVersion, History, Violation
from scheduler.invariants.stood import Stood, touched
from scheduler.invariants.world import Change, World, replay


def bound_once(history: History) -> list[Violation]:
    """INV3. A pod UID gets a node at most once, and for a gang the one its Gang object named before."""
    found: list[Violation] = []
    for world, change in replay(history):
        pod, before = change.pod, change.before
        if pod is None or pod.scheduler != history.ours:
            continue
        if before is not None and before.node and pod.node != before.node:
            text = f"{pod.title} moved from node {before.node} to {pod.node or 'none'}"
            found.append(Violation("INV3", change.entry.revision, text))
        # One that was created on its node was bound by its creator.
        if change.is_bind and before is not None and pod.gang is not None:
            found += _unclaimed(world, change)
    return found


def _unclaimed(world: World, change: Change) -> Iterator[Violation]:
    pod = change.pod
    if pod is None or pod.gang is None:
        return
    claim = world.gangs.get(pod.gang)
    revision = change.entry.revision
    if claim is None:
        yield Violation("INV3", revision, f"{pod.title} was bound with no Gang object for {pod.gang}")
    elif claim.placement.get(pod.uid) != pod.node:
        text = f"{pod.title} was bound to node {pod.node}; its claim says {claim.placement.get(pod.uid)}"
        yield Violation("INV3", revision, text)
    elif pod.epoch is not None and claim.epoch != pod.epoch:
        text = f"{pod.title} was bound in term {pod.epoch} under a claim of term {claim.epoch}"
        yield Violation("INV3", revision, text)


def leaders_in_order(history: History) -> list[Violation]:
    """INV5. By revision, the terms of our binds and claims never decrease, nor run ahead of the lease."""
    found: list[Violation] = []
    highest = 0
    said: dict[str, GangVersion] = {}
    for world, change in replay(history):
        gang = change.entry.version
        if isinstance(gang, GangVersion):
            # Only who leads writes a status; anybody may store the object anew, as for another version of its
            # API, and the API server gives it a revision of its own then.
            if said.get(change.entry.key) == gang:
                continue
            said[change.entry.key] = gang
        epoch, what = _acted(world, change)
        if epoch is None:
            continue
        if epoch < highest:
            text = f"{what} in term {epoch}, after a write of term {highest}"
            found.append(Violation("INV5", change.entry.revision, text))
        elif world.lease is not None and epoch > world.lease.epoch:
            text = f"{what} in term {epoch}, the lease is at {world.lease.epoch}"
            found.append(Violation("INV5", change.entry.revision, text))
        highest = max(highest, epoch)
    return found


def _acted(world: World, change: Change) -> tuple[int | None, str]:
    """The term of a write of ours, None for anything else."""
    pod = change.pod
    if pod is not None and change.is_bind and change.before is not None and pod.scheduler == world.ours:
        return (-1 if pod.epoch is None else pod.epoch), f"{pod.title} was bound"
    gang = change.entry.version
    if isinstance(gang, GangVersion) and gang.phase:
        return gang.epoch, f"gang {gang.ref} was written ({gang.phase})"
    return None, ""


def said_after_the_fact(history: History) -> list[Violation]:
    """INV14. No Event says Scheduled before the pod is bound, no bound pod is told that it is not, and no
    Gang object says Bound while its members do not stand.
    """
    found: list[Violation] = []
    is_bound: dict[str, bool] = {}
    bound_of: defaultdict[GangRef | None, set[str]] = defaultdict(set)
    stood = Stood()
    for world, change in replay(history):
        pod = change.pod
        for ref in touched(world, change):
            stood.see(world, ref, change.entry.at_s)
        if pod is not None:
            is_bound[pod.uid] = is_bound.get(pod.uid, False) or bool(pod.node)
            if pod.node:
                bound_of[pod.gang].add(pod.uid)
            found += _told_falsely(change)
        match change.entry.version:
            # Of a pod that was gone when the auditor began, nothing is known.
            case EventVersion(reason="Scheduled", uid=uid) if not is_bound.get(uid, True):
                text = f"an Event says that pod {uid} is scheduled, and it is not"
                found.append(Violation("INV14", change.entry.revision, text))
            case GangVersion(phase="Bound") as gang:
                minimum = stood.by.get(gang.ref, 0)
                found += _called_bound(world, gang, len(bound_of[gang.ref]), minimum, change.entry.revision)
            case _:
                pass
    return found


def _told_falsely(change: Change) -> Iterator[Violation]:
    pod, before = change.pod, change.before
    if pod is None or not pod.node or pod.told is None or pod.told[0] != "False":
        return
    if before is None or before.told != pod.told:
        text = f"{pod.title} is bound and was then told: {pod.told[1]}: {pod.told[2]}"
        yield Violation("INV14", change.entry.revision, text)


def _called_bound(
    world: World, gang: GangVersion, bound: int, stood: int, revision: int
) -> Iterator[Violation]:
    """``bound`` counts members that ever were: one may end or leave before this write lands. ``stood``: by
    which minimum the gang stands, whatever is asked of it since; 0 for one that never did.
    """
    minimum = world.minimum(gang.ref) or 1
    minimum = min(minimum, stood or minimum)
    if world.members(gang.ref) and bound < minimum:
        yield Violation("INV14", revision, f"gang {gang.ref} is called Bound with {bound} of {minimum} bound")

"""INV2, INV12 and INV13: a gang is whole or wholly pending, whatever happened on the way."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from scheduler.invariants.history import GangRef, History, PodVersion, Violation
from scheduler.invariants.stood import VIEW_S, Stood, touched
from scheduler.invariants.world import Change, World, final, replay

PARTIAL_S: Final = 30.0


def gangs_whole_or_pending(
    history: History, *, partial_s: float = PARTIAL_S, view_s: float = VIEW_S
) -> list[Violation]:
    """INV2. No gang that never stood is partly bound longer than ``partial_s`` after its last Binding, and
    none is begun that cannot stand. One that stood and lost a member, or was made larger, is no such gang,
    nor is one that was made larger between two of its Bindings and stands by what was asked at the first.

    partial_s: 30 s, 60 s where a leader crashed.
    view_s: members that left, and a size that was asked, less than this before a first Binding could still be
    counted on.
    """
    found: list[Violation] = []
    since: dict[GangRef, tuple[float, int]] = {}
    stood = Stood(view_s)
    left: deque[tuple[float, str, GangRef]] = deque()
    for world, change in replay(history):
        now_s = change.entry.at_s
        before = change.before
        if before is not None and before.gang is not None and not _counts(change.pod):
            left.append((now_s, before.uid, before.gang))
        while left and left[0][0] < now_s - view_s:
            left.popleft()
        stands = change.pod is not None and change.pod.gang in stood.by
        for ref in touched(world, change):
            if stood.is_unfinished(world, ref, now_s):
                if ref in since and change.is_bind:
                    found += _too_long(ref, *since.pop(ref), now_s, partial_s)
                since.setdefault(ref, (now_s, change.entry.revision))
            elif ref in since:
                found += _too_long(ref, *since.pop(ref), now_s, partial_s)
        if not stands:
            found += _begun_in_vain(world, change, stood, Counter(ref for _, _, ref in left))
    for ref, (from_s, revision) in since.items():
        found += _too_long(ref, from_s, revision, history.until_s, partial_s)
    return found


def _counts(pod: PodVersion | None) -> bool:
    return pod is not None and (pod.stands or pod.waits)


def _too_long(
    ref: GangRef, from_s: float, revision: int, to_s: float, partial_s: float
) -> Iterator[Violation]:
    if to_s - from_s > partial_s:
        text = f"gang {ref} was partly bound for {to_s - from_s:.1f} s, {partial_s:.0f} s at most"
        yield Violation("INV2", revision, text)


def _begun_in_vain(world: World, change: Change, stood: Stood, left: Counter[GangRef]) -> Iterator[Violation]:
    pod = change.pod
    if pod is None or not change.is_bind or pod.scheduler != world.ours or pod.gang is None:
        return
    minimum = world.minimum(pod.gang)
    missing = world.missing(pod.gang, _counts)
    if minimum is None or missing is None or pod.uid not in {p.uid for p in world.members(pod.gang)}:
        text = f"{pod.title} was bound although nothing says the size of its gang {pod.gang}"
        yield Violation("INV2", change.entry.revision, text)
        return
    if pod.gang in stood.begun:
        missing = min(missing, world.missing(pod.gang, _counts, stood.begun[pod.gang]) or 0)
    if missing > left[pod.gang]:
        lack = f"{missing - left[pod.gang]} of {minimum} members of gang {pod.gang} did not exist"
        text = f"{pod.title} was bound although {lack}"
        yield Violation("INV2", change.entry.revision, text)


def unfinished(history: History) -> list[GangRef]:
    """Gangs that are partly bound at the end and never stood."""
    stood, found = Stood(), dict[GangRef, None]()
    for world, change in replay(history):
        for ref in touched(world, change):
            found.pop(ref, None)
            if stood.is_unfinished(world, ref, change.entry.at_s):
                found[ref] = None
    return list(found)


def settled(history: History) -> list[Violation]:
    """INV12, at a quiet end: each gang stands, stood or holds nothing, and each pod that waits says why."""
    world = final(history)
    found = [
        Violation("INV12", history.last_revision, text)
        for ref in unfinished(history)
        for text in _unsettled(world, ref)
    ]
    for pod in world.pods.values():
        if pod.scheduler != history.ours or not pod.waits:
            continue
        status, reason, message = pod.told or ("", "", "")
        if status != "False" or not reason or not message:
            found.append(Violation("INV12", history.last_revision, f"{pod.title} waits and nothing says why"))
    return found


def _unsettled(world: World, ref: GangRef) -> Iterator[str]:
    missing = world.missing(ref, lambda pod: pod.stands)
    if missing:
        yield f"gang {ref} ended partly bound: {missing} of {world.minimum(ref)} missing"


@dataclass(frozen=True, slots=True, kw_only=True)
class EndState:
    """What a run came to, up to symmetry: which node a pod is on is left out.

    ``gangs`` and ``singles`` hold (name, standing, waiting); ``binds`` and ``evictions`` count writes
    that landed on our pods.
    """

    gangs: tuple[tuple[GangRef, int, int], ...]
    singles: tuple[tuple[str, int, int], ...]
    binds: int
    evictions: int


def end_state(history: History) -> EndState:
    binds = evictions = 0
    for world, change in replay(history):
        pod, before = change.pod, change.before
        if pod is None or pod.scheduler != world.ours:
            continue
        binds += change.is_bind
        evictions += pod.is_evicted and not (before is not None and before.is_evicted)
    world = final(history)
    gangs = sorted(world.refs())
    singles = sorted(
        (f"{pod.namespace}/{pod.name}", int(pod.stands), int(pod.waits))
        for pod in world.pods.values()
        if pod.gang is None and pod.scheduler == history.ours
    )
    return EndState(
        gangs=tuple(
            (ref, sum(p.stands for p in world.there(ref)), sum(p.waits for p in world.there(ref)))
            for ref in gangs
        ),
        singles=tuple(singles),
        binds=binds,
        evictions=evictions,
    )


def same_end(history: History, reference: EndState) -> list[Violation]:
    """INV13. The run ends as one without faults: the same stands, as many binds, no more evictions."""
    end = end_state(history)
    texts: list[str] = []
    if (end.gangs, end.singles) != (reference.gangs, reference.singles):
        texts.append(f"ended as {end.gangs} {end.singles}, not {reference.gangs} {reference.singles}")
    if end.binds != reference.binds:
        texts.append(f"{end.binds} binds landed, {reference.binds} without faults")
    if end.evictions > reference.evictions:
        texts.append(f"{end.evictions} evictions landed, {reference.evictions} without faults")
    return [Violation("INV13", history.last_revision, text) for text in texts]

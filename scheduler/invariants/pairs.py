"""INV19 and INV20, of two runs of the same: one with a stranger's writes or a fault in it, one without."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Final

from scheduler.invariants.history import History, PodVersion, Violation
from scheduler.invariants.world import World, replay

#: Another tenant's gang is decided within so many times the time without the stranger, and so much more.
FACTOR: Final = 2.0
FLOOR_S: Final = 10.0
#: After a fault is over.
RECOVERY_S: Final = 240.0
#: Who takes the place of a member that left has so long to start, once that is gone.
REPLACED_S: Final = 60.0


def no_lasting_harm(
    history: History,
    reference: History,
    *,
    strangers: Collection[str],
    factor: float = FACTOR,
    floor_s: float = FLOOR_S,
) -> list[Violation]:
    """INV19. Whatever was written in the namespaces of ``strangers``, others are decided as soon as without.

    Decided is a gang, or a single pod, once its first members are bound or all of them were told why not. Who
    is deleted before waited until then, and if it comes again waits anew.
    """
    without = waited(reference, strangers)
    with_them = waited(history, strangers)
    found: list[Violation] = []
    for name, then in without.items():
        if not then.is_decided or name not in with_them:
            # Whoever was evicted comes again under another name: of the two runs it may be another one.
            continue
        now = with_them[name]
        if now.longest_s > factor * then.longest_s + floor_s:
            told = f"decided after {now.longest_s:.1f} s" if now.is_decided else "never decided"
            text = f"{name} was {told}; without the stranger it was after {then.longest_s:.1f} s"
            found.append(Violation("INV19", history.last_revision, text))
    return found


@dataclass(slots=True, kw_only=True)
class Wait:
    """``longest_s``: for how long it was there at most, before it was decided or all of it was deleted."""

    begun_s: float
    longest_s: float = 0.0
    is_decided: bool = False
    there: set[str] = field(default_factory=set)

    def until(self, now_s: float) -> None:
        self.longest_s = max(self.longest_s, now_s - self.begun_s)


def waited(history: History, strangers: Collection[str]) -> dict[str, Wait]:
    """By name, how long it took until somebody was decided; who gives up before waits no longer."""
    found: dict[str, Wait] = {}
    for _world, change in replay(history):
        pod, now_s = change.pod, change.entry.at_s
        either = pod or change.before
        if either is None or either.scheduler != history.ours or either.namespace in strangers:
            continue
        wait = found.setdefault(_name(either), Wait(begun_s=now_s))
        if wait.is_decided:
            continue
        if pod is None or pod.is_deleting:
            if wait.there == {either.uid}:
                wait.until(now_s)
            wait.there.discard(either.uid)
            continue
        if not wait.there:
            wait.begun_s = now_s
        wait.there.add(pod.uid)
        if pod.node or (pod.told is not None and pod.told[0] == "False"):
            wait.until(now_s)
            wait.is_decided = True
    for wait in found.values():
        if wait.there and not wait.is_decided:
            wait.until(history.until_s)
    return found


def _name(pod: PodVersion) -> str:
    return f"{pod.namespace}/{pod.name if pod.gang is None else pod.gang.name}"


def recovered(
    history: History, reference: History, *, fault_s: float, recovery_s: float = RECOVERY_S
) -> list[Violation]:
    """INV20. So long after the one fault the same gangs stand as in the run without it.

    fault_s: when the fault was over. Where a pod is, and under which name, is left out. A single pod
    that ended, the last member of a gang, or one beyond its minimum asks anew behind those who waited:
    where somebody else stands in its place that is no loss. Nor is, as yet, who was told to go and takes
    its time: its loss is not over.
    """
    at_s = fault_s + recovery_s
    now, then = standing(history, at_s), standing(reference, at_s)
    ended = Counter(_leaving(history, at_s))
    if any(now[name] > then.get(name, 0) for name in now):
        ended |= Counter(_unmissed(history, at_s))
    found: list[Violation] = []
    for name in sorted({*now, *then}):
        if now.get(name, 0) + ended[name] < then.get(name, 0):
            text = (
                f"{name}: {now.get(name, 0)} members stand {recovery_s:.0f} s after the fault, "
                f"{then.get(name, 0)} without it"
            )
            found.append(Violation("INV20", history.last_revision, text))
    return found


def standing(history: History, at_s: float) -> dict[str, int]:
    """How many pods of each gang stand, and of single pods by their controller, at a time."""
    world = World(history.ours)
    for entry in history:
        if entry.at_s > at_s:
            break
        world.apply(entry)
    found: defaultdict[str, int] = defaultdict(int)
    for pod in world.pods.values():
        if pod.scheduler == history.ours:
            found[_kin(pod)] += pod.stands
    return dict(found)


def _kin(pod: PodVersion) -> str:
    return _name(pod) if pod.gang is not None else f"{pod.namespace}/{pod.owner or pod.name}"


def _leaving(history: History, at_s: float) -> Iterator[str]:
    """For each pod that was told to go and held its node until now: the name of who misses it."""
    world = World(history.ours)
    seen: dict[str, str] = {}
    for entry in history:
        if entry.at_s > at_s:
            break
        change = world.apply(entry)
        before, recent = change.before, entry.at_s > at_s - REPLACED_S
        if before is not None and recent and _is_leaving(history, before):
            seen[before.uid] = _kin(before)
    seen |= {pod.uid: _kin(pod) for pod in world.pods.values() if _is_leaving(history, pod)}
    yield from seen.values()


def _is_leaving(history: History, pod: PodVersion) -> bool:
    is_its_own = pod.scheduler == history.ours and not pod.is_evicted
    return is_its_own and pod.is_deleting and bool(pod.node) and pod.is_live


def _unmissed(history: History, at_s: float) -> dict[str, int]:
    """By name, how many pods ended without whom their gang was over, or stood and does so now; none of a gang
    that had a member evicted.
    """
    world, found = World(history.ours), defaultdict[str, int](int)
    touched: set[str] = set()
    beyond: list[PodVersion] = []
    for entry in history:
        if entry.at_s > at_s:
            break
        change = world.apply(entry)
        pod, before = change.pod, change.before
        if pod is not None and pod.is_evicted:
            touched.add(_name(pod))
        if before is None or before.scheduler != history.ours or not before.holds:
            continue
        if pod is not None and (pod.holds or pod.phase == "Succeeded"):
            continue
        if _name(before) in touched:
            continue
        kin = [] if before.gang is None else world.members(before.gang)
        if not any(member.holds for member in kin):
            found[_kin(before)] += 1
        elif _stands(world, before):
            beyond.append(before)
    for pod in beyond:
        found[_kin(pod)] += _stands(world, pod)
    return found


def _stands(world: World, pod: PodVersion) -> bool:
    """Whether the pod's gang has all that it needs."""
    return pod.gang is not None and world.missing(pod.gang, lambda member: member.stands) == 0

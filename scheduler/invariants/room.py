"""What room there is at a revision, and whether some pods would find a place in it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from scheduler.invariants.history import PodVersion
from scheduler.invariants.world import World

Room = dict[str, Counter[str]]
GPU = "nvidia.com/gpu"
UNIT = 1000
#: Steps of the search for places; where it gives up, nobody is blamed.
STEPS_MAX = 2_000


def room_of(world: World, *, leaving_is_free: bool = False) -> Room:
    """What is free on nodes that take pods, in thousandths by resource.

    leaving_is_free: whether pods on their way out count as gone, but for members of gangs that go on without
    them: their rooms are kept.
    """
    free: Room = {}
    for name, node in world.nodes.items():
        if not node.is_open:
            continue
        left = Counter(node.allocatable)
        told = world.gpu_nodes.get(name)
        if told is not None:
            left[GPU] = min(left[GPU], UNIT * len(told.usable))
        for pod in world.on_node(name):
            if pod.is_live and not (leaving_is_free and pod.is_deleting and not is_missed(world, pod)):
                take(left, pod.requests)
        free[name] = left
    return free


def is_missed(world: World, pod: PodVersion) -> bool:
    """Whether somebody else made it leave, and others of its gang stay."""
    if pod.gang is None or pod.is_evicted:
        return False
    return any(other.holds for other in world.there(pod.gang))


def take(left: Counter[str], requests: Mapping[str, int]) -> None:
    for name, amount in requests.items():
        left[name] -= amount


def give(left: Counter[str], requests: Mapping[str, int]) -> None:
    for name, amount in requests.items():
        left[name] += amount


def copy(room: Room) -> Room:
    return {name: Counter(left) for name, left in room.items()}


def fits(room: Room, pods: Sequence[PodVersion]) -> bool:
    """Whether all of them find places together: by search, exact where it is not given up."""
    return bool(places(room, pods)) or not pods


def places(room: Room, pods: Sequence[PodVersion]) -> list[str]:
    """A node for each, in their order by size; empty where there is none or the search was given up."""
    order = sorted(pods, key=lambda pod: (-pod.requests.get(GPU, 0), sorted(pod.requests.items())))
    asks = [pod.requests for pod in order]
    if any(sum(_most(left, ask) for left in room.values()) < 1 for ask in asks):
        return []
    work = copy(room)
    found: list[str] = []
    steps = [STEPS_MAX]
    return found if _search(work, asks, found, steps) else []


def _search(room: Room, asks: Sequence[Mapping[str, int]], found: list[str], steps: list[int]) -> bool:
    at = len(found)
    if at == len(asks):
        return True
    ask = asks[at]
    # Equal pods go to nodes in one direction only, and nodes that are alike are tried once.
    names = sorted(room)
    first = names.index(found[-1]) if at and asks[at - 1] == ask else 0
    tried: set[tuple[tuple[str, int], ...]] = set()
    for name in names[first:]:
        left = room[name]
        alike = tuple(sorted((one, left[one]) for one in ask))
        if alike in tried or any(left[one] < amount for one, amount in ask.items()):
            continue
        tried.add(alike)
        steps[0] -= 1
        if steps[0] < 0:
            return False
        take(left, ask)
        found.append(name)
        if _search(room, asks, found, steps):
            return True
        found.pop()
        give(left, ask)
    return False


def _most(left: Mapping[str, int], ask: Mapping[str, int]) -> int:
    return min((left.get(name, 0) // amount for name, amount in ask.items() if amount), default=1)


def total(pods: Iterable[PodVersion]) -> Counter[str]:
    found: Counter[str] = Counter()
    for pod in pods:
        give(found, pod.requests)
    return found

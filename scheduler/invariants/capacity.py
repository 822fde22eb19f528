"""INV1: our pods never hold more of a node than there is."""

from __future__ import annotations

from collections import Counter, defaultdict, deque
from collections.abc import Iterable, Iterator, Mapping
from typing import Final

from scheduler.invariants.history import History, NodeVersion, PodVersion, Violation
from scheduler.invariants.world import World, replay

#: A plan may rest on a view this old (INV6), and a Binding may be under way for one write timeout.
VIEW_S: Final = 10.0
PODS: Final = "pods"
UNIT: Final = 1000


def no_overcommit(history: History, *, view_s: float = VIEW_S) -> list[Violation]:
    """INV1. At every bind of ours: our pods on the node, and the foreign ones that we could know of, fit.

    What a foreign scheduler bound less than ``view_s`` before, and what the node lost less than
    ``view_s`` before, could not be known: they count in our favour. Pods count until they are gone or
    finished, deleting ones too.
    """
    return [
        violation for world, at in _binds(history, view_s) for violation in _judge(world, at, history.ours)
    ]


class _At:
    """One bind of ours: where, when, and what was known then."""

    def __init__(self, pod: PodVersion, revision: int, room: Mapping[str, int], new: frozenset[str]) -> None:
        self.pod = pod
        self.revision = revision
        #: The most of each resource that the node had within the view.
        self.room = room
        #: UIDs of pods that nobody could know of yet.
        self.new = new


def _binds(history: History, view_s: float) -> Iterator[tuple[World, _At]]:
    offers: defaultdict[str, deque[tuple[float, NodeVersion | None]]] = defaultdict(deque)
    bound_s: dict[str, float] = {}
    for world, change in replay(history):
        now_s = change.entry.at_s
        if change.entry.kind == "Node":
            node = change.entry.version if isinstance(change.entry.version, NodeVersion) else None
            offers[change.entry.key].append((now_s, node))
        pod = change.pod
        if pod is None or not change.is_bind:
            continue
        bound_s[pod.uid] = now_s
        if pod.scheduler != history.ours or not pod.is_live:
            continue
        new = frozenset(
            other.uid
            for other in world.on_node(pod.node)
            if other.scheduler != history.ours and bound_s.get(other.uid, 0.0) > now_s - view_s
        )
        room = _most(offers[pod.node], now_s - view_s)
        yield world, _At(pod, change.entry.revision, room, new)


def _most(offers: deque[tuple[float, NodeVersion | None]], since_s: float) -> Mapping[str, int]:
    """The most of each resource on offer since then; what was replaced before is dropped."""
    while len(offers) > 1 and offers[1][0] <= since_s:
        offers.popleft()
    most: Counter[str] = Counter()
    for _, node in offers:
        for name, amount in (node.allocatable if node is not None else {}).items():
            most[name] = max(most[name], amount)
    return most


def _judge(world: World, at: _At, ours: str) -> Iterator[Violation]:
    pods = [pod for pod in world.on_node(at.pod.node) if pod.is_live and pod.uid not in at.new]
    held = _sum(pods)
    for name, amount in sorted(held.items()):
        if name in at.pod.requests and amount > at.room.get(name, 0):
            own = _sum(pod for pod in pods if pod.scheduler == ours)[name]
            text = (
                f"{at.pod.title} bound to node {at.pod.node}: {name} {_shown(amount)} held "
                f"({_shown(own)} by ours) of {_shown(at.room.get(name, 0))}"
            )
            yield Violation("INV1", at.revision, text)


def _sum(pods: Iterable[PodVersion]) -> Counter[str]:
    total: Counter[str] = Counter()
    for pod in pods:
        total.update(pod.requests)
    return total


def _shown(amount: int) -> str:
    whole, rest = divmod(amount, UNIT)
    return str(whole) if not rest else f"{amount / UNIT:.3f}"

"""Nodes whose kubelet turned a pod down: its replacement is not sent to the same node again at once.

A kubelet refuses what its scheduler thought would fit: a device is gone, something that no API object shows
holds the room. The API's view stays as it was, so without memory the next pod goes there too, and is refused.
Each refusal in a row keeps the gang, or what made the pod, away from that node for twice as long.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

from scheduler.gangs.words import maker
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.objects import Pod

FIRST_S: Final = 10.0
LONGEST_S: Final = 600.0
#: Pairs of a gang and a node remembered; the oldest are forgotten beyond.
KEPT_MAX: Final = 10_000
#: ``status.reason`` of pods that a kubelet did not admit (kubernetes/kubernetes pkg/kubelet/lifecycle and
#: pkg/kubelet/cm), beside ``OutOfcpu`` and the like.
_REASONS: Final = frozenset(
    {"UnexpectedAdmissionError", "TopologyAffinityError", "NodeAffinity", "NodeShutdown", "InvalidNodeInfo"}
)
#: Whose pods are kept away: a gang, or what makes pods that each start by themselves.
Whose = GangKey | tuple[str, str]


@dataclass(slots=True)
class _Refusal:
    count: int
    last_uid: str
    until_s: float


class Refusals:
    """A store over what is seen of pods. Times are the API server's, as pods tell them."""

    def __init__(self) -> None:
        self._found: dict[tuple[Whose, str], _Refusal] = {}
        self._nodes: dict[Whose, dict[str, None]] = {}
        #: What was given out last, beside the view that it was made of.
        self._told: dict[GangKey, tuple[PendingGang, PendingGang]] = {}

    def saw(self, key: GangKey, pod: Pod) -> None:
        """A version of a pod of ours."""
        whose = _whose(key, pod) if is_refused(pod) else None
        if whose is None:
            return
        known = self._found.pop((whose, pod.node_name), _Refusal(0, "", 0.0))
        if known.last_uid != pod.uid:
            at_s = max(pod.created_s, pod.started_s or 0.0, pod.ended_s)
            wait_s = min(LONGEST_S, FIRST_S * 2.0 ** min(known.count, 10))
            known = _Refusal(known.count + 1, pod.uid, max(known.until_s, at_s + wait_s))
        self._found[(whose, pod.node_name)] = known
        self._nodes.setdefault(whose, {})[pod.node_name] = None
        if len(self._found) > KEPT_MAX:
            self._drop(next(iter(self._found)))

    def node_changed(self, name: str) -> None:
        """The node has other devices, other room, or is another one: what was refused may be taken now."""
        for pair in [pair for pair in self._found if pair[1] == name]:
            self._drop(pair)

    def avoided(self, key: GangKey, pod: Pod, at_s: float) -> tuple[str, ...]:
        """Nodes where pods like this one are not to go at ``at_s``, sorted."""
        whose = _whose(key, pod)
        nodes = self._nodes.get(whose, ()) if whose is not None else ()
        return tuple(sorted(name for name in nodes if self._until_s(whose, name) > at_s))

    def kept_away(self, gangs: Iterable[PendingGang], at_s: float) -> tuple[PendingGang, ...]:
        """The gangs as they are to be planned at ``at_s``; one that nothing changed for is the same value."""
        if self._found:
            self._expire(at_s)
        if not self._found:
            self._told.clear()
            return tuple(gangs)
        told: dict[GangKey, tuple[PendingGang, PendingGang]] = {}
        found: list[PendingGang] = []
        for view in gangs:
            avoided = self.avoided(view.key, view.roles[0].pods[0], at_s) if view.roles else ()
            if avoided:
                known = self._told.get(view.key)
                is_same = known is not None and known[0] is view and known[1].avoided == avoided
                told[view.key] = known if known is not None and is_same else (view, self._away(view, avoided))
            found.append(told[view.key][1] if avoided else view)
        self._told = told
        return tuple(found)

    def _away(self, view: PendingGang, avoided: tuple[str, ...]) -> PendingGang:
        whose = _whose(view.key, view.roles[0].pods[0])
        is_once = whose is not None and all(self._found[(whose, node)].count == 1 for node in avoided)
        return replace(view, avoided=avoided, is_turned_down_once=is_once)

    def _expire(self, at_s: float) -> None:
        """Forget what is long over; what came again soon after counts as in a row."""
        for pair in [p for p, found in self._found.items() if found.until_s + LONGEST_S < at_s]:
            self._drop(pair)

    def _until_s(self, whose: Whose | None, node: str) -> float:
        return 0.0 if whose is None else self._found[(whose, node)].until_s

    def _drop(self, pair: tuple[Whose, str]) -> None:
        del self._found[pair]
        whose, node = pair
        del self._nodes[whose][node]
        if not self._nodes[whose]:
            del self._nodes[whose]


def is_refused(pod: Pod) -> bool:
    """Whether a kubelet did not admit it."""
    if pod.phase != "Failed" or not pod.node_name:
        return False
    return pod.reason.startswith("OutOf") or pod.reason in _REASONS


def _whose(key: GangKey, pod: Pod) -> Whose | None:
    if not key.is_single:
        return key
    made_by = maker(pod)
    return (pod.namespace, made_by) if made_by else None

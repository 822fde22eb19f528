"""What nodes have of what device plugins offer, and do not allocate now: a restart takes nothing away.

Two that know: the kubelet, whose capacity counts the devices of a plugin that is gone for five minutes, and
those that its plugin calls ill for ever (``endpointStopGracePeriod`` and ``GetCapacity`` of its device
manager); and, where the kubelet itself began anew and counts nothing, what was allocated until a while ago.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Final

from scheduler.model.objects import Node

#: As long as a kubelet counts the devices of a plugin that is gone.
REMEMBERED_S: Final = 300.0


@dataclass(slots=True)
class _Seen:
    """Of one node. taken: by resource, what it allocated, and until when in seconds since the epoch."""

    uid: str
    offers: Mapping[str, int]
    capacity: Mapping[str, int]
    taken: dict[str, tuple[int, float]] = field(default_factory=dict)


class Offers:
    """Nodes as they come: O(resources) a change; reading costs the nodes that lack something."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._seen: dict[str, _Seen] = {}
        #: Nodes of which something is known that they do not allocate; in the order in which that began.
        self._short: dict[str, None] = {}

    def see(self, node: Node) -> None:
        """A node as observed."""
        offers = {name: amount for name, amount in node.allocatable.items() if "/" in name}
        before = self._seen.get(node.name)
        taken = {} if before is None or before.uid != node.uid else before.taken
        for name, amount in before.offers.items() if before is not None and before.uid == node.uid else ():
            if offers.get(name, 0) < amount:
                taken[name] = (max(amount, taken.get(name, (0, 0.0))[0]), self._now_s)
        taken = {name: one for name, one in taken.items() if offers.get(name, 0) < one[0]}
        self._seen[node.name] = _Seen(node.uid, offers, node.capacity, taken)
        if taken or node.capacity:
            self._short[node.name] = None
        else:
            self._short.pop(node.name, None)

    def gone(self, name: str) -> None:
        self._seen.pop(name, None)
        self._short.pop(name, None)

    def at(self, now_s: float) -> bool:
        """Time passes; whether something was allocated too long ago to be counted any more."""
        self._now_s = now_s
        is_over = False
        for name in list(self._short):
            seen = self._seen[name]
            kept = {key: one for key, one in seen.taken.items() if now_s < one[1] + REMEMBERED_S}
            is_over |= len(kept) < len(seen.taken)
            seen.taken = kept
            if not kept and not seen.capacity:
                del self._short[name]
        return is_over

    def _told(self) -> Iterator[tuple[str, str, int]]:
        """Node, resource, and how many it has by who knows of more than it allocates."""
        for name in self._short:
            seen = self._seen[name]
            for resource, amount in seen.capacity.items():
                yield name, resource, amount
            for resource, (amount, _) in seen.taken.items():
                yield name, resource, amount

    def withheld(self, rows: Mapping[str, int]) -> dict[str, dict[int, int]]:
        """By resource and row of the node, how many it has by who knows of more than it allocates."""
        found: dict[str, dict[int, int]] = {}
        for name, resource, amount in self._told():
            if name in rows:
                by_row = found.setdefault(resource, {})
                by_row[rows[name]] = max(amount, by_row.get(rows[name], 0))
        return found

"""Which nodes to cordon for repeated device outages, and when to lift that. Pure.

Everything is decided from what the API server holds: the outages that agents wrote, and two labels on
the node. So a new leader decides as the former one did, and nobody is cordoned twice for the same outages.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Literal

from scheduler.model.devices import CordonPolicy, Inventory
from scheduler.model.objects import Node

#: On a node that stowplan cordoned: when, in whole seconds since the epoch.
CORDONED: Final = "stowplan.dev/cordoned"
#: Outages that began until then count no more: an admin or the clean period has lifted a cordon.
FORGIVEN: Final = "stowplan.dev/forgiven"
_DIGITS_MAX = 11
#: Clocks of nodes are trusted to about this much.
_AHEAD_S_MAX = 30.0

Move = Literal["cordon", "lift", "forgive"]


@dataclass(frozen=True, slots=True, kw_only=True)
class CordonStep:
    """One write to a node. forgive: an admin has uncordoned it, and its outages until now count no more."""

    node: Node
    move: Move
    why: str


def cordon_steps(
    nodes: Iterable[Node], inventories: Mapping[str, Inventory], policy: CordonPolicy, now_s: float
) -> list[CordonStep]:
    """What is due now, the nodes with most outages first; none of it depends on earlier calls.

    A node is cordoned only while all of this is so: its agent's report is fresh and ready, at least one of
    its devices is in a fatal outage at this moment, and ``policy.offences`` fatal outages began on it within
    ``policy.window_s``. A report that is old, missing or of the future proves nothing.
    """
    steps: list[CordonStep] = []
    sick: list[tuple[int, Node]] = []
    cordoned = 0
    for node in nodes:
        inventory = inventories.get(node.name)
        if _stamp(node, CORDONED) is not None:
            cordoned += node.is_unschedulable
            steps += _over(node, inventory, policy, now_s)
        elif not node.is_unschedulable and inventory is not None:
            count = _proven(node, inventory, policy, now_s)
            if count >= policy.offences:
                sick.append((count, node))
    left = max(1, len(inventories) * policy.nodes_max_percent // 100) - cordoned
    sick.sort(key=lambda pair: (-pair[0], pair[1].name))
    return steps + [
        CordonStep(node=node, move="cordon", why=_why(count, policy)) for count, node in sick[: max(0, left)]
    ]


def _over(node: Node, inventory: Inventory | None, policy: CordonPolicy, now_s: float) -> list[CordonStep]:
    """The end of a cordon of ours: an admin ended it, or all devices have been well for long enough."""
    if not node.is_unschedulable:
        return [
            CordonStep(node=node, move="forgive", why="uncordoned by hand: earlier outages count no more")
        ]
    if not policy.lift_s or inventory is None or not inventory.is_fresh(now_s):
        return []
    if not inventory.slots or any(slot.fatal_s is not None for slot in inventory.slots):
        return []
    last_s = max((_stamp(node, CORDONED) or 0, *inventory.offences_s))
    if now_s - last_s < policy.lift_s:
        return []
    why = f"no device was in a fatal outage for {policy.lift_s:.0f} s"
    return [CordonStep(node=node, move="lift", why=why)]


def _proven(node: Node, inventory: Inventory, policy: CordonPolicy, now_s: float) -> int:
    """How many outages count, 0 where the node cannot be shown to be sick now."""
    is_sick = any(slot.fatal_s is not None for slot in inventory.slots)
    if not is_sick or not inventory.is_fresh(now_s):
        return 0
    since_s = max(now_s - policy.window_s, _stamp(node, FORGIVEN) or 0.0)
    return sum(since_s < at_s <= now_s + _AHEAD_S_MAX for at_s in inventory.offences_s)


def _why(count: int, policy: CordonPolicy) -> str:
    hours = policy.window_s / 3600
    return (
        f"{count} fatal device outages within {hours:g} h, where the policy tolerates {policy.offences - 1}"
    )


def _stamp(node: Node, label: str) -> int | None:
    text = node.labels.get(label, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= _DIGITS_MAX else None

"""Nodes: labels, taints and allocatable amounts, in the planner's units."""

from __future__ import annotations

from itertools import islice

from scheduler.kube import wire
from scheduler.model.objects import PODS, Node, Rejected
from scheduler.model.selection import Taint
from scheduler.parse.quantity import AMOUNT_MAX, MILLI, ceil_to, read_nanos
from scheduler.parse.refusal import reject, shown
from scheduler.parse.requests import thousandths_of
from scheduler.parse.shape import EFFECTS

TAINTS_MAX = 256
RESOURCES_MAX = 256
FEATURES_MAX = 1_000


def parse_node(found: wire.Node) -> Node | Rejected:
    """The node, or why nothing must be planned onto it. Never raises.

    A resource whose amount cannot be read, or is negative, counts as absent: it fails closed.
    Amounts above ``AMOUNT_MAX`` count as that.
    """
    taints: list[Taint] = []
    sent = found.spec.taints or ()
    if len(sent) > TAINTS_MAX:
        return reject("spec.taints", f"more than {TAINTS_MAX} taints")
    for taint in sent:
        effect = EFFECTS.get(taint.effect)
        if effect is None:
            return reject("spec.taints", f"effect {shown(taint.effect)} is unknown: use {', '.join(EFFECTS)}")
        taints.append(Taint(key=taint.key, value=taint.value, effect=effect))
    allocatable = found.status.allocatable or {}
    if len(allocatable) > RESOURCES_MAX:
        return reject("status.allocatable", f"more than {RESOURCES_MAX} resources")
    amounts = {name: _amount(name, value) for name, value in allocatable.items()}
    capacity = dict(islice((found.status.capacity or {}).items(), RESOURCES_MAX))
    counted = {name: _amount(name, value) for name, value in capacity.items() if "/" in name}
    return Node(
        name=found.metadata.name,
        uid=found.metadata.uid,
        resource_version=found.metadata.resource_version,
        labels=dict(found.metadata.labels or {}),
        taints=tuple(taints),
        is_unschedulable=bool(found.spec.unschedulable),
        allocatable={PODS: 0} | {name: amount for name, amount in amounts.items() if amount},
        features=frozenset((found.status.declared_features or ())[:FEATURES_MAX]),
        capacity={name: amount for name, amount in counted.items() if amount > amounts.get(name, 0)},
    )


def _amount(name: str, value: wire.Quantity) -> int:
    nanos = read_nanos(value)
    if isinstance(nanos, Rejected):
        return 0
    return max(0, min(AMOUNT_MAX, ceil_to(nanos, MILLI * thousandths_of(name))))

"""A kubelet's arithmetic: what a pod asks of its node, and whether the node still has it.

Written from the kubelet's rules and independent of ``scheduler.parse`` on purpose: a slip in one of
the two shows as a rejected pod instead of being agreed upon.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import ROUND_CEILING, Context, Decimal

from deploy.local.nodes.wire import Container, NodePod

CPU = "cpu"
PODS = "pods"

#: The API's own bound on a quantity is 2^63 - 1 with three decimals; past 10^40 no int is built.
_DIGITS_MAX = 40
_LENGTH_MAX = 64
_CONTEXT = Context(prec=2 * _LENGTH_MAX, rounding=ROUND_CEILING)
_QUANTITY = re.compile(r"([+-]?(?:\d+\.?\d*|\.\d+))(?:([numkMGTPE]|[KMGTPE]i)|[eE]([+-]?\d{1,4}))?", re.ASCII)
_SUFFIX = {
    "n": Decimal("1e-9"),
    "u": Decimal("1e-6"),
    "m": Decimal("1e-3"),
    **{letter: Decimal(1000) ** power for power, letter in enumerate("kMGTPE", 1)},
    **{f"{letter}i": Decimal(1024) ** power for power, letter in enumerate("KMGTPE", 1)},
}


class BadQuantity(ValueError):
    """A quantity that is not one, or too large to be meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Denied:
    """A kubelet's refusal, in the words of its pod status."""

    reason: str
    message: str


def amount(quantity: str | int | float, resource: str) -> int:
    """A quantity as an exact integer, rounded up: milli for ``cpu``, the unit itself for the rest.

    Raises BadQuantity.
    """
    text = str(quantity)
    match = _QUANTITY.fullmatch(text) if len(text) <= _LENGTH_MAX else None
    if match is None:
        raise BadQuantity(f"{text[:_LENGTH_MAX]!r} is not a quantity")
    number, suffix, exponent = match.groups()
    value = _CONTEXT.multiply(Decimal(number), _SUFFIX.get(suffix, Decimal(1)))
    value = _CONTEXT.scaleb(value, int(exponent or 0) + (3 if resource == CPU else 0))
    if value.adjusted() >= _DIGITS_MAX:
        raise BadQuantity(f"{text!r} is larger than any node")
    return int(value.to_integral_value(rounding=ROUND_CEILING))


def pod_requests(pod: NodePod) -> dict[str, int]:
    """What the pod asks for, resource by resource, amounts above 0, and ``pods``: 1.

    Containers add up. An init container runs alone, beside the sidecars started before it; a sidecar
    (an init container with restart policy Always) runs to the end. Pod-level requests replace the
    sum for the resources they name; overhead comes on top
    (k8s.io/component-helpers/resource/helpers.go, PodRequests). Raises BadQuantity.
    """
    spec = pod.spec
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for container in spec.init_containers:
        asked = _sum((sidecars, _requests(container)))
        if container.restart_policy == "Always":
            sidecars = asked
        else:
            peak = _most(peak, asked)
    total = _most(peak, _sum((sidecars, *map(_requests, spec.containers))))
    total |= _amounts(spec.resources.requests)
    total = _sum((total, _amounts(spec.overhead)))
    return {resource: value for resource, value in total.items() if value > 0} | {PODS: 1}


def denial(
    allocatable: Mapping[str, int], used: Mapping[str, int], requests: Mapping[str, int]
) -> Denied | None:
    """Why the kubelet refuses, or None if everything fits beside what is in use.

    The first resource short is named, in the kubelet's order: pods, cpu, memory, then the rest
    (pkg/kubelet/lifecycle/predicate.go, InsufficientResourceError).
    """
    for resource in sorted(requests, key=_kubelet_order):
        asked, taken, capacity = requests[resource], used.get(resource, 0), allocatable.get(resource, 0)
        if asked > 0 and asked + taken > capacity:
            detail = f"requested: {asked}, used: {taken}, capacity: {capacity}"
            message = f"Pod was rejected: Node didn't have enough resource: {resource}, {detail}"
            return Denied(reason=f"OutOf{resource}", message=message)
    return None


@dataclass(slots=True)
class Ledger:
    """What one node has given out, pod by pod. Never more than ``allocatable`` through ``admit``."""

    allocatable: Mapping[str, int]
    used: dict[str, int] = field(default_factory=dict)
    _held: dict[str, Mapping[str, int]] = field(default_factory=dict)

    def admit(self, uid: str, requests: Mapping[str, int]) -> Denied | None:
        """Take the requests for the pod, or say why not. A pod that holds already keeps what it holds."""
        if uid in self._held:
            return None
        denied = denial(self.allocatable, self.used, requests)
        if denied is None:
            self.restore(uid, requests)
        return denied

    def restore(self, uid: str, requests: Mapping[str, int]) -> None:
        """Count a pod that ran before this actor started, without asking whether it fits."""
        if uid not in self._held:
            self._held[uid] = requests
            self.used = _sum((self.used, requests))

    def release(self, uid: str) -> None:
        """Give back what the pod held, if it held anything."""
        for resource, value in self._held.pop(uid, {}).items():
            self.used[resource] -= value

    def __len__(self) -> int:
        return len(self._held)


def _kubelet_order(resource: str) -> tuple[int, str]:
    order = {PODS: 0, CPU: 1, "memory": 2}
    return order.get(resource, len(order)), resource


def _requests(container: Container) -> dict[str, int]:
    return _amounts(container.resources.requests)


def _amounts(quantities: Mapping[str, str | int | float]) -> dict[str, int]:
    return {resource: amount(quantity, resource) for resource, quantity in quantities.items()}


def _sum(parts: Iterable[Mapping[str, int]]) -> dict[str, int]:
    total: dict[str, int] = {}
    for part in parts:
        for resource, value in part.items():
            total[resource] = total.get(resource, 0) + value
    return total


def _most(left: Mapping[str, int], right: Mapping[str, int]) -> dict[str, int]:
    return {
        resource: max(left.get(resource, 0), right.get(resource, 0))
        for resource in left.keys() | right.keys()
    }

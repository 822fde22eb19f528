"""What a pod asks of a node in all, added up as the kubelet and kube-scheduler do.

Source: ``component-helpers/resource/helpers.go`` (PodRequests, 1.37; KEP-753 for sidecars, KEP-2837 for
pod-level resources) and the API server's defaults in ``pkg/apis/core/v1/defaults.go``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from scheduler.kube import wire
from scheduler.model.objects import CPU, MEMORY, PODS, Rejected
from scheduler.parse.quantity import AMOUNT_MAX, MILLI, ceil_to, read_nanos
from scheduler.parse.refusal import reject, shown
from scheduler.parse.resize import Granted

Requests = tuple[tuple[str, int], ...]

#: Whole devices of which no node has more; a pod that asks for more is a mistake.
DEVICES = frozenset(
    {"nvidia.com/gpu", "amd.com/gpu", "gpu.intel.com/i915", "gpu.intel.com/xe", "habana.ai/gaudi"}
)
DEVICES_MAX = 16
RESOURCES_MAX = 32
CONTAINERS_MAX = 128
NAME_MAX = 317
THOUSAND = 1_000

_EPHEMERAL_STORAGE = "ephemeral-storage"
_HUGE_PAGES = "hugepages-"
_ATTACHABLE = "attachable-volumes-"


class Adder:
    """Adds one pod's amounts in thousandths and keeps the first fault, so that a faulty pod still counts."""

    def __init__(self) -> None:
        self.fault: Rejected | None = None

    def reject(self, field: str, problem: str) -> None:
        self.fault = self.fault or reject(field, problem)

    def amounts(self, field: str, quantities: Mapping[str, wire.Quantity] | None) -> dict[str, int]:
        """Thousandths by resource that schedulers count; what cannot be read counts as nothing.

        Each amount is rounded up to a thousandth, as the API server does before it stores it.
        """
        if not quantities:
            return {}
        found: dict[str, int] = {}
        for name, value in quantities.items():
            nanos = read_nanos(value)
            if isinstance(nanos, Rejected):
                self.fault = self.fault or reject(f"{field}[{shown(name)}]", nanos.reason)
            elif nanos < 0:
                self.reject(f"{field}[{shown(name)}]", f"{shown(value)} is negative: use 0 or more")
            elif is_counted(name):
                found[name] = ceil_to(nanos, MILLI)
        return found

    def container(self, field: str, container: wire.Container) -> dict[str, int]:
        """The container's requests; a limit stands in where no request is given."""
        resources = container.resources
        if resources is None:
            return {}
        if resources.claims:
            self.reject(f"{field}.resources.claims", "stowplan does not place resource claims (DRA) yet")
        requests = self.amounts(f"{field}.resources.requests", resources.requests)
        if not resources.limits:
            return requests
        limits = self.amounts(f"{field}.resources.limits", resources.limits)
        for name, limit in limits.items():
            if requests.get(name, limit) != limit and not is_overcommittable(name):
                told = f"request and limit of {shown(name)} differ: make them equal"
                self.reject(f"{field}.resources", told)
        return limits | requests


@dataclass(frozen=True, slots=True, kw_only=True)
class Asking:
    """All of a pod that says what it asks for. granted: what it holds, where its spec does not say that."""

    containers: Sequence[wire.Container]
    init_containers: Sequence[wire.Container]
    overhead: Mapping[str, wire.Quantity] | None = None
    pod_level: wire.Resources | None = None
    granted: Granted | None = None


#: What one container counts for; the field is for the words of a refusal.
Counted = Callable[[str, wire.Container], dict[str, int]]


def add_up(asking: Asking) -> tuple[Requests, Rejected | None]:
    """The pod's requests in units of ``Shape.requests``, and what is wrong with them, if anything.

    The requests are always usable: a fault leaves out what cannot be read and caps what is absurd.
    """
    adder = Adder()
    total = _in_all(adder, asking, adder.container)
    if asking.granted is not None:
        total = _held(adder, asking, asking.granted, total)
    _override(adder, total, asking.pod_level, asking.granted)
    _add(total, adder.amounts("spec.overhead", asking.overhead))
    return _settled(adder, total), adder.fault


def _in_all(adder: Adder, asking: Asking, counted: Counted) -> dict[str, int]:
    total: dict[str, int] = {}
    for i, container in enumerate(asking.containers):
        _add(total, counted(f"spec.containers[{i}]", container))
    _start_up(total, asking.init_containers, counted)
    return total


def _held(adder: Adder, asking: Asking, granted: Granted, spec: dict[str, int]) -> dict[str, int]:
    """The most of what is wished, allocated and in force; a wish that the node refused does not count."""

    def allocated(field: str, container: wire.Container) -> dict[str, int]:
        told = granted.allocated.get(container.name)
        if told is not None:
            return adder.amounts("status.containerStatuses.allocatedResources", told)
        return {} if granted.is_infeasible else adder.container(field, container)

    def actuated(field: str, container: wire.Container) -> dict[str, int]:
        told = granted.actuated.get(container.name)
        if told is not None:
            return adder.amounts("status.containerStatuses.resources.requests", told)
        return allocated(field, container)

    held = {} if granted.is_infeasible else dict(spec)
    if granted.total_allocated is not None and granted.total_actuated is not None:
        _raise(held, adder.amounts("status.resources.requests", granted.total_actuated))
        _raise(held, adder.amounts("status.allocatedResources", granted.total_allocated))
    else:
        _raise(held, _in_all(adder, asking, actuated))
        _raise(held, _in_all(adder, asking, allocated))
    return held


def is_counted(name: str) -> bool:
    """Whether kube-scheduler counts the resource (``schedutil.IsScalarResourceName`` and the native four)."""
    return (
        name in (CPU, MEMORY, _EPHEMERAL_STORAGE)
        or "/" in name
        or name.startswith((_HUGE_PAGES, _ATTACHABLE))
    )


def is_overcommittable(name: str) -> bool:
    """Whether limits may exceed requests (``helper.IsOvercommitAllowed``)."""
    is_native = "/" not in name or "kubernetes.io/" in name
    return is_native and not name.startswith(_HUGE_PAGES)


def is_pod_level(name: str) -> bool:
    """Whether the resource may be set for the pod as a whole."""
    return name in (CPU, MEMORY) or name.startswith(_HUGE_PAGES)


def thousandths_of(name: str) -> int:
    """Thousandths in one unit of ``Shape.requests``."""
    return 1 if name == CPU else THOUSAND


def _start_up(total: dict[str, int], init_containers: Sequence[wire.Container], counted: Counted) -> None:
    """Raise the total to the largest need while starting: sidecars so far plus one init container."""
    sidecars: dict[str, int] = {}
    peak: dict[str, int] = {}
    for i, container in enumerate(init_containers):
        own = counted(f"spec.initContainers[{i}]", container)
        if container.restart_policy == "Always":
            _add(total, own)
            _add(sidecars, own)
        else:
            together = dict(sidecars)
            _add(together, own)
            _raise(peak, together)
    _raise(total, peak)


def _override(
    adder: Adder, total: dict[str, int], pod_level: wire.Resources | None, granted: Granted | None
) -> None:
    """Pod-level resources replace the sum; a pod-level limit stands in where nothing is requested."""
    if pod_level is None:
        return
    if pod_level.claims:
        adder.reject("spec.resources.claims", "stowplan does not place resource claims (DRA) yet")
    requests = adder.amounts("spec.resources.requests", pod_level.requests)
    limits = adder.amounts("spec.resources.limits", pod_level.limits)
    held = requests
    if granted is not None and granted.has_total and any(is_pod_level(name) for name in requests):
        held = {} if granted.is_infeasible else dict(requests)
        _raise(held, adder.amounts("status.resources.requests", granted.total_actuated))
        _raise(held, adder.amounts("status.allocatedResources", granted.total_allocated))
    for name, amount in held.items():
        if is_pod_level(name):
            total[name] = amount
    for name, amount in limits.items():
        if is_pod_level(name) and name not in requests:
            total.setdefault(name, amount)


def _settled(adder: Adder, total: Mapping[str, int]) -> Requests:
    """Sorted amounts > 0 in their units, bounded, with the pod itself."""
    if len(total) > RESOURCES_MAX:
        adder.reject("spec.containers", f"{len(total)} different resources: ask for at most {RESOURCES_MAX}")
    settled = {PODS: 1}
    for name, amount in total.items():
        if not amount:
            continue
        if len(name) > NAME_MAX:
            adder.reject(
                "spec.containers", f"resource name {shown(name)} is longer than {NAME_MAX} characters"
            )
            continue
        settled[name] = min(AMOUNT_MAX, ceil_to(amount, thousandths_of(name)))
        _check(adder, name, amount)
    return tuple(sorted(settled.items()))


def _check(adder: Adder, name: str, amount: int) -> None:
    total = f"spec.containers: {shown(name)} in all"
    if "/" in name and amount % THOUSAND:
        adder.reject(total, "is not whole: ask for whole units")
    if name in DEVICES and amount > DEVICES_MAX * THOUSAND:
        adder.reject(total, f"is more than {DEVICES_MAX}, the most one pod may ask: use more pods")
    if ceil_to(amount, thousandths_of(name)) > AMOUNT_MAX:
        adder.reject(total, "is more than any node has: ask for less")


def _add(total: dict[str, int], more: Mapping[str, int]) -> None:
    for name, amount in more.items():
        total[name] = total.get(name, 0) + amount


def _raise(total: dict[str, int], floor: Mapping[str, int]) -> None:
    for name, amount in floor.items():
        if amount > total.get(name, 0):
            total[name] = amount

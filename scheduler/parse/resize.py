"""What the kubelet says a pod on a node holds, where that is not what its spec asks (KEP-1287, KEP-5419).

While a pod is resized in place its spec says what is wished, its status what is allocated and what is in
force: the node is short of the most of them. Source: ``component-helpers/resource/helpers.go`` (1.37).
"""

from __future__ import annotations

from scheduler.kube import wire

Amounts = dict[str, wire.Quantity]


class Granted(wire.Wire, frozen=True, array_like=True):
    """allocated and actuated: by container, and of the pod as a whole where the kubelet adds them up.

    has_total: the kubelet tells ``status.resources``, so that pod-level requests are resized too.
    is_infeasible: the node refused the wish for good, so that it counts for nothing.
    """

    allocated: dict[str, Amounts]
    actuated: dict[str, Amounts]
    total_allocated: Amounts | None
    total_actuated: Amounts | None
    has_total: bool
    is_infeasible: bool


def granted(pod: wire.Pod) -> Granted | None:
    """None where the spec alone says what the pod holds, as of almost every pod."""
    spec, status = pod.spec, pod.status
    if not spec.node_name:
        return None
    is_infeasible = _is_infeasible(status)
    total = status.resources
    told = (*(status.container_statuses or ()), *(status.init_container_statuses or ()))
    if not is_infeasible and total is None and all(_is_plain(each) for each in told):
        return None
    asked = {c.name: _requests(c) for c in (*(spec.init_containers or ()), *(spec.containers or ()))}
    if not is_infeasible and total is None and all(_says(each, asked.get(each.name)) for each in told):
        return None
    first = {each.name: each for each in reversed(told)}.values()
    return Granted(
        allocated={s.name: s.allocated_resources for s in first if s.allocated_resources is not None},
        actuated={
            s.name: s.resources.requests
            for s in first
            if s.resources is not None and s.resources.requests is not None
        },
        total_allocated=status.allocated_resources,
        total_actuated=None if total is None else total.requests,
        has_total=total is not None,
        is_infeasible=is_infeasible,
    )


def _is_infeasible(status: wire.PodStatus) -> bool:
    for condition in status.conditions or ():
        if condition.type == "PodResizePending":
            return condition.reason == "Infeasible"
    return False


def _is_plain(status: wire.ContainerStatus) -> bool:
    return status.allocated_resources is None and status.resources is None


def _says(status: wire.ContainerStatus, asked: Amounts | None) -> bool:
    """Whether the status repeats the spec, to the letter."""
    actuated = None if status.resources is None else status.resources.requests
    return status.allocated_resources in (None, asked) and actuated in (None, asked)


def _requests(container: wire.Container) -> Amounts | None:
    return None if container.resources is None else container.resources.requests

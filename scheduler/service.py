"""How much service a gang has had and how much it has left, from what its pods say.

``stowplan.dev/estimate-seconds`` is how long its owner expects it to run in all, and
``stowplan.dev/attained-seconds`` how much of that its earlier lives have done: a controller that restarts
from a checkpoint writes it. Both are claims of a tenant: they order the gangs of one priority and decide
nothing else.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from scheduler.model.objects import GPU, Pod
from scheduler.model.plan import Ordering

ESTIMATE = "stowplan.dev/estimate-seconds"
ATTAINED = "stowplan.dev/attained-seconds"
SECONDS_MAX = 1e10
#: Least-service order compares classes of service, each twice the one before: without classes, two equal
#: gangs would take each other's place for ever (the discretised queues of Tiresias, NSDI 2019).
CLASS_GPU_S = 3_600.0


def rank(order: Ordering, pods: Sequence[Pod], at_s: float) -> float:
    """The place of a gang in an order, lower first; infinity for a gang without the estimate it takes.

    at_s: now, on the clock that pods were started by. Service is GPUs times seconds; a gang without GPUs
    counts as one.
    """
    if order == "oldest" or not pods:
        return 0.0
    gpus = max(1, sum(amount for pod in pods for name, amount in pod.shape.requests if name == GPU))
    attained_s = seconds(pods[0], ATTAINED) or 0.0
    since_s = max((pod.started_s for pod in pods if pod.started_s is not None), default=None)
    if since_s is not None:
        attained_s += max(0.0, at_s - since_s)
    if order == "least-service":
        return math.floor(math.log2(1.0 + gpus * attained_s / CLASS_GPU_S))
    estimate_s = seconds(pods[0], ESTIMATE)
    if estimate_s is None:
        return math.inf
    left_s = max(0.0, estimate_s - attained_s)
    return left_s if order == "shortest-time" else left_s * gpus


def seconds(pod: Pod, key: str) -> float | None:
    """The annotation as seconds; None where it is absent or no time. Total."""
    for name, value in pod.annotations:
        if name == key:
            try:
                found = float(value)
            except ValueError:
                return None
            return found if 0.0 <= found <= SECONDS_MAX else None
    return None

"""Whose pods spread where nothing is written: kube-scheduler's ``defaultConstraints`` of topology spread.

Source: ``plugins/podtopologyspread/plugin.go`` (systemDefaultConstraints) and ``plugins/helper/spread.go``
(1.37). There the pods counted are those that the controller's selector and the Services' select; here they
are those of the same controller: Services are not read. Pods that ask for devices are packed, not spread:
nodes with some devices left over are of no use to the next large gang.
"""

from __future__ import annotations

from collections.abc import Iterable

from scheduler.model.gang import PendingGang
from scheduler.model.objects import Pod

#: (API group and version, kind) of the controllers whose selectors kube-scheduler reads.
CONTROLLERS = frozenset(
    {("v1", "ReplicationController"), ("apps/v1", "ReplicaSet"), ("apps/v1", "StatefulSet")}
)


def spread_by(pod: Pod) -> str:
    """The UID of the controller over whose pods this one spreads by default, or empty."""
    owner, shape = pod.owner, pod.shape
    if owner is None or (owner.api_version, owner.kind) not in CONTROLLERS:
        return ""
    asks_devices = shape.ask is not None or any("/" in name for name, _ in shape.requests)
    return "" if shape.spread or asks_devices else owner.uid


def spreading(gangs: Iterable[PendingGang]) -> dict[str, None]:
    """The controllers of waiting pods that spread by default."""
    firsts = [gang.roles[0].pods[0] for gang in gangs if gang.roles]
    return dict.fromkeys(spread_by(pod) for pod in firsts if pod.owner is not None)

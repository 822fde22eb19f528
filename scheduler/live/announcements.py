"""What pods' owners are told, as API bodies: the PodScheduled condition, a victim's condition, and Events.

The reasons are an interface: autoscalers, dashboards and people's scripts match on them. They are
listed with their meaning in docs/reference/reasons.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Literal, Protocol

import msgspec

from scheduler.live.logs import printable
from scheduler.model.plan import Reason
from scheduler.model.written import EVICTED

#: The API server's limit on an Event's note, in bytes.
NOTE_BYTES_MAX = 1024
MESSAGE_MAX = 1024
_NAME_MAX = 200

#: Reason of the condition PodScheduled=False. Cluster autoscalers add nodes for ``Unschedulable``
#: and for nothing else; on new nodes a refused pod, one whose gang is not complete, or one that its team's
#: quota keeps back, would not be scheduled either.
CONDITION_REASONS: dict[Reason, str] = {
    "Rejected": "Rejected",
    "Waiting": "Waiting",
    "QuotaExceeded": "QuotaExceeded",
    "WaitingForVictims": "WaitingForVictims",
    "WaitingForNodes": "WaitingForNodes",
    "WaitingForVolumes": "WaitingForVolumes",
    "Unschedulable": "Unschedulable",
    "NeverFits": "Unschedulable",
    "Unproven": "Unschedulable",
}
#: Reason of the Event; ``FailedScheduling`` is kube-scheduler's own word.
EVENT_REASONS: dict[Reason, str] = {
    "Rejected": "Rejected",
    "Waiting": "WaitingForMembers",
    "QuotaExceeded": "QuotaExceeded",
    "WaitingForVictims": "WaitingForVictims",
    "WaitingForNodes": "WaitingForNodes",
    "WaitingForVolumes": "WaitingForVolumes",
    "Unschedulable": "FailedScheduling",
    "NeverFits": "NeverFits",
    "Unproven": "FailedScheduling",
}


#: Its reason: the rule by which it leaves.
VictimReason = Literal["Preempted", "Reclaimed", "TakenBack"]


class PodRef(Protocol):
    """What it takes to name a pod; ``scheduler.model.objects.Pod`` is one."""

    @property
    def namespace(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def uid(self) -> str: ...
    @property
    def resource_version(self) -> str: ...


class Condition(msgspec.Struct, frozen=True, eq=False, gc=False):
    """PodScheduled=False as a pod carries it. Equal where the same is written, whatever the verdict."""

    reason: str
    message: str
    #: The verdict behind it, finer than the reason; unknown for one that another process wrote.
    verdict: Reason | None = None
    #: The node where room is held for the pod: its status.nominatedNodeName.
    nominated: str = ""

    def held_at(self, node: str) -> Condition:
        """The same, with room held on a node."""
        return msgspec.structs.replace(self, nominated=node)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Condition) and self._written == other._written

    def __hash__(self) -> int:
        return hash(self._written)

    @property
    def _written(self) -> tuple[str, str, str]:
        return self.reason, self.message, self.nominated

    @classmethod
    def of(cls, verdict: Reason, message: str, nominated: str = "") -> Condition:
        return cls(CONDITION_REASONS[verdict], printable(message, MESSAGE_MAX), verdict, nominated)


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One Event regarding one pod."""

    pod: PodRef
    reason: str
    note: str
    type: Literal["Normal", "Warning"]
    action: Literal["Scheduling", "Binding", "Evicting"]


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeEvent:
    """One Event regarding one node."""

    node: str
    reason: str
    note: str
    type: Literal["Normal", "Warning"]
    action: Literal["Comparing", "Cordoning"]


def condition_patch(
    pod: PodRef,
    condition: Condition,
    *,
    resource_version: str,
    since_s: float | None,
    withdraws_node: bool = False,
) -> bytes:
    """A strategic merge patch that applies only to this very pod in this very version.

    The version is what keeps it true: a pod that was bound meanwhile has another one. ``since_s``
    becomes the time of transition; None keeps the one the pod has. withdraws_node: the pod carries a
    nominated node, which is removed unless the condition names another.
    """
    told = {
        "type": "PodScheduled",
        "status": "False",
        "reason": condition.reason,
        "message": condition.message,
    }
    if since_s is not None:
        told["lastTransitionTime"] = _time(since_s, "seconds")
    status: dict[str, object] = {"conditions": [told]}
    if condition.nominated or withdraws_node:
        status["nominatedNodeName"] = condition.nominated or None
    return msgspec.json.encode(
        {
            "metadata": {"uid": pod.uid, "resourceVersion": resource_version},
            "status": status,
        }
    )


def victim_patch(pod: PodRef, reason: VictimReason, why: str, *, at_s: float) -> bytes:
    """A strategic merge patch that applies to this very pod only, in whatever version the pod is now."""
    told = {
        "type": EVICTED,
        "status": "True",
        "reason": reason,
        "message": printable(why, MESSAGE_MAX),
        "lastTransitionTime": _time(at_s, "seconds"),
    }
    return msgspec.json.encode({"metadata": {"uid": pod.uid}, "status": {"conditions": [told]}})


def event_body(event: Event, *, controller: str, instance: str, at_s: float, serial: int) -> bytes:
    """An events.k8s.io/v1 Event; ``serial`` tells apart those of the same pod and microsecond."""
    pod = event.pod
    regarding = {
        "apiVersion": "v1",
        "kind": "Pod",
        "namespace": pod.namespace,
        "name": pod.name,
        "uid": pod.uid,
    }
    return _event_body(event, pod.namespace, regarding, controller, instance, at_s, serial)


def node_event_body(event: NodeEvent, *, controller: str, instance: str, at_s: float, serial: int) -> bytes:
    """An events.k8s.io/v1 Event about a node, where the kubelet's own go: the namespace default."""
    regarding = {"apiVersion": "v1", "kind": "Node", "name": event.node, "uid": event.node}
    return _event_body(event, "default", regarding, controller, instance, at_s, serial)


def _event_body(
    event: Event | NodeEvent,
    namespace: str,
    regarding: dict[str, str],
    controller: str,
    instance: str,
    at_s: float,
    serial: int,
) -> bytes:
    name = regarding["name"][:_NAME_MAX].rstrip(".-")
    return msgspec.json.encode(
        {
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": {
                "name": f"{name}.{int(at_s * 1e6):x}{serial & 0xFFFF:04x}",
                "namespace": namespace,
            },
            "eventTime": _time(at_s, "microseconds"),
            "reportingController": controller[:128],
            "reportingInstance": instance[:128],
            "action": event.action,
            "reason": event.reason,
            "type": event.type,
            "note": _cut_bytes(printable(event.note, NOTE_BYTES_MAX), NOTE_BYTES_MAX),
            "regarding": regarding,
        }
    )


def _cut_bytes(text: str, limit: int) -> str:
    return text.encode("utf-8")[:limit].decode("utf-8", "ignore")


def _time(at_s: float, precision: Literal["seconds", "microseconds"]) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec=precision).replace("+00:00", "Z")

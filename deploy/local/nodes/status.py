"""Request bodies: the statuses a kubelet writes, the Node it registers, the Lease it renews."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

import msgspec

from deploy.local.nodes.instructions import MarkFinished, MarkRunning, Reject
from deploy.local.nodes.pools import NodeSpec, Taint
from deploy.local.nodes.wire import Metadata, NodePod, Wire

Json = dict[str, "Json"] | list["Json"] | str | int | float | bool | None

HOST_IP = "127.0.0.1"
NOT_READY_TAINT = "node.kubernetes.io/not-ready"
_encode = msgspec.json.encode


class NodeObject(Wire, frozen=True):
    """The part of a Node that registering again must keep."""

    class NodeObjectSpec(Wire, frozen=True):
        taints: tuple[Taint, ...] = ()

    metadata: Metadata
    spec: NodeObjectSpec = NodeObjectSpec()


def rejected(write: Reject) -> bytes:
    """``phase: Failed`` with the kubelet's reason and message."""
    status: dict[str, Json] = {"phase": "Failed", "reason": write.reason, "message": write.message}
    return _status(write.pod, status)


def running(write: MarkRunning) -> bytes:
    """``phase: Running``, ready, with the pod's address."""
    started = timestamp(write.started_s)
    state: Json = {"running": {"startedAt": started}}
    status: dict[str, Json] = {
        "phase": "Running",
        "hostIP": HOST_IP,
        "hostIPs": [{"ip": HOST_IP}],
        "podIP": write.ip,
        "podIPs": [{"ip": write.ip}],
        "startTime": write.pod.status.start_time or started,
        "conditions": _conditions("True", "", started),
        "containerStatuses": _containers(write.pod, state, is_ready=True, restarts=write.restarts),
    }
    return _status(write.pod, status)


def finished(write: MarkFinished) -> bytes:
    """``phase: Succeeded`` or ``Failed``, containers terminated with the exit code."""
    is_good = write.exit_code == 0
    ended = timestamp(write.finished_s)
    state: Json = {
        "terminated": {
            "exitCode": write.exit_code,
            "reason": "Completed" if is_good else "Error",
            "startedAt": timestamp(write.started_s),
            "finishedAt": ended,
        }
    }
    reason = "PodCompleted" if is_good else "PodFailed"
    status: dict[str, Json] = {
        "phase": "Succeeded" if is_good else "Failed",
        "conditions": _conditions("False", reason, ended),
        "containerStatuses": _containers(write.pod, state, is_ready=False, restarts=write.restarts),
    }
    return _status(write.pod, status)


def removal(pod: NodePod) -> bytes:
    """Delete options: at once, and only this very pod."""
    return _encode({"gracePeriodSeconds": 0, "preconditions": {"uid": pod.uid}})


def node(spec: NodeSpec, now_s: float) -> bytes:
    """The Node as a kubelet registers it, status included."""
    body: Json = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"name": spec.name, "labels": dict(spec.labels)},
        "spec": {"taints": msgspec.to_builtins(spec.taints)},
        "status": _node_status(spec, now_s),
    }
    return _encode(body)


def is_ready(now_s: float) -> bytes:
    """Patch of a node's status: its kubelet is there and well."""
    return _encode({"status": {"conditions": [_ready(now_s)]}})


def node_status(spec: NodeSpec, now_s: float) -> bytes:
    """A patch of a Node's status."""
    return _encode({"status": _node_status(spec, now_s)})


def node_spec(spec: NodeSpec, present: Sequence[Taint]) -> bytes:
    """A patch: our labels and taints, and of the taints present all but ours and not-ready."""
    ours = {(taint.key, taint.effect) for taint in spec.taints}
    foreign = [t for t in present if t.key != NOT_READY_TAINT and (t.key, t.effect) not in ours]
    taints: Json = msgspec.to_builtins([*spec.taints, *foreign]) or None
    return _encode({"metadata": {"labels": dict(spec.labels)}, "spec": {"taints": taints}})


def lease(name: str, lease_s: int, now_s: float) -> bytes:
    """A node's Lease, new."""
    body: Json = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": name},
        "spec": {"holderIdentity": name, "leaseDurationSeconds": lease_s, "renewTime": _micro_time(now_s)},
    }
    return _encode(body)


def renewal(now_s: float) -> bytes:
    """A patch of a Lease's time."""
    return _encode({"spec": {"renewTime": _micro_time(now_s)}})


def timestamp(seconds: float) -> str:
    """RFC 3339 in whole seconds, as metav1.Time."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _micro_time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _status(pod: NodePod, status: dict[str, Json]) -> bytes:
    """The UID in the patch makes the server refuse it for a namesake (409), as the kubelet's does."""
    return _encode({"metadata": {"uid": pod.uid}, "status": status})


def _conditions(ready: str, reason: str, since: str) -> Json:
    conditions: list[Json] = []
    for kind in ("Initialized", "ContainersReady", "Ready"):
        met = "True" if kind == "Initialized" else ready
        conditions.append({"type": kind, "status": met, "reason": reason, "lastTransitionTime": since})
    return conditions


def _containers(pod: NodePod, state: Json, *, is_ready: bool, restarts: int) -> Json:
    return [
        {
            "name": container.name,
            "image": container.image,
            "imageID": "",
            "ready": is_ready,
            "started": is_ready,
            "restartCount": restarts,
            "state": state,
        }
        for container in pod.spec.containers
    ]


def _ready(now_s: float) -> Json:
    now = timestamp(now_s)
    return {
        "type": "Ready",
        "status": "True",
        "reason": "KubeletReady",
        "message": "the node actor plays this node's kubelet",
        "lastHeartbeatTime": now,
        "lastTransitionTime": now,
    }


def _node_status(spec: NodeSpec, now_s: float) -> Json:
    return {
        "capacity": dict(spec.allocatable),
        "allocatable": dict(spec.allocatable),
        "conditions": [_ready(now_s)],
        "addresses": [{"type": "InternalIP", "address": HOST_IP}, {"type": "Hostname", "address": spec.name}],
        "nodeInfo": _NODE_INFO,
    }


_NODE_INFO: dict[str, Json] = {
    "architecture": "amd64",
    "operatingSystem": "linux",
    "kubeletVersion": "v1.37.2",
    "osImage": "stowplan node actor",
    "kernelVersion": "",
    "containerRuntimeVersion": "",
    "kubeProxyVersion": "",
    "machineID": "",
    "systemUUID": "",
    "bootID": "",
}

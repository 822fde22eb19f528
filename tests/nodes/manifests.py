"""Pods and nodes for the node actor's tests, drawn or by hand."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from hypothesis import strategies as st

from deploy.local.nodes.admission import amount
from deploy.local.nodes.pools import NodeSpec
from deploy.local.nodes.wire import Container, Metadata, NodePod, Resources, Spec, Status

GPU = "nvidia.com/gpu"

requests = st.fixed_dictionaries(
    {},
    optional={
        GPU: st.integers(0, 5),
        "cpu": st.integers(0, 5_000).map("{}m".format),
        "memory": st.integers(0, 6).map("{}Gi".format),
    },
)


def node(
    name: str, *, pool: str = "pool", gpus: int = 8, cpu: str = "8", memory: str = "16Gi", pods: int = 6
) -> NodeSpec:
    allocatable = {GPU: str(gpus), "cpu": cpu, "memory": memory, "pods": str(pods)}
    amounts = {resource: amount(quantity, resource) for resource, quantity in allocatable.items()}
    return NodeSpec(name=name, pool=pool, labels={}, taints=(), allocatable=allocatable, amounts=amounts)


def pod(
    uid: str,
    node_name: str,
    asked: Mapping[str, str | int | float] | None = None,
    *,
    annotations: Mapping[str, str] | None = None,
    phase: str = "Pending",
    version: int = 1,
    restart_policy: str = "Never",
    pod_ip: str = "",
) -> NodePod:
    container = Container(name="main", resources=Resources(requests=dict(asked or {})))
    return NodePod(
        metadata=Metadata(
            name=f"pod-{uid}",
            namespace="ns",
            uid=uid,
            resource_version=str(version),
            annotations=dict(annotations or {}),
        ),
        spec=Spec(node_name=node_name, containers=(container,), restart_policy=restart_policy),
        status=Status(phase=phase, pod_ip=pod_ip),
    )


def deleting(given: NodePod, *, grace_s: int = 30) -> NodePod:
    metadata = msgspec.structs.replace(
        given.metadata, deletion_timestamp="2026-01-01T00:00:00Z", deletion_grace_period_seconds=grace_s
    )
    return msgspec.structs.replace(given, metadata=metadata)


def in_phase(given: NodePod, phase: str, *, pod_ip: str | None = None) -> NodePod:
    ip = given.status.pod_ip if pod_ip is None else pod_ip
    return msgspec.structs.replace(given, status=Status(phase=phase, pod_ip=ip))

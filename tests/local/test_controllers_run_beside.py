"""The real controllers and the default scheduler, on a cluster that carries the scheduler's fence."""

from __future__ import annotations

from contextlib import aclosing

import msgspec

from deploy.local.cluster import Cluster
from scheduler.kube.transport import Endpoint, Transport

PODS = 3


class _Spec(msgspec.Struct, rename="camel"):
    node_name: str = ""


class _Metadata(msgspec.Struct):
    name: str


class _Pod(msgspec.Struct):
    metadata: _Metadata
    spec: _Spec


class _Event(msgspec.Struct):
    object: _Pod


def _job(name: str, gpu: str) -> bytes:
    container = {"name": "c", "image": "none", "resources": {"limits": {gpu: "1"}}}
    template = {"spec": {"restartPolicy": "Never", "containers": [container]}}
    spec = {"completions": PODS, "parallelism": PODS, "completionMode": "Indexed", "template": template}
    return msgspec.json.encode({"metadata": {"name": name}, "spec": spec})


async def _give_node(api: Transport, name: str, gpu: str) -> None:
    """A node of its own resource, so that no other test's pod fits it."""
    amounts = {"cpu": "8", "memory": "8Gi", "pods": "10", gpu: str(PODS)}
    status = {"capacity": amounts, "allocatable": amounts}
    await api.request("POST", "/api/v1/nodes", body=msgspec.json.encode({"metadata": {"name": name}}))
    for path, patch in (
        (f"/api/v1/nodes/{name}/status", {"status": status}),
        (f"/api/v1/nodes/{name}", {"spec": {"taints": None}}),
    ):
        merge = "application/merge-patch+json"
        await api.request("PATCH", path, body=msgspec.json.encode(patch), content_type=merge)


async def test_a_job_becomes_pods_that_the_default_scheduler_binds(
    cluster: Cluster, clean_namespace: str
) -> None:
    gpu, node = f"test.example/{clean_namespace}", f"node-{clean_namespace}"
    jobs = f"/apis/batch/v1/namespaces/{clean_namespace}/jobs"
    pods = f"/api/v1/namespaces/{clean_namespace}/pods"
    cluster.start_component("kube-controller-manager")
    cluster.start_component("kube-scheduler", ["--kube-api-qps=100"])
    try:
        async with Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig), connections_max=4) as api:
            await _give_node(api, node, gpu)
            await api.request("POST", jobs, body=_job("three", gpu))
            bound: dict[str, str] = {}
            async with aclosing(api.stream(pods, params={"watch": "true"}, read_timeout_s=30)) as events:
                async for line in events:
                    pod = msgspec.json.decode(line, type=_Event).object
                    bound[pod.metadata.name] = pod.spec.node_name
                    if list(bound.values()) == [node] * PODS:
                        break
            await api.request("DELETE", f"{jobs}/three", params={"propagationPolicy": "Background"})
            await api.request("DELETE", f"/api/v1/nodes/{node}")
    finally:
        cluster.stop_component("kube-scheduler")
        cluster.stop_component("kube-controller-manager")
    assert set(cluster.processes) == {"etcd", "kube-apiserver"}

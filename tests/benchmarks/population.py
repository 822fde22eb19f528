"""A large cluster's pods, already bound: most of another scheduler, some in gangs of ours."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import msgspec

from tests.benchmarks.control import GPU, pods_path

NAMESPACES: Final = 20
GANG_SIZE: Final = 64
#: One pod in seven is in a gang of ours: of 28 pods on a node 4, or 5 where none are on the empty ones.
OURS_ONE_IN: Final = 7
#: Nodes left without GPU pods, so that a gang of whole nodes has room: one in five.
EMPTY_ONE_IN: Final = 5
_NAME: Final = b"@NAME@"
_NODE: Final = b"@NODE@"
_GANG: Final = b"@GANG@"
#: Shapes of other pods, by milli-CPU.
_CPU_MILLI: Final = (100, 250, 500, 1_000, 1_500)


@dataclass(frozen=True, slots=True, kw_only=True)
class Population:
    """``pods`` over ``nodes``, about 5 KB each as sent and more as stored; no node holds too much."""

    nodes: tuple[str, ...]
    pods: int

    @property
    def ours(self) -> int:
        """How many are in gangs of ours: whole gangs of ``GANG_SIZE``."""
        return self.pods // OURS_ONE_IN // GANG_SIZE * GANG_SIZE

    def bodies(self) -> Iterator[tuple[str, bytes]]:
        """Each pod as the path to POST to and the body."""
        yield from self._gangs()
        templates = [_template(_other(cpu)) for cpu in _CPU_MILLI]
        for index in range(self.pods - self.ours):
            body = templates[index % len(templates)]
            body = body.replace(_NAME, b"web-%d" % index)
            body = body.replace(_NODE, self.nodes[index % len(self.nodes)].encode())
            yield pods_path(namespace(index)), body

    def _gangs(self) -> Iterator[tuple[str, bytes]]:
        template = _template(_member())
        busy = max(1, len(self.nodes) - len(self.nodes) // EMPTY_ONE_IN)
        for index in range(self.ours):
            gang = index // GANG_SIZE
            body = template.replace(_NAME, b"job-%d-worker-%d" % (gang, index % GANG_SIZE))
            body = body.replace(_GANG, b"job-%d" % gang)
            body = body.replace(_NODE, self.nodes[index % busy].encode())
            yield pods_path(namespace(gang)), body


def namespace(index: int) -> str:
    return f"load-{index % NAMESPACES}"


def pending_gang(size: int, gpus: int) -> Iterator[bytes]:
    """A gang that waits, as the API server would list its pods."""
    template = _template(_member(gpus=gpus, min_member=size))
    spec = msgspec.json.decode(template, type=dict[str, dict[str, object]])
    del spec["spec"]["nodeName"]
    template = msgspec.json.encode(spec)
    for index in range(size):
        pod = msgspec.json.decode(
            template.replace(_NAME, b"wide-%d" % index).replace(_GANG, b"wide"),
            type=dict[str, dict[str, object]],
        )
        pod["metadata"] |= {"uid": f"wide-{index}", "resourceVersion": "1", "namespace": "load-0"}
        yield msgspec.json.encode(pod)


def waiting_pod(name: str) -> bytes:
    """A single pod of ours that waits."""
    resources = {"limits": {"cpu": "4", "memory": "32Gi", GPU: "1"}}
    spec = {
        "schedulerName": "stowplan",
        "terminationGracePeriodSeconds": 0,
        "containers": [{"name": "train", "image": "train", "resources": resources}],
    }
    return msgspec.json.encode({"metadata": {"name": name}, "spec": spec})


def _template(pod: dict[str, object]) -> bytes:
    return msgspec.json.encode(pod)


def _other(cpu_milli: int) -> dict[str, object]:
    resources = {"requests": {"cpu": f"{cpu_milli}m", "memory": "1Gi"}, "limits": {"memory": "1Gi"}}
    labels = {
        "app.kubernetes.io/name": "web",
        "app.kubernetes.io/part-of": "shop",
        "pod-template-hash": "6d4f",
    }
    return _pod("default-scheduler", labels, {}, resources, owner="ReplicaSet")


def _member(*, gpus: int = 1, min_member: int = GANG_SIZE) -> dict[str, object]:
    resources = {"limits": {"cpu": str(4 * gpus), "memory": f"{32 * gpus}Gi", GPU: str(gpus)}}
    labels = {
        "training.kubeflow.org/job-name": _GANG.decode(),
        "training.kubeflow.org/replica-type": "worker",
    }
    words = {
        "stowplan.dev/gang": _GANG.decode(),
        "stowplan.dev/gang-min-member": str(min_member),
    }
    return _pod("stowplan", labels, words, resources, owner="PyTorchJob")


def _pod(
    scheduler: str,
    labels: Mapping[str, str],
    annotations: Mapping[str, str],
    resources: dict[str, dict[str, str]],
    *,
    owner: str,
) -> dict[str, object]:
    env: list[dict[str, object]] = [
        {"name": f"TRAINING_SETTING_{index}", "value": f"s3://bucket/run/checkpoint/{index:032}"}
        for index in range(16)
    ]
    env += [{"name": "POD_IP", "valueFrom": {"fieldRef": {"fieldPath": "status.podIP"}}}]
    mounts = [{"name": f"volume-{index}", "mountPath": f"/mnt/{index}"} for index in range(4)]
    main = {
        "name": "main",
        "image": "registry/team/image:2026-11",
        "command": ["python", "-m", "train", "--config", "/mnt/0/config.yaml"],
        "env": env,
        "resources": resources,
        "volumeMounts": mounts,
        "readinessProbe": {"httpGet": {"path": "/ready", "port": 8080}, "periodSeconds": 10},
        "ports": [{"containerPort": 8080, "name": "http"}],
    }
    fetch = {"name": "fetch", "image": "registry/team/fetch:1", "env": env[:4], "volumeMounts": mounts[:1]}
    reference = {"apiVersion": "apps/v1", "kind": owner, "name": "owner", "uid": "0e4d", "controller": True}
    return {
        "metadata": {
            "name": _NAME.decode(),
            "labels": labels,
            "annotations": {"prometheus.io/scrape": "true", "checksum/config": "0" * 64} | dict(annotations),
            "ownerReferences": [reference],
        },
        "spec": {
            "schedulerName": scheduler,
            "nodeName": _NODE.decode(),
            "initContainers": [fetch],
            "containers": [main],
            "volumes": [{"name": f"volume-{index}", "emptyDir": {}} for index in range(4)],
            "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"}],
            "affinity": _AFFINITY,
        },
    }


_TERM: Final = {"matchExpressions": [{"key": "kubernetes.io/arch", "operator": "In", "values": ["amd64"]}]}
_AFFINITY: Final[dict[str, object]] = {
    "nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [_TERM]}}
}

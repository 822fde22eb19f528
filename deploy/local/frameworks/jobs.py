"""The jobs that are run: as a user of Kubeflow writes them, with one line changed, ``schedulerName``.

The annotation tells the node actor to run the container's command as a process, since there are no images.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from deploy.local.nodes.kubelet import RUN_COMMAND

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None

PROGRAMS = Path(__file__).with_name("programs")


def _replica(
    container: str, command: Sequence[str], *, count: int, restart: str, port: tuple[str, int] | None
) -> Json:
    ports: Json = [] if port is None else [{"name": port[0], "containerPort": port[1]}]
    return {
        "replicas": count,
        "restartPolicy": restart,
        "template": {
            "metadata": {"annotations": {RUN_COMMAND: "true"}},
            "spec": {
                "schedulerName": "stowplan",
                "terminationGracePeriodSeconds": 1,
                "containers": [
                    {
                        "name": container,
                        "image": "none",
                        "command": list(command),
                        "ports": ports,
                        "resources": {"limits": {"nvidia.com/gpu": "8"}},
                    }
                ],
            },
        },
    }


def pytorch_job(name: str, command: Sequence[str], *, port: int, workers: int = 2) -> Mapping[str, Json]:
    """A master and its workers. A member that fails is made anew by the operator."""

    def member(count: int) -> Json:
        return _replica("pytorch", command, count=count, restart="OnFailure", port=("pytorchjob-port", port))

    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "PyTorchJob",
        "metadata": {"name": name},
        "spec": {
            "runPolicy": {"cleanPodPolicy": "Running"},
            "pytorchReplicaSpecs": {"Master": member(1), "Worker": member(workers)},
        },
    }


def tf_job(name: str, command: Sequence[str], *, port: int) -> Mapping[str, Json]:
    """Chief, worker and parameter server, each on a port of its own: gRPC listens on every address."""

    def member(i: int) -> Json:
        return _replica("tensorflow", command, count=1, restart="Never", port=("tfjob-port", port + i))

    return {
        "apiVersion": "kubeflow.org/v1",
        "kind": "TFJob",
        "metadata": {"name": name},
        "spec": {
            "runPolicy": {"cleanPodPolicy": "Running"},
            "tfReplicaSpecs": {"Chief": member(0), "Worker": member(1), "PS": member(2)},
        },
    }

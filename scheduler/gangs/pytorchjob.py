"""Kubeflow PyTorchJob (pytorch_types.go): a master and workers, or elastic workers."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of

PYTORCHJOB = Kubeflow(
    "PyTorchJob",
    doc_of(
        "PyTorchJob",
        "pytorchReplicaSpecs",
        (("PyTorchJob spec.elasticPolicy.minReplicas", "workers without which it does not start"),),
    ),
    ("PyTorchJob",),
)

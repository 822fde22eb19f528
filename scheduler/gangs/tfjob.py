"""Kubeflow TFJob (tensorflow_types.go): chief, workers, parameter servers, evaluator."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of, replica

TFJOB = Kubeflow(
    "TFJob",
    doc_of("TFJob", "tfReplicaSpecs", replica("PS", 1, "tensorflow") + replica("Worker", 2, "tensorflow")),
    ("TFJob",),
)

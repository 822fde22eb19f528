"""Kubeflow TFJob (tensorflow_types.go): chief, workers, parameter servers, evaluator."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of

TFJOB = Kubeflow(
    "TFJob",
    doc_of("TFJob", "tfReplicaSpecs"),
    ("TFJob",),
)

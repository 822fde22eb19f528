"""Kubeflow PaddleJob (paddlepaddle_types.go): workers, with or without a master; may be elastic."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of, replica

PADDLEJOB = Kubeflow(
    "PaddleJob",
    doc_of("PaddleJob", "paddleReplicaSpecs", replica("Worker", 2, "paddle")),
    ("PaddleJob",),
)

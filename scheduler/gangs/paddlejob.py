"""Kubeflow PaddleJob (paddlepaddle_types.go): workers, with or without a master; may be elastic."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of

PADDLEJOB = Kubeflow(
    "PaddleJob",
    doc_of("PaddleJob", "paddleReplicaSpecs"),
    ("PaddleJob",),
)

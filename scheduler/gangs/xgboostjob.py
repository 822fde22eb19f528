"""Kubeflow XGBoostJob (xgboost_types.go): a master and workers."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of, replica

XGBOOSTJOB = Kubeflow(
    "XGBoostJob",
    doc_of(
        "XGBoostJob", "xgbReplicaSpecs", replica("Master", 1, "xgboost") + replica("Worker", 2, "xgboost")
    ),
    ("XGBoostJob",),
)

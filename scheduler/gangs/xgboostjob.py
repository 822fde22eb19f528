"""Kubeflow XGBoostJob (xgboost_types.go): a master and workers."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of

XGBOOSTJOB = Kubeflow("XGBoostJob", doc_of("XGBoostJob", "xgbReplicaSpecs"), ("XGBoostJob",))

"""Kubeflow JAXJob (jax_types.go): workers, of which the first coordinates."""

from __future__ import annotations

from scheduler.gangs.kubeflow import Kubeflow, doc_of

JAXJOB = Kubeflow("JAXJob", doc_of("JAXJob", "jaxReplicaSpecs"), ("JAXJob",))

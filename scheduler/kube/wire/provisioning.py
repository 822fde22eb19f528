"""ProvisioningRequest, by which Cluster Autoscaler is asked for all that a gang needs at once."""

from __future__ import annotations

from scheduler.kube.wire.base import Condition, Metadata, Wire


class TemplateReference(Wire, frozen=True):
    name: str = ""


class ProvisioningPodSet(Wire, frozen=True):
    count: int = 0
    pod_template_ref: TemplateReference = TemplateReference()


class ProvisioningRequestSpec(Wire, frozen=True):
    provisioning_class_name: str = ""
    pod_sets: tuple[ProvisioningPodSet, ...] = ()


class ProvisioningRequestStatus(Wire, frozen=True):
    conditions: tuple[Condition, ...] | None = None


class ProvisioningRequest(Wire, frozen=True):
    """autoscaling.x-k8s.io/v1."""

    metadata: Metadata
    spec: ProvisioningRequestSpec = ProvisioningRequestSpec()
    status: ProvisioningRequestStatus = ProvisioningRequestStatus()

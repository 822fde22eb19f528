"""Objects of the control plane's own business: leases, disruption budgets, and what is written to pods."""

from __future__ import annotations

import msgspec

from scheduler.kube.wire.base import ABSENT, Condition, Metadata, ObjectReference, Wire, Words


class LeaseSpec(Wire, frozen=True):
    holder_identity: str | None = None
    lease_duration_seconds: int | None = None
    acquire_time: str | None = None
    renew_time: str | None = None
    lease_transitions: int | None = None


class Lease(Wire, frozen=True):
    """coordination.k8s.io/v1."""

    metadata: Metadata
    spec: LeaseSpec = LeaseSpec()


class PodDisruptionBudgetStatus(Wire, frozen=True):
    disruptions_allowed: int = 0
    current_healthy: int = 0
    desired_healthy: int = 0
    expected_pods: int = 0
    observed_generation: int | None = None
    #: When each pod was evicted that ``disruptions_allowed`` no longer counts, by the pod's name.
    disrupted_pods: Words = None
    conditions: tuple[Condition, ...] | None = None


class PodDisruptionBudgetSpec(Wire, frozen=True):
    """``selector`` is a view on the answer it came in; decode it as ``selection.LabelSelector``."""

    selector: msgspec.Raw = ABSENT


class PodDisruptionBudget(Wire, frozen=True):
    """policy/v1."""

    metadata: Metadata
    spec: PodDisruptionBudgetSpec = PodDisruptionBudgetSpec()
    status: PodDisruptionBudgetStatus = PodDisruptionBudgetStatus()


class Event(Wire, frozen=True):
    """events.k8s.io/v1, as read back."""

    metadata: Metadata
    reason: str = ""
    note: str = ""
    type: str = ""
    action: str = ""
    reporting_controller: str = ""
    reporting_instance: str = ""
    regarding: ObjectReference = ObjectReference()
    event_time: str | None = None


class WrittenMetadata(Wire, frozen=True, omit_defaults=True):
    """The metadata of a Binding or an Eviction. UID and resourceVersion are preconditions on the pod."""

    name: str
    namespace: str
    uid: str = ""
    resource_version: str = ""
    annotations: dict[str, str] | None = None


class Binding(Wire, frozen=True, kw_only=True):
    """v1, for ``POST .../pods/NAME/binding``."""

    api_version: str = "v1"
    kind: str = "Binding"
    metadata: WrittenMetadata
    target: ObjectReference


class Preconditions(Wire, frozen=True, omit_defaults=True):
    uid: str = ""
    resource_version: str = ""


class DeleteOptions(Wire, frozen=True, omit_defaults=True):
    preconditions: Preconditions | None = None
    grace_period_seconds: int | None = None


class Eviction(Wire, frozen=True, kw_only=True):
    """policy/v1, for ``POST .../pods/NAME/eviction``."""

    api_version: str = "policy/v1"
    kind: str = "Eviction"
    metadata: WrittenMetadata
    delete_options: DeleteOptions = DeleteOptions()

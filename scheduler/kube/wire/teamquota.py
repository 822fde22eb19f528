"""TeamQuota: what admins write about teams, and what the scheduler tells them of it."""

from __future__ import annotations

from scheduler.kube.wire.base import Condition, Metadata, Quantity, Wire
from scheduler.kube.wire.selection import LabelSelector


class TeamAmounts(Wire, frozen=True, omit_defaults=True):
    gpu: Quantity | None = None
    gpu_models: dict[str, Quantity] | None = None
    cpu: Quantity | None = None
    memory: Quantity | None = None


class TeamQuotaSpec(Wire, frozen=True):
    parent: str | None = None
    namespaces: tuple[str, ...] | None = None
    namespace_selector: LabelSelector | None = None
    weight: int | None = None
    guaranteed: TeamAmounts | None = None
    limit: TeamAmounts | None = None
    borrowing_limit: TeamAmounts | None = None
    lending_limit: TeamAmounts | None = None
    priority_ceiling: int | None = None
    min_runtime_seconds: int | None = None
    history_half_life_seconds: int | None = None
    pod_defaults: TeamAmounts | None = None
    pod_maximum: TeamAmounts | None = None


class TeamHistory(Wire, frozen=True, omit_defaults=True):
    as_of: str | None = None
    usage: TeamAmounts | None = None


class TeamQuotaStatus(Wire, frozen=True, omit_defaults=True):
    observed_generation: int | None = None
    share: str | None = None
    usage: TeamAmounts | None = None
    fair_share_now: TeamAmounts | None = None
    borrowed: TeamAmounts | None = None
    lent: TeamAmounts | None = None
    pending: TeamAmounts | None = None
    history: TeamHistory | None = None
    conditions: tuple[Condition, ...] | None = None


class TeamQuota(Wire, frozen=True):
    """stowplan.dev/v1alpha1, cluster-scoped (deploy/crds/teamquotas.yaml)."""

    metadata: Metadata
    spec: TeamQuotaSpec = TeamQuotaSpec()
    status: TeamQuotaStatus = TeamQuotaStatus()

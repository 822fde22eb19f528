"""The chart's values as a model; ``python -m deploy.values`` writes its JSON Schema, which Helm enforces."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final, Literal

from pydantic import Field

from scheduler.live.config import SchedulerConfiguration, Section
from scheduler.model.platforms import GPU_MARKS

SCHEMA: Final = Path(__file__).parent / "chart" / "values.schema.json"
#: The chart sets them: they follow from the release, and RBAC and the epoch fence name the same.
SET_BY_THE_CHART: Final = (
    ("LeaderElection", "namespace"),
    ("LeaderElection", "name"),
    ("HealthSection", "address"),
)
_DNS_LABEL: Final = r"^[a-z0-9]([-a-z0-9]{0,40}[a-z0-9])?$"


class Digests(Section):
    """Each image has its own; it wins over the tag."""

    scheduler: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")
    agent: str = Field(default="", pattern=r"^(sha256:[0-9a-f]{64})?$")


class Image(Section):
    repository: str = Field(default="stowplan", min_length=1, max_length=400)
    """The images are REPOSITORY-scheduler and REPOSITORY-agent."""
    tag: str = Field(default="", max_length=128)
    """The chart's appVersion unless given."""
    digests: Digests = Digests()
    pull_policy: Literal["Always", "IfNotPresent", "Never"] = "IfNotPresent"


Quantities = dict[str, str]


class Resources(Section):
    requests: Quantities = {}
    limits: Quantities = {}


class Scheduler(Section):
    replicas: int = Field(default=2, ge=1, le=9)
    """One leads; the others stand by with their views filled."""
    priority_class_name: str = "system-cluster-critical"
    resources: Resources = Resources(requests={"cpu": "500m", "memory": "512Mi"}, limits={"memory": "2Gi"})
    node_selector: dict[str, str] = {}
    tolerations: list[dict[str, object]] = []
    config: SchedulerConfiguration = SchedulerConfiguration()
    """What differs from the scheduler's defaults."""


class AgentPool(Section):
    name: str = Field(pattern=_DNS_LABEL)
    runtime_class_name: str = ""
    """A runtime class that the cluster lacks would refuse the pods."""
    node_labels: list[str] = Field(min_length=1)
    """A node with one of these labels has GPUs; with =VALUE it must have that value."""
    env: dict[str, str] = {}


NVIDIA: Final = AgentPool(
    name="nvidia",
    node_labels=list(GPU_MARKS),
    env={
        "NVIDIA_VISIBLE_DEVICES": "all",
        "NVIDIA_DRIVER_CAPABILITIES": "utility",
        "NVIDIA_MIG_MONITOR_DEVICES": "all",
    },
)


class AgentValues(Section):
    enabled: bool = True
    priority_class_name: str = "system-node-critical"
    metrics_port: int = Field(default=10270, ge=1024, le=65535)
    resources: Resources = Resources(requests={"cpu": "20m", "memory": "64Mi"}, limits={"memory": "128Mi"})
    pod_resources: str = Field(default="/var/lib/kubelet/pod-resources", pattern=r"^(/.*)?$")
    """The kubelet's folder with its socket, which is root's alone; empty: holders by processes only."""
    pools: list[AgentPool] = [NVIDIA]
    """One DaemonSet each."""


class Admission(Section):
    other_schedulers: list[str] = ["system:kube-scheduler"]
    """User names whose Bindings are let through; every other scheduler of the cluster must be here."""


class Monitoring(Section):
    service_monitor: bool = False
    """Needs the Prometheus Operator, as do the rules."""
    rules: bool = False
    dashboards: bool = False
    """One ConfigMap each, as Grafana's sidecar picks them up by their labels."""
    dashboard_labels: dict[str, str] = {"grafana_dashboard": "1"}


class Values(Section):
    """Every value and its default."""

    image: Image = Image()
    image_pull_secrets: list[dict[str, str]] = []
    scheduler: Scheduler = Scheduler()
    agent: AgentValues = AgentValues()
    admission: Admission = Admission()
    monitoring: Monitoring = Monitoring()


def schema_text() -> str:
    """The JSON Schema that Helm holds values against; the scheduler's own fields come from its model."""
    generated = Values.model_json_schema(by_alias=True)
    for definition, field in SET_BY_THE_CHART:
        del generated["$defs"][definition]["properties"][field]
    configuration = generated["$defs"]["SchedulerConfiguration"]["properties"]
    for mark in ("apiVersion", "kind"):
        del configuration[mark]
    document = {"$schema": "https://json-schema.org/draft/2020-12/schema", **generated}
    return json.dumps(document, indent=2) + "\n"


if __name__ == "__main__":
    SCHEMA.write_text(schema_text(), encoding="utf-8")

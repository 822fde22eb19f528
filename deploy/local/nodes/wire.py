"""The part of a Pod that a kubelet acts on, as the API server sends it."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

Quantity = str | int | float


class Wire(msgspec.Struct, frozen=True, kw_only=True, rename="camel", gc=False):
    """Fields not named are skipped by the decoder."""


class Resources(Wire, frozen=True):
    requests: dict[str, Quantity] = {}


class FieldRef(Wire, frozen=True):
    field_path: str = ""


class EnvSource(Wire, frozen=True):
    field_ref: FieldRef | None = None


class EnvVar(Wire, frozen=True):
    name: str
    value: str = ""
    value_from: EnvSource | None = None


class Container(Wire, frozen=True):
    name: str
    image: str = ""
    command: tuple[str, ...] = ()
    args: tuple[str, ...] = ()
    env: tuple[EnvVar, ...] = ()
    working_dir: str = ""
    resources: Resources = Resources()
    #: Set on an init container only: Always makes it a sidecar.
    restart_policy: str = ""


class Spec(Wire, frozen=True):
    node_name: str = ""
    containers: tuple[Container, ...] = ()
    init_containers: tuple[Container, ...] = ()
    restart_policy: str = "Always"
    hostname: str = ""
    subdomain: str = ""
    overhead: dict[str, Quantity] = {}
    resources: Resources = Resources()


class Metadata(Wire, frozen=True):
    name: str
    namespace: str = ""
    uid: str = ""
    resource_version: str = ""
    deletion_timestamp: str | None = None
    deletion_grace_period_seconds: int | None = None
    labels: dict[str, str] = {}
    annotations: dict[str, str] = {}


class Status(Wire, frozen=True):
    phase: str = "Pending"
    start_time: str | None = None
    # The pod's address; the API spells it podIP, which the camel rule cannot guess.
    pod_ip: str = msgspec.field(name="podIP", default="")


class NodePod(Wire, frozen=True):
    """A pod bound to some node."""

    metadata: Metadata
    spec: Spec = Spec()
    status: Status = Status()

    @property
    def uid(self) -> str:
        return self.metadata.uid

    @property
    def is_deleting(self) -> bool:
        return self.metadata.deletion_timestamp is not None

    @property
    def is_finished(self) -> bool:
        return self.status.phase in ("Succeeded", "Failed")

    @property
    def annotations(self) -> Mapping[str, str]:
        return self.metadata.annotations

"""The configuration file of ``stowplan run``: one YAML document, read strictly, every problem at once."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Final, Literal, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic.alias_generators import to_camel
from pydantic_core import ErrorDetails

from quotas.units import UnitTable
from scheduler.gangs.healing import PARTIAL_S, REPLACE_S, Healing
from scheduler.gangs.registry import DIALECT_NAMES
from scheduler.live.logs import printable
from scheduler.model.devices import CordonPolicy
from scheduler.model.gpu_names import key_of
from scheduler.model.plan import SYSTEM_SPREAD, Policy, Prices
from scheduler.model.selection import SpreadConstraint
from scheduler.provisioning import ProvisioningPolicy

API_VERSION: Final = "stowplan.dev/v1alpha1"
KIND: Final = "SchedulerConfiguration"
FILE_BYTES_MAX = 1 << 20
PROBLEMS_MAX = 50
#: What a problem repeats of the file.
SHOWN_MAX = 64
#: Connections kept free of Bindings: watches, lease renewals, status writes and Events.
CONNECTIONS_SPARE = 16
CHECK_CAPACITY: Final = "check-capacity.autoscaling.x-k8s.io"
_DNS_LABEL = r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$"
_DNS_NAME = r"^[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?$"
_LABEL_KEY = r"^([a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-_.A-Za-z0-9]{0,61}[A-Za-z0-9])?$"


class ConfigurationError(ValueError):
    """The file cannot be used. ``problems`` holds one line each: file, field, what is wrong, the remedy."""

    def __init__(self, problems: tuple[str, ...]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


class Section(BaseModel):
    """A part of a document that people write: read strictly, names in camelCase, nothing unknown."""

    model_config = ConfigDict(
        extra="forbid",
        strict=True,
        frozen=True,
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        use_attribute_docstrings=True,
    )


class LeaderElection(Section):
    enabled: bool = True
    """Off only where a single scheduler can ever run: without a lease nothing fences a second one."""
    namespace: str = Field(default="stowplan-system", pattern=_DNS_LABEL)
    name: str = Field(default="stowplan", pattern=_DNS_NAME)
    lease_seconds: int = Field(default=15, ge=1, le=600)
    """A standby takes over when the lease was not renewed for this long."""
    renew_deadline_seconds: float = Field(default=10, gt=0, le=600)
    """The leader stops acting when it could not renew for this long."""
    retry_seconds: float = Field(default=2, gt=0, le=60)
    """Pause between two attempts to acquire or renew."""

    @model_validator(mode="after")
    def _ordered(self) -> LeaderElection:
        if self.renew_deadline_seconds >= self.lease_seconds:
            raise ValueError(
                "renewDeadlineSeconds must be below leaseSeconds; lower it or raise leaseSeconds"
            )
        if self.retry_seconds >= self.renew_deadline_seconds:
            raise ValueError("retrySeconds must be below renewDeadlineSeconds; lower it")
        return self


class Api(Section):
    write_timeout_seconds: float = Field(default=5, gt=0, le=60)
    """A write without an answer for this long has an unknown outcome and is read back."""
    binds_in_flight: int = Field(default=96, ge=1, le=1024)
    """More let the API server write several at a time; its own limit on writes is 200 by default."""
    connections: int = Field(default=144, ge=1, le=4096)
    """Connections to the API server, watches included."""

    @model_validator(mode="after")
    def _room_beside_binds(self) -> Api:
        least = self.binds_in_flight + CONNECTIONS_SPARE
        if self.connections < least:
            raise ValueError(
                f"connections must be at least bindsInFlight + {CONNECTIONS_SPARE} = {least}, so that the "
                "lease and the watches never queue behind Bindings; raise it"
            )
        return self


class Gangs(Section):
    partial_seconds: float = Field(default=PARTIAL_S, gt=0, le=30)
    """A gang that never stood is unwound when it is partly bound and nothing was bound for this long; INV2
    allows 30."""
    replace_seconds: float = Field(default=REPLACE_S, ge=0, le=86_400)
    """For this long a lost member's room is kept for the pod that replaces it, and the others stay."""
    restart_on_loss: list[str] = Field(default_factory=list, max_length=len(DIALECT_NAMES))
    """Dialects whose gangs restart whole when they lose a member, unless their pods say otherwise."""

    @model_validator(mode="after")
    def _known(self) -> Gangs:
        for name in self.restart_on_loss:
            if name not in DIALECT_NAMES:
                shown = printable(repr(name), SHOWN_MAX)
                raise ValueError(f"restartOnLoss: {shown} is no dialect; use {', '.join(DIALECT_NAMES)}")
        return self

    def as_healing(self) -> Healing:
        """As the scheduling cycles take it."""
        return Healing(
            partial_s=self.partial_seconds,
            replace_s=self.replace_seconds,
            restarting=frozenset(self.restart_on_loss),
        )


class Volumes(Section):
    bind_timeout_seconds: float = Field(default=600.0, gt=0, le=86_400)
    """How long a gang waits for the volumes of claims that wait for their first consumer; kube-scheduler's
    bindTimeoutSeconds. None of its pods is bound before; what was asked in vain is then withdrawn."""


class Solver(Section):
    per_gang: float = Field(default=2.0, ge=0, le=1000)
    """Deterministic solver work units for one gang; 0 leaves everything to the greedy packer."""
    total: float = Field(default=6.0, ge=0, le=10_000)
    """Deterministic solver work units for one planning cycle."""


class Cordon(Section):
    """Nodes whose devices fail again and again; docs/cordoning.md."""

    enabled: bool = False
    """Whether stowplan may cordon nodes; it then needs the right of `deploy/optional/cordon.yaml`."""
    offences: int = Field(default=3, ge=2, le=1_000)
    """Fatal outages of a node's devices, within the window, for which it is cordoned."""
    window_seconds: int = Field(default=86_400, ge=600, le=2_592_000)
    lift_seconds: int = Field(default=0, ge=0, le=2_592_000)
    """A cordon of ours is lifted when no device was in a fatal outage for this long; 0: only by hand."""
    nodes_max_percent: int = Field(default=10, ge=1, le=100)
    """Of the nodes that report devices, how many may be cordoned by us at a time; one always may."""


class PriceSection(Section):
    """What nodes cost relative to each other, by the value of one label; docs/clouds.md."""

    label: str = Field(pattern=_LABEL_KEY)
    """Key of a node label, such as node.kubernetes.io/instance-type."""
    values: dict[str, Annotated[float, Field(ge=0, le=1_000_000_000)]] = Field(min_length=1, max_length=1024)
    """Price by value of that label, in one unit for all: of one GPU, where nodes differ in their number."""

    def as_prices(self) -> Prices:
        return Prices(label=self.label, values=tuple(sorted(self.values.items())))


class SpreadConstraintSection(Section):
    topology_key: str = Field(pattern=_LABEL_KEY)
    max_skew: int = Field(ge=1, le=100_000)
    when_unsatisfiable: Literal["ScheduleAnyway"] = "ScheduleAnyway"
    """Soft only: what must hold is written in the pods."""

    def as_constraint(self) -> SpreadConstraint:
        return SpreadConstraint(
            topology_key=self.topology_key, max_skew=self.max_skew, is_required=False, selector=None
        )


class SpreadSection(Section):
    """As ``PodTopologySpreadArgs`` of kube-scheduler."""

    defaulting_type: Literal["System", "List"] = "System"
    """System: kube-scheduler's own, maxSkew 3 over nodes, 5 over zones. List: defaultConstraints."""
    default_constraints: list[SpreadConstraintSection] = Field(default_factory=list, max_length=16)
    """For pods of ReplicaSets, ReplicationControllers and StatefulSets that ask for no device."""

    @model_validator(mode="after")
    def _listed(self) -> SpreadSection:
        if self.default_constraints and self.defaulting_type == "System":
            raise ValueError("defaultConstraints are used with defaultingType List only; set it")
        return self

    def as_constraints(self) -> tuple[SpreadConstraint, ...]:
        if self.defaulting_type == "System":
            return SYSTEM_SPREAD
        return tuple(each.as_constraint() for each in self.default_constraints)


class PolicySection(Section):
    strategy: Literal["pack", "spread"] = "pack"
    order: Literal["oldest", "shortest-time", "shortest-service", "least-service"] = "oldest"
    """Who goes first among gangs of one priority; the estimates are those of the pods' annotations."""
    displaces: bool = False
    """Whether a gang that goes first takes the place of running gangs that go after it by that order."""
    backfill: bool = True
    """Whether later gangs may use what a blocked earlier gang cannot use now."""
    solver: Solver = Solver()
    inventory: Literal["preferred", "required"] = "preferred"
    """Nodes on which no agent reports devices: by their allocatable, or no pods that ask for devices."""
    cordon: Cordon = Cordon()
    prices: list[PriceSection] = Field(default_factory=list, max_length=16)
    """The first that knows a node tells its price; of nodes liked equally the cheapest come first."""
    spread: SpreadSection = SpreadSection()
    """Topology spread of pods that write none."""

    def as_policy(self) -> Policy:
        """As the planner takes it."""
        return Policy(
            strategy=self.strategy,
            order=self.order,
            displaces=self.displaces,
            backfill=self.backfill,
            prices=tuple(each.as_prices() for each in self.prices),
            default_spread=self.spread.as_constraints(),
        )

    def as_cordon(self) -> CordonPolicy | None:
        """When nodes are cordoned; None for never."""
        cordon = self.cordon
        if not cordon.enabled:
            return None
        return CordonPolicy(
            offences=cordon.offences,
            window_s=float(cordon.window_seconds),
            lift_s=float(cordon.lift_seconds),
            nodes_max_percent=cordon.nodes_max_percent,
        )


class Teams(Section):
    gpu_units: dict[str, Annotated[float, Field(ge=0.001, le=1_000)]] = Field(
        default_factory=dict, max_length=64
    )
    """What one GPU of a model counts for in `gpu` of a TeamQuota, by model name; 1 for others."""

    def units(self) -> UnitTable:
        return UnitTable(
            by_model={key_of(model) or model: round(u * 1_000) for model, u in self.gpu_units.items()}
        )


class Provisioning(Section):
    """ProvisioningRequests: an autoscaler adds all that a waiting gang needs, or nothing; docs/clouds.md."""

    class_name: str = Field(default="best-effort-atomic-scale-up.autoscaling.x-k8s.io", pattern=_DNS_NAME)
    """Any class that adds nodes; stowplan then needs the rights of `deploy/optional/provisioning.yaml`."""
    parameters: dict[str, Annotated[str, Field(max_length=255)]] = Field(default_factory=dict, max_length=100)
    """As the class takes them, such as ValidUntilSeconds: "600"."""
    after_seconds: float = Field(default=10, ge=0, le=3600)
    """A gang is asked for when it has lacked capacity for this long."""
    retry_seconds: float = Field(default=600, ge=1, le=86_400)
    """A request that failed stands for this long, and is then made anew."""

    @model_validator(mode="after")
    def _adds(self) -> Provisioning:
        if self.class_name == CHECK_CAPACITY:
            raise ValueError(
                f"className: {CHECK_CAPACITY} adds no nodes, it only looks, which stowplan has done; "
                "use best-effort-atomic-scale-up.autoscaling.x-k8s.io or a class of your provider"
            )
        return self

    def as_policy(self) -> ProvisioningPolicy:
        return ProvisioningPolicy(
            class_name=self.class_name,
            parameters=tuple(sorted(self.parameters.items())),
            after_s=self.after_seconds,
            retry_s=self.retry_seconds,
        )


class Record(Section):
    path: str = Field(default="", max_length=4096)
    """File to which decisions that evict anybody are written, for `stowplan replay`; empty for none."""
    mebibytes_max: int = Field(default=256, ge=1, le=65_536)
    """The file is set aside as FILE.1 when it would become larger."""


class Watch(Section):
    stale_seconds: float = Field(default=5, ge=1, le=300)
    """Nothing is bound on a view of the cluster older than this."""


class HealthSection(Section):
    address: str = Field(default="127.0.0.1", min_length=1, max_length=253)
    """Where /livez, /readyz and /metrics listen; 0.0.0.0 where a kubelet probes."""
    port: int = Field(default=10269, ge=0, le=65535)
    """0 takes a free port, which the ready line names."""


class LogSection(Section):
    format: Literal["json", "console"] = "json"
    level: Literal["debug", "info", "warning", "error"] = "info"


class SchedulerConfiguration(Section):
    """All defaults are usable: a file names only what it changes."""

    api_version: Literal["stowplan.dev/v1alpha1"] = API_VERSION
    kind: Literal["SchedulerConfiguration"] = KIND
    scheduler_name: str = Field(default="stowplan", pattern=_DNS_NAME)
    """Only pods with this spec.schedulerName are scheduled."""
    leader_election: LeaderElection = LeaderElection()
    api: Api = Api()
    gangs: Gangs = Gangs()
    volumes: Volumes = Volumes()
    policy: PolicySection = PolicySection()
    teams: Teams = Teams()
    provisioning: Provisioning | None = None
    """Whether an autoscaler is asked for nodes by ProvisioningRequest: null, the default, asks nobody."""
    record: Record = Record()
    watch: Watch = Watch()
    health: HealthSection = HealthSection()
    log: LogSection = LogSection()

    @model_validator(mode="after")
    def _writes_end_before_the_lease(self) -> SchedulerConfiguration:
        """A write begun at the last allowed moment must end before a standby may take the lease."""
        election = self.leader_election
        if election.enabled and self.api.write_timeout_seconds >= election.renew_deadline_seconds:
            raise ValueError(
                f"api.writeTimeoutSeconds ({self.api.write_timeout_seconds:g}) must be below "
                f"leaderElection.renewDeadlineSeconds ({election.renew_deadline_seconds:g}), or no write may "
                "ever leave; lower it or raise renewDeadlineSeconds"
            )
        slack_s = election.lease_seconds - election.renew_deadline_seconds
        if election.enabled and self.api.write_timeout_seconds > slack_s:
            raise ValueError(
                f"api.writeTimeoutSeconds ({self.api.write_timeout_seconds:g}) must not exceed "
                f"leaderElection.leaseSeconds - renewDeadlineSeconds ({slack_s:g}), or an old leader's "
                "write could land in the next leader's term; lower it or raise leaseSeconds"
            )
        return self


class _StrictLoader(yaml.SafeLoader):
    """Refuses a key given twice, which YAML readers otherwise resolve silently."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, object]:
        seen: set[object] = set()
        for key, _ in node.value:
            if not isinstance(key, yaml.ScalarNode):
                continue
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"key {key.value!r} is given twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def load(path: Path) -> SchedulerConfiguration:
    """Read and validate a configuration file.

    Raises ConfigurationError with every problem found, each naming file, field and remedy.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except OSError as error:
        raise ConfigurationError((f"{path}: {error.strerror}; give a readable file",)) from error
    if len(content) > FILE_BYTES_MAX:
        raise ConfigurationError((f"{path}: larger than {FILE_BYTES_MAX} bytes; is this the right file?",))
    return parse(content, str(path))


def parse(content: bytes, name: str) -> SchedulerConfiguration:
    """Validate the bytes of a configuration file that errors call ``name``; raises as ``load``."""
    try:
        # The loader is a SafeLoader: it builds plain values only.
        document = yaml.load(content, _StrictLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        text = " ".join(str(error).split())
        raise ConfigurationError((f"{name}: not valid YAML: {text}",)) from error
    if not isinstance(document, Mapping):
        raise ConfigurationError((f"{name}: must be one YAML mapping with apiVersion and kind",))
    problems = [
        f"{name}: {field}: missing; set it to {value}" for field, value in _MARKS if field not in document
    ]
    try:
        read = SchedulerConfiguration.model_validate(dict(document), by_alias=True, by_name=False)
    except ValidationError as error:
        problems += [_problem(name, detail) for detail in error.errors(include_url=False)]
        raise ConfigurationError(tuple(problems[:PROBLEMS_MAX])) from error
    if problems:
        raise ConfigurationError(tuple(problems))
    return read


def schema() -> dict[str, object]:
    """The JSON Schema of the file, for editors and for the chart's values."""
    generated: dict[str, object] = SchedulerConfiguration.model_json_schema(by_alias=True)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        **generated,
        "required": ["apiVersion", "kind"],
    }


_MARKS = (("apiVersion", API_VERSION), ("kind", KIND))


def _problem(file: str, detail: ErrorDetails) -> str:
    """One line for one of pydantic's errors."""
    path = printable(".".join(str(part) for part in detail["loc"]), SHOWN_MAX) or "top level"
    shown = printable(repr(detail["input"]), SHOWN_MAX)
    match detail["type"]:
        case "extra_forbidden":
            return f"{file}: {path}: unknown field; {_nearest(detail)}"
        case "value_error":
            return f"{file}: {path}: {detail['msg'].removeprefix('Value error, ')}"
        case "string_pattern_mismatch" if detail.get("ctx", {}).get("pattern") == _LABEL_KEY:
            return (
                f"{file}: {path}: {shown} is not a label key; use letters, digits, '-', '_', '.' and one '/'"
            )
        case "string_pattern_mismatch":
            return f"{file}: {path}: {shown} is not a Kubernetes name; use lower-case letters, digits and '-'"
        case _:
            wanted = detail["msg"][:1].lower() + detail["msg"][1:]
            return f"{file}: {path}: {wanted}, not {shown}; change the value or leave the field out"


def _nearest(detail: ErrorDetails) -> str:
    """The field probably meant, or all that there are."""
    import difflib  # Only a wrong file needs it.

    *parents, wrong = detail["loc"]
    model: type[BaseModel] = SchedulerConfiguration
    for part in parents:
        fields = {field.alias: field.annotation for field in model.model_fields.values()}
        inner = model if isinstance(part, int) else fields.get(str(part))
        if get_origin(inner) is list:  # its items are asked by their numbers next
            (inner,) = get_args(inner)
        elif get_origin(inner) is UnionType:  # or null
            inner = get_args(inner)[0]
        if isinstance(inner, type) and issubclass(inner, BaseModel):
            model = inner
    known = [field.alias or name for name, field in model.model_fields.items()]
    close = difflib.get_close_matches(str(wrong), known, n=1)
    return f"did you mean {close[0]}?" if close else f"known here: {', '.join(known)}"

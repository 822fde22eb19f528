"""``stowplan doctor``: is everything there that the scheduler needs? A table with remedies."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Literal

import msgspec

from scheduler.cli.claims import claimed
from scheduler.cli.cluster import list_all
from scheduler.cli.configuration import read
from scheduler.cli.connection import ask
from scheduler.cli.failure import EXIT_FAILED
from scheduler.cli.output import Output, emit, table
from scheduler.cli.rights import SCHEDULER_MANIFEST, missing, needed
from scheduler.devices.labels import REPLICAS, STRATEGY
from scheduler.kube import wire
from scheduler.kube.transport import Forbidden, NotFound, Transport
from scheduler.kube.wire.inventory import GPUNode
from scheduler.live.config import Provisioning, SchedulerConfiguration
from scheduler.live.devices import PATH as GPU_NODES
from scheduler.live.provisioner import GROUP_VERSION, RESOURCE
from scheduler.live.sources import POD_GROUP
from scheduler.model.device_claims import GPU_DRIVER
from scheduler.model.platforms import HOSTNAME, is_domain, is_spot, platforms_of, shared_by, topology_of

FENCE = "stowplan-epoch-fence"
POLICIES = "/apis/admissionregistration.k8s.io/v1"
#: Missing rights named in one line.
RIGHTS_SHOWN_MAX = 6


class Finding(msgspec.Struct, kw_only=True, frozen=True):
    """One check: what was found, and what to do about it."""

    check: str
    state: Literal["ok", "warn", "fail"]
    detail: str
    remedy: str = ""


class _Version(msgspec.Struct, rename="camel"):
    git_version: str = "?"


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    resources: list[_Resource]


class _UserInfo(msgspec.Struct, frozen=True):
    username: str = "?"
    groups: list[str] = []


class _UserStatus(msgspec.Struct, rename="camel", frozen=True):
    user_info: _UserInfo = _UserInfo()


class _UserReview(msgspec.Struct, frozen=True):
    status: _UserStatus = _UserStatus()


def show(kubeconfig: Path | None, context: str | None, *, config: Path | None, output: Output) -> int:
    """The exit code: 1 when a check failed."""
    settings = read(config)
    findings = ask(kubeconfig, context, lambda transport: examine(transport, settings, time.time()))
    if output == "table":
        table(
            ["check", "state", "found", "remedy"],
            [[each.check, each.state, each.detail, each.remedy] for each in findings],
        )
    else:
        emit(findings, output)
    return EXIT_FAILED if any(each.state == "fail" for each in findings) else 0


async def examine(transport: Transport, settings: SchedulerConfiguration, now_s: float) -> list[Finding]:
    """Every check in order. Raises: ClusterError when the API server does not answer."""
    checks: list[Callable[[], Awaitable[Finding]]] = [
        lambda: _server(transport),
        lambda: _crds(transport),
        lambda: _rights(transport, settings),
        lambda: _fence(transport, settings),
        lambda: _lease(transport, settings, now_s),
        lambda: _gang_apis(transport),
        lambda: _claims(transport),
        lambda: _nodes(transport),
    ]
    if (asked := settings.provisioning) is not None:
        checks.append(lambda: _provisioning(transport, asked))
    return [await check() for check in checks]


async def _server(transport: Transport) -> Finding:
    version = await transport.get("/version", _Version)
    return Finding(check="API server", state="ok", detail=version.git_version)


async def _crds(transport: Transport) -> Finding:
    served = await _served(transport, "stowplan.dev/v1alpha1")
    lacking = [kind for kind in ("gangs", "teamquotas") if not {kind, f"{kind}/status"} <= set(served)]
    if not lacking:
        return Finding(check="CRDs", state="ok", detail="gangs, teamquotas: stowplan.dev/v1alpha1")
    return Finding(
        check="CRDs",
        state="fail",
        detail=f"{lacking[0]}.stowplan.dev/v1alpha1 is not served",
        remedy="kubectl apply -f deploy/crds",
    )


async def _rights(transport: Transport, settings: SchedulerConfiguration) -> Finding:
    """Of the scheduler's service account where we may ask about others, else our own."""
    election = settings.leader_election
    account = f"system:serviceaccount:{election.namespace}:stowplan"
    me = await _whoami(transport)
    rights = needed(
        election.namespace,
        election.name,
        cordons=settings.policy.cordon.enabled,
        provisions=settings.provisioning is not None,
    )
    whose = account
    try:
        lacking = await missing(transport, rights, None if me.username == account else account)
    except Forbidden:
        whose = me.username
        lacking = await missing(transport, rights, None)
    if not lacking:
        return Finding(check="rights", state="ok", detail=f"{whose} has all {len(rights)}")
    shown = ", ".join(str(right) for right in lacking[:RIGHTS_SHOWN_MAX])
    more = f" and {len(lacking) - RIGHTS_SHOWN_MAX} more" if len(lacking) > RIGHTS_SHOWN_MAX else ""
    return Finding(
        check="rights",
        state="fail",
        detail=f"{whose} may not {shown}{more}",
        remedy="kubectl apply -f " + " -f ".join(sorted({right.manifest for right in lacking})),
    )


async def _whoami(transport: Transport) -> _UserInfo:
    body = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    answer = await transport.request("POST", path, body=msgspec.json.encode(body))
    return msgspec.json.decode(answer, type=_UserReview).status.user_info


async def _fence(transport: Transport, settings: SchedulerConfiguration) -> Finding:
    if not settings.leader_election.enabled:
        return Finding(check="epoch fence", state="warn", detail="leader election is off: nothing fences")
    remedy = "kubectl apply -f deploy/admission/epoch-fence.yaml"
    try:
        for kind in ("validatingadmissionpolicies", "validatingadmissionpolicybindings"):
            await transport.request("GET", f"{POLICIES}/{kind}/{FENCE}")
    except NotFound:
        detail = f"policy or binding {FENCE} is missing: a stopped leader's late write would land"
        return Finding(check="epoch fence", state="fail", detail=detail, remedy=remedy)
    except Forbidden:
        detail = "this identity may not read admission policies"
        return Finding(check="epoch fence", state="warn", detail=detail, remedy="ask as an admin")
    return Finding(check="epoch fence", state="ok", detail=f"policy {FENCE} and its binding are there")


async def _lease(transport: Transport, settings: SchedulerConfiguration, now_s: float) -> Finding:
    election = settings.leader_election
    where = f"{election.namespace}/{election.name}"
    path = f"/apis/coordination.k8s.io/v1/namespaces/{election.namespace}/leases/{election.name}"
    remedy = "start `stowplan run`"
    try:
        spec = (await transport.get(path, wire.Lease)).spec
    except NotFound:
        return Finding(check="leader", state="warn", detail=f"no lease {where}: none ever led", remedy=remedy)
    except Forbidden:
        return Finding(check="leader", state="warn", detail=f"this identity may not read lease {where}")
    if not spec.holder_identity:
        return Finding(check="leader", state="warn", detail=f"lease {where} is released", remedy=remedy)
    age_s = _age_s(spec.renew_time, now_s)
    detail = f"{spec.holder_identity}, epoch {spec.lease_transitions or 0}, renewed {age_s:.0f} s ago"
    if age_s > (spec.lease_duration_seconds or election.lease_seconds):
        return Finding(check="leader", state="warn", detail=f"{detail}: expired", remedy=remedy)
    return Finding(check="leader", state="ok", detail=detail)


def _age_s(renewed: str | None, now_s: float) -> float:
    try:
        return now_s - datetime.fromisoformat(renewed or "").timestamp()
    except ValueError:
        return float("inf")


async def _gang_apis(transport: Transport) -> Finding:
    """Absence is no fault: gangs by own keys and by Job need no API beside ours."""
    wanted = [
        *((version, f"native PodGroup {version.rpartition('/')[2]}") for version in POD_GROUP),
        ("scheduling.x-k8s.io/v1alpha1", "coscheduling PodGroup"),
    ]
    found = [text for group, text in wanted if "podgroups" in await _served(transport, group)]
    detail = ", ".join(found) if found else "none beside stowplan's own keys and Jobs"
    return Finding(check="gang APIs", state="ok", detail=detail)


async def _claims(transport: Transport) -> Finding:
    """Absence is no fault: without the API nothing is claimed."""
    found = await claimed(transport)
    if found.unread:
        return Finding(
            check="resource claims",
            state="warn",
            detail=found.unread,
            remedy=f"kubectl apply -f {SCHEDULER_MANIFEST}, or ask as an admin",
        )
    if not found.served:
        return Finding(check="resource claims", state="ok", detail="resource.k8s.io is not served: none")
    detail = f"{found.served}; {found.claims} hold {found.devices} devices of {GPU_DRIVER}"
    return Finding(check="resource claims", state="ok", detail=detail)


async def _provisioning(transport: Transport, asked: Provisioning) -> Finding:
    """Absence stops nothing: without it gangs wait for nodes as pods do, by their conditions."""
    if RESOURCE in await _served(transport, GROUP_VERSION):
        return Finding(check="provisioning", state="ok", detail=f"{GROUP_VERSION}, class {asked.class_name}")
    return Finding(
        check="provisioning",
        state="warn",
        detail=f"{RESOURCE}.{GROUP_VERSION} is not served: gangs ask for nodes as single pods do",
        remedy="have Cluster Autoscaler serve it (its CRD and its flag), or leave `provisioning` out",
    )


async def _nodes(transport: Transport) -> Finding:
    nodes = await list_all(transport, "/api/v1/nodes", wire.Node)
    unsaid = _unsaid(nodes, await _agents(transport))
    gpus = [count for node in nodes if (count := _offered(node))]
    detail = f"{len(nodes)}, of which {len(gpus)} offer {sum(gpus)} GPUs{_told(nodes)}{_many(unsaid)}"
    if unsaid:
        remedy = f"where several pods share one device: kubectl label node {unsaid[0]} {REPLICAS}=PODS"
        return Finding(check="nodes", state="warn", detail=detail, remedy=remedy)
    if gpus:
        return Finding(check="nodes", state="ok", detail=detail)
    return Finding(
        check="nodes", state="warn", detail=detail, remedy="install the vendor's device plugin on GPU nodes"
    )


async def _agents(transport: Transport) -> list[GPUNode]:
    try:
        return await list_all(transport, GPU_NODES, GPUNode)
    except (NotFound, Forbidden):
        return []


def _unsaid(nodes: Sequence[wire.Node], agents: Sequence[GPUNode]) -> list[str]:
    """Nodes that offer more devices than there are, while no label says how many pods share one."""
    seen = {one.metadata.name: len(one.status.devices or ()) for one in agents}
    return [
        node.metadata.name
        for node in nodes
        if (there := seen.get(node.metadata.name))
        and _offered(node) > there
        and not shared_by(node.metadata.labels or {})
        and not _is_cut(node)
    ]


def _is_cut(node: wire.Node) -> bool:
    """Under MIG's single strategy instances are offered as devices."""
    return (node.metadata.labels or {}).get(STRATEGY) == "single"


def _many(unsaid: Sequence[str]) -> str:
    if not unsaid:
        return ""
    return (
        f"; {len(unsaid)} offer more than their agents see, {unsaid[0]} among them, and get no more than that"
    )


def _told(nodes: Sequence[wire.Node]) -> str:
    """Whose labels the nodes carry, what domains of the network they name, how many may be taken back."""
    labels = [node.metadata.labels or {} for node in nodes]
    found = Counter(platform.name for one in labels for platform in platforms_of(one))
    parts = [", ".join(f"{name} on {count}" for name, count in found.most_common())] if found else []
    domains = topology_of({key: value for one in labels for key, value in one.items()})
    if len(domains) > 1:
        parts.append("domains " + " > ".join(domains))
    if vague := _no_domains(labels):
        parts.append(f"no domains, since too many nodes share them or nobody knows: {', '.join(vague)}")
    if spot := sum(map(is_spot, labels)):
        parts.append(f"{spot} of them are spot")
    return "".join(f"; {part}" for part in parts)


def _no_domains(labels: Sequence[Mapping[str, str]]) -> list[str]:
    """Labels of the network whose value says nothing of where a node is, with how many nodes have it."""
    counts = Counter((key, one[key]) for one in labels for key in topology_of(one) if key != HOSTNAME)
    return [f"{key}={value} on {n}" for (key, value), n in counts.items() if not is_domain(key, value, n)]


def _offered(node: wire.Node) -> int:
    """By its device plugin."""
    count = str((node.status.allocatable or {}).get("nvidia.com/gpu", "0"))
    return int(count) if count.isdigit() else 0


async def _served(transport: Transport, group_version: str) -> set[str]:
    """Names of the resources of a group version; empty when it is not served."""
    try:
        found = await transport.get(f"/apis/{group_version}", _Resources)
    except NotFound:
        return set()
    return {resource.name for resource in found.resources}

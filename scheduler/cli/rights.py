"""The rights the scheduler uses, one by one, and whether an identity has them."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import msgspec

from scheduler.kube.transport import Transport

_READ = ("list", "watch")
#: (group, resource, verbs) of ``deploy/rbac/scheduler.yaml``, but for the frameworks' own objects: without
#: those rights the pods' own words are taken.
RIGHTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("", "pods", ("get", *_READ)),
    ("", "pods/binding", ("create",)),
    ("", "pods/eviction", ("create",)),
    ("", "pods/status", ("patch",)),
    ("", "nodes", _READ),
    ("", "namespaces", _READ),
    ("", "persistentvolumes", ("get", *_READ, "patch")),
    ("", "persistentvolumeclaims", ("get", *_READ, "patch")),
    ("storage.k8s.io", "storageclasses", _READ),
    ("policy", "poddisruptionbudgets", _READ),
    ("storage.k8s.io", "csinodes", _READ),
    ("storage.k8s.io", "csidrivers", _READ),
    ("storage.k8s.io", "csistoragecapacities", _READ),
    ("batch", "jobs", _READ),
    ("scheduling.k8s.io", "podgroups", _READ),
    ("scheduling.x-k8s.io", "podgroups", _READ),
    ("resource.k8s.io", "deviceclasses", _READ),
    ("resource.k8s.io", "resourceclaims", _READ),
    ("resource.k8s.io", "resourceslices", _READ),
    ("stowplan.dev", "gpunodes", _READ),
    ("stowplan.dev", "gangs", ("get", *_READ, "create", "delete")),
    ("stowplan.dev", "gangs/status", ("patch",)),
    ("stowplan.dev", "teamquotas", _READ),
    ("stowplan.dev", "teamquotas/status", ("patch",)),
    ("events.k8s.io", "events", ("create",)),
)
#: Only in the lease's own namespace.
LEASE_RIGHTS: tuple[str, str, tuple[str, ...]] = (
    "coordination.k8s.io",
    "leases",
    ("get", "create", "update"),
)
#: Only where the policy cordons nodes.
CORDON_RIGHTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (("", "nodes", ("patch",)),)
#: Only where an autoscaler is asked for nodes.
PROVISIONING_RIGHTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("autoscaling.x-k8s.io", "provisioningrequests", ("list", "create", "delete")),
    ("", "podtemplates", ("create", "delete")),
)
SCHEDULER_MANIFEST = "deploy/rbac/scheduler.yaml"
CORDON_MANIFEST = "deploy/optional/cordon.yaml"
PROVISIONING_MANIFEST = "deploy/optional/provisioning.yaml"


@dataclass(frozen=True, slots=True, kw_only=True)
class Right:
    group: str
    resource: str
    verb: str
    #: Empty for all namespaces.
    namespace: str = ""
    name: str = ""
    #: What grants it.
    manifest: str = SCHEDULER_MANIFEST

    def __str__(self) -> str:
        where = f" in {self.namespace}" if self.namespace else ""
        return f"{self.verb} {self.resource}{f'.{self.group}' if self.group else ''}{where}"


class _Allowed(msgspec.Struct, frozen=True):
    allowed: bool = False


class _Review(msgspec.Struct, frozen=True):
    status: _Allowed = _Allowed()


def needed(lease_namespace: str, lease_name: str, *, cordons: bool, provisions: bool) -> list[Right]:
    """Every right of the scheduler as a question to ask.

    cordons: whether its policy cordons nodes. provisions: whether it asks an autoscaler for nodes.
    """
    granted = [(RIGHTS, SCHEDULER_MANIFEST)]
    if cordons:
        granted.append((CORDON_RIGHTS, CORDON_MANIFEST))
    if provisions:
        granted.append((PROVISIONING_RIGHTS, PROVISIONING_MANIFEST))
    everywhere = [
        Right(group=group, resource=resource, verb=verb, manifest=manifest)
        for rights, manifest in granted
        for group, resource, verbs in rights
        for verb in verbs
    ]
    group, resource, verbs = LEASE_RIGHTS
    return everywhere + [
        Right(
            group=group,
            resource=resource,
            verb=verb,
            namespace=lease_namespace,
            # A create names no object yet, so no role can restrict it by name.
            name="" if verb == "create" else lease_name,
        )
        for verb in verbs
    ]


async def missing(transport: Transport, rights: list[Right], user: str | None) -> list[Right]:
    """Those that ``user`` lacks; of our own identity for None.

    Raises: Forbidden when we may not ask about ``user``.
    """
    answers = await asyncio.gather(*(_is_allowed(transport, right, user) for right in rights))
    return [right for right, allowed in zip(rights, answers, strict=True) if not allowed]


async def _is_allowed(transport: Transport, right: Right, user: str | None) -> bool:
    resource, _, subresource = right.resource.partition("/")
    spec: dict[str, object] = {
        "resourceAttributes": {
            "group": right.group,
            "resource": resource,
            "subresource": subresource,
            "verb": right.verb,
            "namespace": right.namespace,
            "name": right.name,
        }
    }
    kind = "SelfSubjectAccessReview"
    if user is not None:
        kind = "SubjectAccessReview"
        _, _, namespace, _ = user.split(":")
        groups = ["system:serviceaccounts", f"system:serviceaccounts:{namespace}", "system:authenticated"]
        spec |= {"user": user, "groups": groups}
    body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
    path = f"/apis/authorization.k8s.io/v1/{kind.lower()}s"
    answer = await transport.request("POST", path, body=msgspec.json.encode(body))
    return msgspec.json.decode(answer, type=_Review).status.allowed

"""Manifests that somebody means to submit, as the pods and groups that the API server would hold."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

import msgspec

from scheduler.gangs.groups import Group
from scheduler.kube import wire
from scheduler.model.objects import Pod, Rejected
from scheduler.parse.groups import parse_coscheduling, parse_job, parse_pod_group
from scheduler.parse.pod import parse_pod
from simulations.manifests import BadManifest, Manifest, documents

PODS_MAX = 10_000
KINDS = "Pod, Job and PodGroup"
T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Submitted:
    pods: tuple[Pod, ...] = ()
    groups: tuple[Group, ...] = ()


def read_manifests(path: Path, *, at_s: float) -> Submitted:
    """The pods that would be there, created at ``at_s`` of the epoch; a Job's as its controller makes them.

    Raises: BadManifest.
    """
    pods: list[Pod] = []
    groups: list[Group] = []
    for where, document in documents(path):
        kind = document.get("kind")
        try:
            match kind:
                case "Pod":
                    pods.append(_pod(where, document, at_s))
                case "Job":
                    group, made = _job(where, document, at_s)
                    groups.append(group)
                    pods += made
                case "PodGroup":
                    groups.append(_group(document))
                case "Namespace":
                    pass
                case _:
                    found = ascii(kind)[:60]
                    raise BadManifest(f"{where}: kind {found}: expected {KINDS}; give its pods instead")
        except msgspec.MsgspecError as error:
            raise BadManifest(f"{where}: {error}") from error
        if len(pods) > PODS_MAX:
            raise BadManifest(f"{where}: more than {PODS_MAX:,} pods in one file")
    return Submitted(pods=tuple(pods), groups=tuple(groups))


def _pod(where: str, document: Manifest, at_s: float) -> Pod:
    found = _decoded(document, wire.Pod)
    name = found.metadata.name
    spec = document.get("spec")
    if isinstance(spec, dict) and spec.get("priorityClassName") and spec.get("priority") is None:
        raise BadManifest(f"{where}: spec.priorityClassName: give spec.priority, a snapshot has no classes")
    namespace = found.metadata.namespace or "default"
    found = msgspec.structs.replace(
        found,
        metadata=msgspec.structs.replace(
            found.metadata, namespace=namespace, uid=f"submitted-{namespace}-{name}", resource_version="1"
        ),
        status=wire.PodStatus(phase="Pending"),
    )
    parsed = parse_pod(found)
    if isinstance(parsed, Rejected):
        raise BadManifest(f"{where}: pod {namespace}/{name}: {parsed.reason}")
    return replace(parsed, created_s=at_s)


def _job(where: str, document: Manifest, at_s: float) -> tuple[Group, list[Pod]]:
    found = _decoded(document, wire.Job)
    namespace, name = found.metadata.namespace or "default", found.metadata.name
    uid = f"submitted-job-{namespace}-{name}"
    metadata = msgspec.structs.replace(found.metadata, namespace=namespace, uid=uid, generation=1)
    group = parse_job(msgspec.structs.replace(found, metadata=metadata))
    spec = document.get("spec")
    template = spec.get("template") if isinstance(spec, dict) else None
    if not isinstance(template, dict):
        raise BadManifest(f"{where}: spec.template: expected the template of its pods")
    said = template.get("metadata")
    words = said if isinstance(said, dict) else {}
    owner = {"apiVersion": "batch/v1", "kind": "Job", "name": name, "uid": uid, "controller": True}
    completions = found.spec.completions
    parallelism = 1 if found.spec.parallelism is None else found.spec.parallelism
    count = parallelism if completions is None else min(parallelism, completions)
    if found.spec.suspend:
        count = 0
    if not 0 <= count <= PODS_MAX:
        raise BadManifest(f"{where}: spec.parallelism: expected 0 to {PODS_MAX:,} pods, found {count:,}")
    labels = {**(words.get("labels") or {}), "batch.kubernetes.io/job-name": name, "job-name": name}
    pods = [
        _pod(
            where,
            {
                "metadata": {
                    "name": f"{name}-{i}",
                    "namespace": namespace,
                    "labels": labels,
                    "annotations": {
                        **(words.get("annotations") or {}),
                        "batch.kubernetes.io/job-completion-index": str(i),
                    },
                    "ownerReferences": [owner],
                },
                "spec": template.get("spec") or {},
            },
            at_s,
        )
        for i in range(count)
    ]
    return group, pods


def _group(document: Manifest) -> Group:
    version = str(document.get("apiVersion", ""))
    if version.startswith("scheduling.x-k8s.io/"):
        found = _decoded(document, wire.CoschedulingPodGroup)
        return parse_coscheduling(msgspec.structs.replace(found, metadata=_placed(found.metadata)))
    native = _decoded(document, wire.PodGroup)
    placed = msgspec.structs.replace(native, metadata=_placed(native.metadata))
    return parse_pod_group(placed, api_version=version)


def _placed(metadata: wire.Metadata) -> wire.Metadata:
    namespace = metadata.namespace or "default"
    uid = f"submitted-group-{namespace}-{metadata.name}"
    return msgspec.structs.replace(metadata, namespace=namespace, uid=uid, generation=1)


def _decoded(document: Manifest, kind: type[T]) -> T:
    """By way of JSON: parts of a pod stay bytes until they are parsed."""
    return msgspec.json.decode(msgspec.json.encode(document), type=kind)

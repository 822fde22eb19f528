"""Gangs as each framework's controller makes them: the object its user writes and the pods that follow.

Every recording names the source it was taken from. Fields that decide nothing here are left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import cast

Json = Mapping[str, "Json"] | Sequence["Json"] | str | int | float | bool | None
Words = Mapping[str, str]

NAMESPACE = "red"
GPU = "nvidia.com/gpu"


Body = Mapping[str, Json]


@dataclass(frozen=True)
class Made:
    """A gang-defining object; ``kind`` as ``GroupKind`` names it."""

    kind: str
    body: Body

    def with_spec(self, spec: Body) -> Made:
        return Made(self.kind, {**self.body, "spec": spec})


@dataclass(frozen=True, kw_only=True)
class Recording:
    """One gang. ``minimum`` of its ``pods`` must be there before any is bound, in the order of no list.

    ``late`` are pods that the controller makes only when all of ``pods`` run, together as well.
    """

    dialect: str
    source: str
    objects: tuple[Made, ...] = ()
    pods: tuple[Body, ...]
    minimum: int
    late: tuple[Body, ...] = ()


def pod(
    name: str,
    *,
    labels: Words | None = None,
    annotations: Words | None = None,
    owner: tuple[str, str, str, str] | None = None,
    group: str = "",
    gpus: int = 1,
    namespace: str = NAMESPACE,
) -> Body:
    """A pod whose template says ``schedulerName: stowplan``; owner: apiVersion, kind, name, uid."""
    metadata: dict[str, Json] = {
        "name": name,
        "namespace": namespace,
        "uid": f"uid-{name}",
        "resourceVersion": "1",
        "creationTimestamp": "2026-11-24T18:00:00Z",
        "labels": dict(labels or {}),
        "annotations": dict(annotations or {}),
    }
    if owner is not None:
        version, kind, owner_name, uid = owner
        reference: Json = {
            "apiVersion": version,
            "kind": kind,
            "name": owner_name,
            "uid": uid,
            "controller": True,
        }
        metadata["ownerReferences"] = [reference]
    spec: dict[str, Json] = {
        "schedulerName": "stowplan",
        "containers": [{"name": "c", "image": "none", "resources": {"limits": {GPU: str(gpus)}}}],
    }
    if group:
        spec["schedulingGroup"] = {"podGroupName": group}
    return {"metadata": metadata, "spec": spec, "status": {"phase": "Pending"}}


def metadata_of(found: Body) -> Body:
    return cast(Body, found["metadata"])


def words_of(found: Body) -> Words:
    """Labels and annotations of a recorded pod."""
    metadata = metadata_of(found)
    return {**cast(Words, metadata["labels"]), **cast(Words, metadata["annotations"])}


def made(kind: str, name: str, spec: Body) -> Made:
    """An object in the namespace; its uid is ``KIND-NAME``, where the kind is as the API spells it."""
    metadata: Json = {
        "name": name,
        "namespace": NAMESPACE,
        "uid": f"{kind.removesuffix('V1')}-{name}",
        "resourceVersion": "1",
        "generation": 1,
    }
    return Made(kind, {"metadata": metadata, "spec": spec})

"""A pod as a template that says where such a pod may go and what it needs there, and nothing else of it.

Who may read templates need not be allowed to read what a pod's owner wrote into commands and variables.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

Json = dict[str, Any]

#: What autoscalers' simulated scheduling reads of a pod's spec.
_SPEC: Final = (
    "affinity",
    "hostNetwork",
    "nodeSelector",
    "os",
    "overhead",
    "priority",
    "priorityClassName",
    "resourceClaims",
    "resources",
    "runtimeClassName",
    "schedulerName",
    "tolerations",
    "topologySpreadConstraints",
)
_CONTAINER: Final = ("name", "image", "ports", "resources", "restartPolicy")
#: Sources of volumes that tie a pod to nodes.
_SOURCES: Final = ("persistentVolumeClaim", "ephemeral")


def template_of(pod: Mapping[str, Any]) -> Json:
    """The ``template`` of a PodTemplate for pods like this one, as the API server showed it."""
    metadata, spec = pod.get("metadata") or {}, pod.get("spec") or {}
    made = _some(spec, _SPEC)
    for kind in ("containers", "initContainers"):
        if spec.get(kind):
            made[kind] = [_some(container, _CONTAINER) for container in spec[kind]]
    volumes = [_some(volume, ("name", *_SOURCES)) for volume in spec.get("volumes") or ()]
    if tying := [volume for volume in volumes if len(volume) > 1]:
        made["volumes"] = tying
    return {"metadata": {"labels": dict(metadata.get("labels") or {})}, "spec": made}


def _some(found: Mapping[str, Any], keys: Iterable[str]) -> Json:
    return {key: found[key] for key in keys if found.get(key) is not None}

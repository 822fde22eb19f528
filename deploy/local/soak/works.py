"""The manifests of a soak: what a team runs, by the controllers that Kubernetes comes with."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

Json = dict[str, Any]
GPU: Final = "nvidia.com/gpu"
TEAM: Final = "red"
URGENT: Final = "urgent"
STRANGER: Final = "evil"
NAMESPACES: Final = (TEAM, STRANGER)
#: Works that never end: whatever happens, they stand again in the end.
STEADY: Final = ("steady", "web")


def path_of(kind: str, namespace: str = TEAM, name: str = "", part: str = "") -> str:
    """Where an object of a kind is, or where it is made."""
    bases = {
        "Pod": "/api/v1/namespaces/{}/pods",
        "Job": "/apis/batch/v1/namespaces/{}/jobs",
        "CronJob": "/apis/batch/v1/namespaces/{}/cronjobs",
        "Deployment": "/apis/apps/v1/namespaces/{}/deployments",
        "StatefulSet": "/apis/apps/v1/namespaces/{}/statefulsets",
        "PodDisruptionBudget": "/apis/policy/v1/namespaces/{}/poddisruptionbudgets",
    }
    return "/".join(piece for piece in (bases[kind].format(namespace), name, part) if piece)


def _template(
    words: Mapping[str, str], *, gpus: int, run_s: int | None, grace_s: int, app: str, is_urgent: bool = False
) -> Json:
    annotations = {**words, "stowplan.dev/run-seconds": "forever" if run_s is None else str(run_s)}
    amounts = {GPU: str(gpus)}
    container = {"name": "main", "image": "none", "resources": {"limits": amounts, "requests": amounts}}
    spec: Json = {
        "schedulerName": "stowplan",
        "terminationGracePeriodSeconds": grace_s,
        "automountServiceAccountToken": False,
        "containers": [container],
    }
    if is_urgent:
        spec["priorityClassName"] = URGENT
    return {"metadata": {"labels": {"app": app}, "annotations": annotations}, "spec": spec}


def _gang(name: str, size: int) -> dict[str, str]:
    return {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": str(size)}


def job(name: str, *, pods: int, gpus: int, run_s: int, fails: bool = False) -> Json:
    """An Indexed Job that is a gang, with what a Job that is a gang should say."""
    words = {"stowplan.dev/gang-policy": "all-or-nothing"} | (
        {"stowplan.dev/exit-code": "1"} if fails else {}
    )
    template = _template(words, gpus=gpus, run_s=run_s, grace_s=5, app=name)
    template["spec"]["restartPolicy"] = "Never"
    disrupted = {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget"}]}
    spec = {
        "completions": pods,
        "parallelism": pods,
        "completionMode": "Indexed",
        "backoffLimitPerIndex": 1,
        "ttlSecondsAfterFinished": 20,
        "podFailurePolicy": {"rules": [disrupted]},
        "template": template,
    }
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name}, "spec": spec}


def cron_job() -> Json:
    """The same gang every minute; the pods of the run before stay."""
    template = _template(_gang("nightly", 3), gpus=2, run_s=20, grace_s=5, app="nightly")
    template["spec"]["restartPolicy"] = "Never"
    spec = {
        "schedule": "* * * * *",
        "concurrencyPolicy": "Forbid",
        "successfulJobsHistoryLimit": 1,
        "jobTemplate": {"spec": {"completions": 3, "parallelism": 3, "template": template}},
    }
    return {"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "nightly"}, "spec": spec}


def stateful_set() -> Json:
    spec = {
        "replicas": 3,
        "serviceName": "steady",
        "podManagementPolicy": "Parallel",
        "selector": {"matchLabels": {"app": "steady"}},
        "template": _template(_gang("steady", 3), gpus=2, run_s=None, grace_s=30, app="steady"),
    }
    return {"apiVersion": "apps/v1", "kind": "StatefulSet", "metadata": {"name": "steady"}, "spec": spec}


def deployment() -> Json:
    spec = {
        "replicas": 4,
        "selector": {"matchLabels": {"app": "web"}},
        "template": _template({}, gpus=1, run_s=None, grace_s=10, app="web"),
    }
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web"}, "spec": spec}


def budget() -> Json:
    spec = {"minAvailable": 2, "selector": {"matchLabels": {"app": "steady"}}}
    kind = {"apiVersion": "policy/v1", "kind": "PodDisruptionBudget"}
    return {**kind, "metadata": {"name": "steady"}, "spec": spec}


def pod(
    name: str, *, gang: str = "", size: int = 1, gpus: int, run_s: int | None, is_urgent: bool = False
) -> Json:
    words = _gang(gang, size) if gang else {}
    body = _template(words, gpus=gpus, run_s=run_s, grace_s=0, app=gang or name, is_urgent=is_urgent)
    body["metadata"]["name"] = name
    body["spec"]["restartPolicy"] = "Never"
    return {"apiVersion": "v1", "kind": "Pod", **body}


def strange_pod(number: int) -> Json:
    """What one tenant writes and another should not feel."""
    body = pod(f"strange-{number}", gpus=64, run_s=None)
    limits: dict[str, str] = {GPU: "64"}
    match number % 4:
        case 0:
            limits["memory"] = "64Ti"
        case 1:
            limits[f"example.com/thing-{number}"] = "1"
        case 2:
            words = {
                "stowplan.dev/gang": "x" * 200,
                "stowplan.dev/gang-min-member": "-1",
                "note": "x" * 100_000,
            }
            body["metadata"]["annotations"] = words
        case _:
            term = {
                "labelSelector": {"matchLabels": {"app": "evil"}},
                "topologyKey": "kubernetes.io/hostname",
            }
            rule = {"requiredDuringSchedulingIgnoredDuringExecution": [term]}
            body["spec"]["affinity"] = {"podAntiAffinity": rule}
    body["spec"]["containers"][0]["resources"] = {"limits": limits, "requests": limits}
    return body

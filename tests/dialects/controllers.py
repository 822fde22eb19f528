"""What each framework's controller makes of a manifest: the pods of docs/examples, as it creates them.

Names, labels, owners and the order of creation are those of the recordings, whose sources are named there;
the rest of a pod is what the manifest's template says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from tests.dialects.recorded import Body, Made, made, metadata_of, pod
from tests.dialects.recorded_groups import volcano_group, volcano_pod
from tests.dialects.recorded_jobs import (
    job_pod,
    jobset_pod,
    kubeflow_pod,
    lws_pod,
    mpi_launcher,
    mpi_worker,
    ray_pod,
    spark_executor,
)

Manifest = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Created:
    """``objects`` are what describes gangs; ``late`` pods are made when all of ``pods`` run."""

    objects: tuple[Made, ...] = ()
    pods: tuple[Body, ...] = ()
    late: tuple[Body, ...] = ()


def create(documents: Sequence[Manifest]) -> Created:
    """All that comes of the documents of one file. Raises: KeyError for a kind without a controller here."""
    found = []
    for document in documents:
        group, _, _ = document["apiVersion"].rpartition("/")
        controller = CONTROLLERS[group, document["kind"]]
        found.append(controller(document, documents))
    return Created(
        objects=tuple(made for part in found for made in part.objects),
        pods=tuple(body for part in found for body in part.pods),
        late=tuple(body for part in found for body in part.late),
    )


def _filled(found: Body, template: Manifest) -> Body:
    """A pod as its controller names and labels it, with the template's spec and words below."""
    given = template.get("metadata", {})
    metadata: dict[str, Any] = dict(metadata_of(found))
    for words in ("labels", "annotations"):
        metadata[words] = {**given.get(words, {}), **metadata[words]}
    return {**found, "metadata": metadata, "spec": template["spec"]}


def _name(document: Manifest) -> str:
    return str(document["metadata"]["name"])


def _pod(document: Manifest, _: Sequence[Manifest]) -> Created:
    return Created(pods=(_filled(pod(_name(document)), document),))


def _group(kind: str) -> Callable[[Manifest, Sequence[Manifest]], Created]:
    return lambda document, _: Created(objects=(made(kind, _name(document), document["spec"]),))


def _nothing(document: Manifest, _: Sequence[Manifest]) -> Created:
    return Created()


def _job(document: Manifest, _: Sequence[Manifest]) -> Created:
    name, spec = _name(document), document["spec"]
    count = min(spec.get("parallelism", 1), spec.get("completions", 1))
    pods = tuple(_filled(job_pod(name, i), spec["template"]) for i in range(count))
    return Created(objects=(made("Job", name, {**spec, "template": {}}),), pods=pods)


def _replicas(kind: str, owner_kind: str = "") -> Callable[[Manifest, Sequence[Manifest]], Created]:
    def controller(document: Manifest, _: Sequence[Manifest]) -> Created:
        name, spec = _name(document), document["spec"]
        owner = ("apps/v1", owner_kind or kind, name, f"{kind}-{name}")
        pods = (pod(f"{name}-{i}", owner=owner) for i in range(spec["replicas"]))
        return Created(pods=tuple(_filled(found, spec["template"]) for found in pods))

    return controller


def _kubeflow(field: str) -> Callable[[Manifest, Sequence[Manifest]], Created]:
    def controller(document: Manifest, _: Sequence[Manifest]) -> Created:
        name, kind, spec = _name(document), document["kind"], document["spec"]
        is_new = document["apiVersion"] == "kubeflow.org/v2beta1"
        pods = {
            role.lower(): tuple(
                _filled(_member(name, kind, role.lower(), i, is_new=is_new), replica["template"])
                for i in range(replica["replicas"])
            )
            for role, replica in spec[field].items()
        }
        is_late = spec.get("launcherCreationPolicy") == "WaitForWorkersReady"
        late = pods.pop("launcher") if is_late else ()
        described = made("MPIJobV1" if kind == "MPIJob" and not is_new else kind, name, spec)
        return Created(
            objects=(described,), pods=tuple(body for part in pods.values() for body in part), late=late
        )

    return controller


def _member(job: str, kind: str, role: str, i: int, *, is_new: bool) -> Body:
    if not is_new:
        return kubeflow_pod(job, kind, role, i)
    return mpi_launcher(job) if role == "launcher" else mpi_worker(job, i)


def _jobset(document: Manifest, _: Sequence[Manifest]) -> Created:
    name, spec = _name(document), document["spec"]
    in_order = spec.get("startupPolicy", {}).get("startupPolicyOrder") == "InOrder"
    first: list[Body] = []
    late: list[Body] = []
    for place, role in enumerate(spec["replicatedJobs"]):
        inner = role["template"]["spec"]
        count = min(inner.get("parallelism", 1), inner.get("completions", inner.get("parallelism", 1)))
        is_late = bool(role.get("dependsOn")) or (in_order and place > 0)
        (late if is_late else first).extend(
            _filled(jobset_pod(name, role["name"], job, i), inner["template"])
            for job in range(role.get("replicas", 1))
            for i in range(count)
        )
    return Created(objects=(made("JobSet", name, spec),), pods=tuple(first), late=tuple(late))


def _trainjob(document: Manifest, documents: Sequence[Manifest]) -> Created:
    """Its JobSet has its name. The step stands on Jobs (jobset_controller.go constructJob), not on pods."""
    runtime = next(found for found in documents if _name(found) == document["spec"]["runtimeRef"]["name"])
    spec = runtime["spec"]["template"]["spec"]
    nodes = document["spec"]["trainer"]["numNodes"]
    roles = []
    for role in spec["replicatedJobs"]:
        inner = dict(role["template"]["spec"])
        step = role["template"]["metadata"]["labels"]["trainer.kubeflow.org/trainjob-ancestor-step"]
        if step == "trainer":
            inner |= {"parallelism": nodes, "completions": nodes}
        roles.append({**role, "template": {"spec": inner}})
    jobset = {"metadata": {"name": _name(document)}, "spec": {**spec, "replicatedJobs": roles}}
    return _jobset(jobset, documents)


def _raycluster(document: Manifest, _: Sequence[Manifest]) -> Created:
    return _ray_pods(_name(document), document["spec"])


def _rayjob(document: Manifest, _: Sequence[Manifest]) -> Created:
    name = _name(document)
    made_ = _ray_pods(f"{name}-tz4vk", document["spec"]["rayClusterSpec"])
    owner = ("batch/v1", "Job", name, f"Job-{name}")
    submitter = _filled(pod(f"{name}-n5d8q", owner=owner), document["spec"]["submitterPodTemplate"])
    return Created(objects=made_.objects, pods=made_.pods, late=(submitter,))


def _ray_pods(name: str, spec: Manifest) -> Created:
    pods = [_filled(ray_pod(name, "head", "headgroup", "head"), spec["headGroupSpec"]["template"])]
    for group in spec["workerGroupSpecs"]:
        count = group["replicas"] * group.get("numOfHosts", 1)
        pods += [
            _filled(ray_pod(name, "worker", group["groupName"], f"worker-{i}"), group["template"])
            for i in range(count)
        ]
    return Created(objects=(made("RayCluster", name, spec),), pods=tuple(pods))


def _lws(document: Manifest, _: Sequence[Manifest]) -> Created:
    name, spec = _name(document), document["spec"]
    template, size = spec["leaderWorkerTemplate"], spec["leaderWorkerTemplate"]["size"]
    leader = template.get("leaderTemplate", template["workerTemplate"])
    groups = range(spec["replicas"])
    first = [_filled(lws_pod(name, 0, size, group), leader) for group in groups]
    others = [
        _filled(lws_pod(name, i, size, group), template["workerTemplate"])
        for group in groups
        for i in range(1, size)
    ]
    described = (made("LeaderWorkerSet", name, spec),)
    if spec.get("startupPolicy") == "LeaderReady":
        return Created(objects=described, pods=tuple(first), late=tuple(others))
    return Created(objects=described, pods=(*first, *others))


def _spark(document: Manifest, _: Sequence[Manifest]) -> Created:
    name, spec = _name(document), document["spec"]
    driver = pod(f"{name}-driver", labels={"spark-app-selector": name, "spark-role": "driver"})
    executors = (spark_executor(name, i) for i in range(spec["executor"]["instances"]))
    return Created(
        pods=(_filled(driver, _spark_template(spec["driver"])),),
        late=tuple(_filled(found, _spark_template(spec["executor"])) for found in executors),
    )


def _spark_template(role: Manifest) -> Manifest:
    limits = {role["gpu"]["name"]: role["gpu"]["quantity"]} if "gpu" in role else {}
    container = {"name": "spark", "image": "spark", "resources": {"limits": limits}}
    spec = {key: role[key] for key in ("schedulerName",) if key in role}
    return {
        "metadata": {"annotations": role.get("annotations", {})},
        "spec": {**spec, "containers": [container]},
    }


def _volcano(document: Manifest, _: Sequence[Manifest]) -> Created:
    """A pod whose template names no scheduler gets the job's (job_controller_util.go createJobPod)."""
    name, spec = _name(document), document["spec"]
    scheduler = {"schedulerName": spec["schedulerName"]} if "schedulerName" in spec else {}
    tasks = {task["name"]: task.get("minAvailable", task["replicas"]) for task in spec["tasks"]}
    described = {"minMember": spec["minAvailable"], "minTaskMember": tasks, "queue": spec["queue"]}
    pods = [
        _filled(
            volcano_pod(name, task["name"], i),
            {**task["template"], "spec": {**scheduler, **task["template"]["spec"]}},
        )
        for task in spec["tasks"]
        for i in range(task["replicas"])
    ]
    return Created(objects=(made("VolcanoPodGroup", volcano_group(name), described),), pods=tuple(pods))


#: By API group and kind.
CONTROLLERS: Mapping[tuple[str, str], Callable[[Manifest, Sequence[Manifest]], Created]] = {
    ("", "Pod"): _pod,
    ("apps", "Deployment"): _replicas("Deployment", "ReplicaSet"),
    ("apps", "ReplicaSet"): _replicas("ReplicaSet"),
    ("apps", "StatefulSet"): _replicas("StatefulSet"),
    ("batch", "Job"): _job,
    ("batch.volcano.sh", "Job"): _volcano,
    ("jobset.x-k8s.io", "JobSet"): _jobset,
    ("kubeflow.org", "JAXJob"): _kubeflow("jaxReplicaSpecs"),
    ("kubeflow.org", "MPIJob"): _kubeflow("mpiReplicaSpecs"),
    ("kubeflow.org", "PaddleJob"): _kubeflow("paddleReplicaSpecs"),
    ("kubeflow.org", "PyTorchJob"): _kubeflow("pytorchReplicaSpecs"),
    ("kubeflow.org", "TFJob"): _kubeflow("tfReplicaSpecs"),
    ("kubeflow.org", "XGBoostJob"): _kubeflow("xgbReplicaSpecs"),
    ("leaderworkerset.x-k8s.io", "LeaderWorkerSet"): _lws,
    ("ray.io", "RayCluster"): _raycluster,
    ("ray.io", "RayJob"): _rayjob,
    ("scheduling.k8s.io", "PodGroup"): _group("PodGroup"),
    ("scheduling.run.ai", "PodGroup"): _group("KaiPodGroup"),
    ("scheduling.sigs.k8s.io", "PodGroup"): _group("KoordinatorPodGroup"),
    ("scheduling.x-k8s.io", "PodGroup"): _group("CoschedulingPodGroup"),
    ("sparkoperator.k8s.io", "SparkApplication"): _spark,
    ("trainer.kubeflow.org", "TrainingRuntime"): _nothing,
    ("trainer.kubeflow.org", "TrainJob"): _trainjob,
}

"""Gangs that follow from what controls their pods, as each controller makes them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

from tests.dialects.recorded import Body, Json, Made, Recording, Words, made, metadata_of, pod, words_of


def _replicas(**counts: int) -> Body:
    return {role: {"replicas": count, "template": {"spec": {}}} for role, count in counts.items()}


def kubeflow_pod(
    job: str, kind: str, role: str, i: int, *, operator: str = "", version: str = "kubeflow.org/v1"
) -> Body:
    """As ``JobController.createNewPod`` labels them (pkg/controller.v1/common/pod.go)."""
    labels = {
        "training.kubeflow.org/job-name": job,
        "training.kubeflow.org/operator-name": operator or f"{kind.lower()}-controller",
        "training.kubeflow.org/replica-type": role,
        "training.kubeflow.org/replica-index": str(i),
    }
    return pod(f"{job}-{role}-{i}", labels=labels, owner=(version, kind, job, f"{kind}-{job}"))


def pytorch(name: str, n: int) -> Recording:
    spec: Body = {
        "pytorchReplicaSpecs": _replicas(Master=1, Worker=n - 1),
        "runPolicy": {"cleanPodPolicy": "None"},
    }
    workers = (kubeflow_pod(name, "PyTorchJob", "worker", i) for i in range(n - 1))
    return Recording(
        dialect="pytorchjob",
        source="kubeflow/training-operator v1.8.1: examples/pytorch/simple.yaml",
        objects=(made("PyTorchJob", name, spec),),
        pods=(kubeflow_pod(name, "PyTorchJob", "master", 0), *workers),
        minimum=n,
    )


def pytorch_elastic(name: str, n: int) -> Recording:
    """Of two more workers than needed, the job starts without."""
    spec: Body = {
        "pytorchReplicaSpecs": _replicas(Worker=n + 2),
        "elasticPolicy": {"minReplicas": n, "maxReplicas": n + 4, "rdzvBackend": "c10d"},
    }
    return Recording(
        dialect="pytorchjob",
        source="kubeflow/training-operator v1.8.1: examples/pytorch/elastic/echo/echo.yaml",
        objects=(made("PyTorchJob", name, spec),),
        pods=tuple(kubeflow_pod(name, "PyTorchJob", "worker", i) for i in range(n + 2)),
        minimum=n,
    )


def tensorflow(name: str, n: int) -> Recording:
    spec: Body = {"tfReplicaSpecs": _replicas(PS=1, Worker=n - 1)}
    workers = (kubeflow_pod(name, "TFJob", "worker", i) for i in range(n - 1))
    return Recording(
        dialect="tfjob",
        source="kubeflow/training-operator v1.8.1: examples/tensorflow/dist-mnist/tf_job_mnist.yaml",
        objects=(made("TFJob", name, spec),),
        pods=(kubeflow_pod(name, "TFJob", "ps", 0), *workers),
        minimum=n,
    )


def xgboost(name: str, n: int) -> Recording:
    """minAvailable asks for one less than all."""
    spec: Body = {
        "xgbReplicaSpecs": _replicas(Master=1, Worker=n),
        "runPolicy": {"schedulingPolicy": {"minAvailable": n}},
    }
    workers = (kubeflow_pod(name, "XGBoostJob", "worker", i) for i in range(n))
    return Recording(
        dialect="xgboostjob",
        source="kubeflow/training-operator v1.8.1: examples/xgboost/xgboostjob.yaml, common_types.go",
        objects=(made("XGBoostJob", name, spec),),
        pods=(kubeflow_pod(name, "XGBoostJob", "master", 0), *workers),
        minimum=n,
    )


def jax(name: str, n: int) -> Recording:
    return Recording(
        dialect="jaxjob",
        source="kubeflow/training-operator: examples/jax/cpu-demo/demo.yaml",
        objects=(made("JAXJob", name, {"jaxReplicaSpecs": _replicas(Worker=n)}),),
        pods=tuple(kubeflow_pod(name, "JAXJob", "worker", i) for i in range(n)),
        minimum=n,
    )


def paddle(name: str, n: int) -> Recording:
    return Recording(
        dialect="paddlejob",
        source="kubeflow/training-operator v1.8.1: examples/paddlepaddle/simple-cpu.yaml",
        objects=(made("PaddleJob", name, {"paddleReplicaSpecs": _replicas(Worker=n)}),),
        pods=tuple(kubeflow_pod(name, "PaddleJob", "worker", i) for i in range(n)),
        minimum=n,
    )


def mpi_worker(job: str, i: int) -> Body:
    labels = {
        "training.kubeflow.org/job-name": job,
        "training.kubeflow.org/operator-name": "mpi-operator",
        "training.kubeflow.org/job-role": "worker",
        "training.kubeflow.org/replica-index": str(i),
    }
    return pod(
        f"{job}-worker-{i}", labels=labels, owner=("kubeflow.org/v2beta1", "MPIJob", job, f"MPIJob-{job}")
    )


def mpi_launcher(job: str) -> Body:
    labels = {
        "training.kubeflow.org/job-name": job,
        "training.kubeflow.org/operator-name": "mpi-operator",
        "training.kubeflow.org/job-role": "launcher",
        "batch.kubernetes.io/job-name": f"{job}-launcher",
    }
    return pod(
        f"{job}-launcher-x7k2p", labels=labels, owner=("batch/v1", "Job", f"{job}-launcher", f"job-{job}")
    )


def mpi(name: str, n: int) -> Recording:
    """A Job controls the launcher, so its pod knows the MPIJob by labels alone."""
    spec: Body = {"mpiReplicaSpecs": _replicas(Launcher=1, Worker=n - 1)}
    return Recording(
        dialect="mpijob",
        source="kubeflow/mpi-operator: pkg/controller/mpi_job_controller.go newWorker, newLauncherJob",
        objects=(made("MPIJob", name, spec),),
        pods=(mpi_launcher(name), *(mpi_worker(name, i) for i in range(n - 1))),
        minimum=n,
    )


def mpi_late(name: str, n: int) -> Recording:
    spec: Body = {
        "mpiReplicaSpecs": _replicas(Launcher=1, Worker=n),
        "launcherCreationPolicy": "WaitForWorkersReady",
    }
    return Recording(
        dialect="mpijob",
        source="kubeflow/mpi-operator: pkg/controller/mpi_job_controller.go, launcherCreationPolicy",
        objects=(made("MPIJob", name, spec),),
        pods=tuple(mpi_worker(name, i) for i in range(n)),
        minimum=n,
        late=(mpi_launcher(name),),
    )


def mpi_v1(name: str, n: int) -> Recording:
    spec: Body = {"mpiReplicaSpecs": _replicas(Launcher=1, Worker=n - 1)}
    workers = (kubeflow_pod(name, "MPIJob", "worker", i) for i in range(n - 1))
    return Recording(
        dialect="mpijob",
        source="kubeflow/training-operator v1.8.1: pkg/controller.v1/mpi/mpijob_controller.go",
        objects=(made("MPIJobV1", name, spec),),
        pods=(kubeflow_pod(name, "MPIJob", "launcher", 0), *workers),
        minimum=n,
    )


def jobset_pod(
    jobset: str, role: str, job: int, i: int, more: Words | None = None, notes: Words | None = None
) -> Body:
    """As ``labelAndAnnotateObject`` sets them (kubernetes-sigs/jobset jobset_controller.go)."""
    words = {
        "jobset.sigs.k8s.io/jobset-name": jobset,
        "jobset.sigs.k8s.io/jobset-uid": f"JobSet-{jobset}",
        "jobset.sigs.k8s.io/replicatedjob-name": role,
        "jobset.sigs.k8s.io/job-index": str(job),
    }
    index = {"batch.kubernetes.io/job-completion-index": str(i)}
    name = f"{jobset}-{role}-{job}"
    return pod(
        f"{name}-{i}-q8zfw",
        labels={**words, **index, **(more or {})},
        annotations={**words, **index, **(notes or {})},
        owner=("batch/v1", "Job", name, f"job-{name}"),
    )


def with_done(recording: Recording, **done: int) -> Made:
    """The JobSet as its controller writes it when so many Jobs of each name are complete."""
    (found,) = recording.objects
    counted: Json = [{"name": name, "ready": 0, "succeeded": count} for name, count in done.items()]
    return Made(found.kind, {**found.body, "status": {"replicatedJobsStatus": counted}})


def jobset_job(of: Body, pods: int, succeeded: int) -> Made:
    """The Job of a recorded pod, which JobSet made; so many of its pods have succeeded."""
    (owner,) = cast(Sequence[Words], metadata_of(of)["ownerReferences"])
    jobset = words_of(of)["jobset.sigs.k8s.io/jobset-name"]
    found = made("Job", owner["name"], {"parallelism": pods, "completions": pods})
    parent: Json = {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "name": jobset,
        "uid": f"JobSet-{jobset}",
        "controller": True,
    }
    metadata = {**metadata_of(found.body), "uid": owner["uid"], "ownerReferences": [parent]}
    return Made("Job", {**found.body, "metadata": metadata, "status": {"succeeded": succeeded}})


def _replicated(name: str, replicas: int, pods: int, **more: Json) -> Json:
    spec: Json = {"parallelism": pods, "completions": pods}
    return {"name": name, "replicas": replicas, "template": {"spec": spec}, **more}


def jobset(name: str, n: int) -> Recording:
    """One driver, and n jobs of two workers."""
    spec: Body = {"replicatedJobs": [_replicated("driver", 1, 1), _replicated("workers", n, 2)]}
    workers = (jobset_pod(name, "workers", job, i) for job in range(n) for i in range(2))
    return Recording(
        dialect="jobset",
        source="kubernetes-sigs/jobset: site/static/examples/simple/driver-worker-success-policy.yaml",
        objects=(made("JobSet", name, spec),),
        pods=(jobset_pod(name, "driver", 0, 0), *workers),
        minimum=1 + 2 * n,
    )


def jobset_in_order(name: str, n: int) -> Recording:
    spec: Body = {
        "startupPolicy": {"startupPolicyOrder": "InOrder"},
        "replicatedJobs": [_replicated("driver", 1, 2), _replicated("workers", 1, n)],
    }
    return Recording(
        dialect="jobset",
        source="kubernetes-sigs/jobset: site/static/examples/startup-policy/startup-driver-ready.yaml",
        objects=(made("JobSet", name, spec),),
        pods=tuple(jobset_pod(name, "driver", 0, i) for i in range(2)),
        minimum=2,
        late=tuple(jobset_pod(name, "workers", 0, i) for i in range(n)),
    )


def jobset_exclusive(name: str, n: int) -> Recording:
    """The webhook lets the other pods of a job in when its first one has a node (pkg/webhooks/pod_*.go)."""
    notes = {"alpha.jobset.sigs.k8s.io/exclusive-topology": "cloud.google.com/gke-nodepool"}
    spec: Body = {"replicatedJobs": [_replicated("workers", 2, n)]}
    return Recording(
        dialect="jobset",
        source="kubernetes-sigs/jobset: pkg/webhooks/pod_admission_webhook.go",
        objects=(made("JobSet", name, spec),),
        pods=tuple(jobset_pod(name, "workers", job, 0, notes=notes) for job in range(2)),
        minimum=2,
        late=tuple(jobset_pod(name, "workers", job, i, notes=notes) for job in range(2) for i in range(1, n)),
    )


def trainjob(name: str, n: int) -> Recording:
    """A dataset initializer first, then the nodes."""

    def step(text: str) -> Words:
        return {"trainer.kubeflow.org/trainjob-ancestor-step": text}

    needs: Json = [{"name": "dataset-initializer", "status": "Complete"}]
    spec: Body = {
        "replicatedJobs": [
            _replicated("dataset-initializer", 1, 1),
            _replicated("node", 1, n, dependsOn=needs),
        ]
    }
    return Recording(
        dialect="trainjob",
        source="kubeflow/trainer: manifests/base/runtimes, pkg/constants/constants.go",
        objects=(made("JobSet", name, spec),),
        pods=(jobset_pod(name, "dataset-initializer", 0, 0, step("dataset-initializer")),),
        minimum=1,
        late=tuple(jobset_pod(name, "node", 0, i, step("trainer")) for i in range(n)),
    )


def ray_pod(name: str, kind: str, group: str, suffix: str, **more: str) -> Body:
    """A head or a worker of a RayCluster. more: labels below ``ray.io/``, dashes as underscores."""
    labels = {
        "ray.io/cluster": name,
        "ray.io/node-type": kind,
        "ray.io/group": group,
        "ray.io/is-ray-node": "yes",
        "app.kubernetes.io/created-by": "kuberay-operator",
        **{f"ray.io/{key.replace('_', '-')}": value for key, value in more.items()},
    }
    owner = ("ray.io/v1", "RayCluster", name, f"RayCluster-{name}")
    return pod(f"{name}-{group}-{suffix}", labels=labels, owner=owner)


def ray(name: str, n: int) -> Recording:
    """A head, n workers without which it does not start, and one more."""
    group: Json = {"groupName": "gpu", "replicas": n + 1, "minReplicas": n, "maxReplicas": n + 3}
    workers = (ray_pod(name, "worker", "gpu", f"worker-{i}") for i in range(n + 1))
    return Recording(
        dialect="raycluster",
        source="ray-project/kuberay: ray-operator/controllers/ray/common/pod.go labelPod",
        objects=(made("RayCluster", name, {"workerGroupSpecs": [group]}),),
        pods=(ray_pod(name, "head", "headgroup", "head"), *workers),
        minimum=n + 1,
    )


def ray_capped(name: str, n: int) -> Recording:
    """A head, and n workers, as many as the operator makes of the more that are asked for."""
    group: Json = {"groupName": "gpu", "replicas": n + 2, "maxReplicas": n}
    workers = (ray_pod(name, "worker", "gpu", f"worker-{i}") for i in range(n))
    return Recording(
        dialect="raycluster",
        source="ray-project/kuberay: controllers/ray/utils/util.go GetWorkerGroupDesiredReplicas",
        objects=(made("RayCluster", name, {"workerGroupSpecs": [group]}),),
        pods=(ray_pod(name, "head", "headgroup", "head"), *workers),
        minimum=n + 1,
    )


def ray_host(name: str, replica: int, host: int, *, is_named: bool = True) -> Body:
    """One pod of a replica of several. The operator draws the ends of names; they are in no order."""
    drawn = f"worker-{(7 * replica + 5 * host + 3) % 97:02d}x{replica}{host}"
    if not is_named:
        return ray_pod(name, "worker", "tpu", drawn)
    return ray_pod(
        name,
        "worker",
        "tpu",
        drawn,
        worker_group_replica_name=f"tpu-{replica}",
        worker_group_replica_index=str(replica),
        replica_host_index=str(host),
    )


def ray_multi_host(
    name: str, n: int, *, least: int | None = None, hosts: int = 2, is_named: bool = True
) -> Recording:
    """A head, and n replicas of several pods each; the cluster starts with ``least``, or with all.

    is_named: whether the operator labels each pod with its replica (feature RayMultiHostIndexing).
    """
    least = n if least is None else least
    group: Json = {
        "groupName": "tpu", "replicas": n, "minReplicas": least, "maxReplicas": n, "numOfHosts": hosts,
    }  # fmt: skip
    workers = (ray_host(name, i, host, is_named=is_named) for i in range(n) for host in range(hosts))
    return Recording(
        dialect="raycluster",
        source="ray-project/kuberay: ray-operator/config/samples/ray-cluster.tpu-v4-multihost.yaml, "
        "controllers/ray/common/pod.go DefaultWorkerPodTemplate",
        objects=(made("RayCluster", name, {"workerGroupSpecs": [group]}),),
        pods=(ray_pod(name, "head", "headgroup", "head"), *workers),
        minimum=1 + hosts * least,
    )


def lws_pod(name: str, i: int, n: int, group: int = 0) -> Body:
    labels = {
        "leaderworkerset.sigs.k8s.io/name": name,
        "leaderworkerset.sigs.k8s.io/group-index": str(group),
        "leaderworkerset.sigs.k8s.io/worker-index": str(i),
    }
    leader = f"{name}-{group}"
    owner = ("apps/v1", "StatefulSet", leader if i else name, f"sts-{leader if i else name}")
    keys = {"leaderworkerset.sigs.k8s.io/size": str(n)}
    return pod(f"{leader}-{i}" if i else leader, labels=labels, annotations=keys, owner=owner)


def _lws_spec(startup: str, n: int) -> Body:
    return {"startupPolicy": startup, "leaderWorkerTemplate": {"size": n}}


def lws(name: str, n: int) -> Recording:
    return Recording(
        dialect="lws",
        source="kubernetes-sigs/lws: pkg/webhooks/pod_webhook.go, pkg/controllers/pod_controller.go",
        objects=(made("LeaderWorkerSet", name, _lws_spec("LeaderCreated", n)),),
        pods=tuple(lws_pod(name, i, n) for i in range(n)),
        minimum=n,
    )


def lws_leader_ready(name: str, n: int) -> Recording:
    return Recording(
        dialect="lws",
        source="kubernetes-sigs/lws: pkg/controllers/pod_controller.go, LeaderReadyStartupPolicy",
        objects=(made("LeaderWorkerSet", name, _lws_spec("LeaderReady", n)),),
        pods=(lws_pod(name, 0, n),),
        minimum=1,
        late=tuple(lws_pod(name, i, n) for i in range(1, n)),
    )


def spark_executor(name: str, i: int, keys: Words | None = None) -> Body:
    """The driver pod controls it."""
    labels = {"spark-app-selector": name, "spark-role": "executor", "spark-exec-id": str(i + 1)}
    owner = ("v1", "Pod", f"{name}-driver", f"uid-{name}-driver")
    return pod(f"{name}-exec-{i + 1}", labels=labels, annotations=keys, owner=owner)


def spark(name: str, n: int) -> Recording:
    """Executors that ask for it."""
    keys = {"stowplan.dev/gang-policy": "all-or-nothing", "stowplan.dev/gang-min-member": str(n)}
    return Recording(
        dialect="spark",
        source="apache/spark: resource-managers/kubernetes/core/.../BasicExecutorFeatureStep.scala",
        pods=tuple(spark_executor(name, i, keys) for i in range(n)),
        minimum=n,
    )


def job_pod(name: str, i: int, keys: Words | None = None) -> Body:
    """The pod of one completion index."""
    labels = {"batch.kubernetes.io/job-name": name, "batch.kubernetes.io/controller-uid": f"Job-{name}"}
    index = {"batch.kubernetes.io/job-completion-index": str(i)}
    owner = ("batch/v1", "Job", name, f"Job-{name}")
    return pod(
        f"{name}-{i}-x2kdw", labels={**labels, **index}, annotations={**(keys or {}), **index}, owner=owner
    )


def job(name: str, n: int) -> Recording:
    keys = {"stowplan.dev/gang-policy": "all-or-nothing"}
    return Recording(
        dialect="job",
        source="kubernetes/kubernetes: pkg/controller/job/job_controller.go newPod, indexed_job_utils.go",
        objects=(made("Job", name, {"parallelism": n, "completions": n, "completionMode": "Indexed"}),),
        pods=tuple(job_pod(name, i, keys) for i in range(n)),
        minimum=n,
    )

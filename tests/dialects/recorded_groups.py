"""Gangs whose pods name their group, as the tools that make them do."""

from __future__ import annotations

from tests.dialects.recorded import NAMESPACE, Body, Recording, made, pod


def own(name: str, n: int) -> Recording:
    words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": str(n)}
    return Recording(
        dialect="own",
        source="docs/examples/01-sixteen-pods.yaml",
        pods=tuple(pod(f"{name}-{i}", annotations=words) for i in range(n)),
        minimum=n,
    )


def native(name: str, n: int) -> Recording:
    return Recording(
        dialect="podgroup",
        source="kubernetes/kubernetes: staging/src/k8s.io/api/scheduling/v1beta1/types.go",
        objects=(made("PodGroup", name, {"schedulingPolicy": {"gang": {"minCount": n}}}),),
        pods=tuple(pod(f"{name}-{i}", group=name) for i in range(n)),
        minimum=n,
    )


def coscheduling(name: str, n: int) -> Recording:
    return Recording(
        dialect="coscheduling",
        source="kubernetes-sigs/scheduler-plugins: kep/42-podgroup-coscheduling/README.md",
        objects=(made("CoschedulingPodGroup", name, {"minMember": n}),),
        pods=tuple(pod(f"{name}-{i}", labels={"scheduling.x-k8s.io/pod-group": name}) for i in range(n)),
        minimum=n,
    )


def volcano_group(name: str) -> str:
    """The PodGroup of a Volcano Job: its controller names it JOB-UID."""
    return f"{name}-0b5a"


def volcano_pod(name: str, task: str, i: int) -> Body:
    """The i-th pod of a task of a Volcano Job."""
    owner = ("batch.volcano.sh/v1alpha1", "Job", name, f"vcjob-{name}")
    keys = {
        "scheduling.k8s.io/group-name": volcano_group(name),
        "volcano.sh/job-name": name,
        "volcano.sh/task-spec": task,
        "volcano.sh/task-index": str(i),
        "volcano.sh/queue-name": "default",
    }
    return pod(f"{name}-{task}-{i}", annotations=keys, owner=owner)


def volcano(name: str, n: int) -> Recording:
    """One driver and n - 1 workers of a Volcano Job."""
    spec: Body = {"minMember": n, "minTaskMember": {"driver": 1, "worker": n - 1}, "queue": "default"}
    return Recording(
        dialect="volcano",
        source="volcano-sh/volcano: pkg/controllers/job/job_controller_util.go createJobPod",
        objects=(made("VolcanoPodGroup", volcano_group(name), spec),),
        pods=(volcano_pod(name, "driver", 0), *(volcano_pod(name, "worker", i) for i in range(n - 1))),
        minimum=n,
    )


def kai(name: str, n: int) -> Recording:
    """A group of two subgroups, one inside the other's parent, as KAI's podgrouper makes them."""
    spec: Body = {
        "minMember": n,
        "queue": "team",
        "subGroups": [
            {"name": "all", "minSubGroup": 2},
            {"name": "leader", "parent": "all", "minMember": 1},
            {"name": "workers", "parent": "all", "minMember": n - 1},
        ],
    }
    words = {"pod-group-name": f"pg-{name}"}
    members = [
        pod(
            f"{name}-{i}",
            annotations=words,
            labels={"kai.scheduler/subgroup-name": "workers" if i else "leader"},
        )
        for i in range(n)
    ]
    return Recording(
        dialect="kai",
        source="kai-scheduler/KAI-Scheduler: pkg/podgrouper/podgroup, pkg/apis/scheduling/v2alpha2",
        objects=(made("KaiPodGroup", f"pg-{name}", spec),),
        pods=tuple(members),
        minimum=n,
    )


def koordinator(name: str, n: int) -> Recording:
    """Two gangs that start together, the first of one pod."""
    both = f'["{NAMESPACE}/{name}-a","{NAMESPACE}/{name}-b"]'

    def member(gang: str, i: int, least: int) -> Body:
        prefix = "gang.scheduling.koordinator.sh"
        keys = {f"{prefix}/name": gang, f"{prefix}/min-available": str(least), f"{prefix}/groups": both}
        return pod(f"{gang}-{i}", annotations=keys)

    return Recording(
        dialect="koordinator",
        source="koordinator-sh/koordinator: docs/proposals/scheduling/20220901-gang-scheduling.md",
        pods=(member(f"{name}-a", 0, 1), *(member(f"{name}-b", i, n - 1) for i in range(n - 1))),
        minimum=n,
    )


def koordinator_pod_group(name: str, n: int) -> Recording:
    return Recording(
        dialect="koordinator",
        source="koordinator-sh/koordinator: docs, User Manuals, Gang Scheduling (PodGroup)",
        objects=(made("KoordinatorPodGroup", name, {"minMember": n}),),
        pods=tuple(pod(f"{name}-{i}", labels={"pod-group.scheduling.sigs.k8s.io": name}) for i in range(n)),
        minimum=n,
    )


def yunikorn(name: str, n: int) -> Recording:
    groups = f'[{{"name": "worker", "minMember": {n}, "minResource": {{"cpu": "1"}}}}]'
    keys = {"yunikorn.apache.org/task-group-name": "worker", "yunikorn.apache.org/task-groups": groups}
    return Recording(
        dialect="yunikorn",
        source="apache/yunikorn-k8shim: deployments/examples/gang-scheduling/gang-job.yaml",
        pods=tuple(pod(f"{name}-{i}", annotations=keys, labels={"applicationId": name}) for i in range(n)),
        minimum=n,
    )


def yunikorn_spark(name: str, n: int) -> Recording:
    """The driver carries the task groups; its executors come when it runs."""
    groups = f'[{{"name": "driver", "minMember": 1}}, {{"name": "executor", "minMember": {n}}}]'
    labels = {"spark-app-selector": name}

    def member(i: int) -> Body:
        return pod(
            f"{name}-exec-{i}",
            labels={**labels, "spark-role": "executor"},
            annotations={"yunikorn.apache.org/task-group-name": "executor"},
        )

    driver_keys = {"yunikorn.apache.org/task-group-name": "driver", "yunikorn.apache.org/task-groups": groups}
    return Recording(
        dialect="yunikorn",
        source="apache/yunikorn-site: docs/user_guide/gang_scheduling.md, Spark",
        pods=(pod(f"{name}-driver", labels={**labels, "spark-role": "driver"}, annotations=driver_keys),),
        minimum=1,
        late=tuple(member(i) for i in range(n)),
    )


def kueue(name: str, n: int) -> Recording:
    labels = {"kueue.x-k8s.io/queue-name": "team", "kueue.x-k8s.io/pod-group-name": name}
    labels["kueue.x-k8s.io/managed"] = "true"
    keys = {"kueue.x-k8s.io/pod-group-total-count": str(n)}
    return Recording(
        dialect="kueue",
        source="kubernetes-sigs/kueue: site/content/en/docs/tasks/run/plain_pods.md",
        pods=tuple(pod(f"{name}-{i}", labels=labels, annotations=keys) for i in range(n)),
        minimum=n,
    )

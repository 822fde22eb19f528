"""Small builders of model values: ``pod("a", gpu=8)``, ``node("n1", gpu=8)``."""

from __future__ import annotations

from dataclasses import replace

from scheduler.model.objects import CPU, GPU, MEMORY, PODS, Node, Owner, Pod, Shape

GIB = 2**30


def shape(*, gpu: int = 0, cpu: int = 1000, memory: int = GIB, **rules: object) -> Shape:
    """Requests in devices, milli-CPU and bytes; ``rules`` are fields of Shape."""
    asked = {CPU: cpu, MEMORY: memory, PODS: 1, GPU: gpu}
    requests = tuple(sorted((name, amount) for name, amount in asked.items() if amount))
    return replace(Shape(requests=requests), **rules)  # type: ignore[arg-type] # fields by name


def pod(
    name: str,
    *,
    gpu: int = 0,
    of: Shape | None = None,
    namespace: str = "team",
    annotations: dict[str, str] | None = None,
    labels: dict[str, str] | None = None,
    owner: Owner | None = None,
    pod_group: str = "",
    scheduler: str = "stowplan",
    priority: int = 0,
    node: str = "",
    phase: str = "Pending",
    created_s: float = 0.0,
    gates: tuple[str, ...] = (),
    is_deleting: bool = False,
    uid: str = "",
    version: str = "1",
) -> Pod:
    return Pod(
        uid=uid or f"uid-{namespace}-{name}",
        namespace=namespace,
        name=name,
        resource_version=version,
        shape=of or shape(gpu=gpu),
        labels=tuple(sorted((labels or {}).items())),
        annotations=tuple(sorted((annotations or {}).items())),
        owner=owner,
        scheduler_name=scheduler,
        priority=priority,
        can_preempt=True,
        phase=phase,  # type: ignore[arg-type] # a test may name any phase
        node_name=node,
        nominated_node="",
        pod_group=pod_group,
        is_deleting=is_deleting,
        gates=gates,
        created_s=created_s,
    )


def gang(name: str, size: int, *, minimum: int | None = None, **fields: object) -> list[Pod]:
    """``size`` pods of one gang under stowplan's own keys."""
    words = {"stowplan.dev/gang": name, "stowplan.dev/gang-min-member": str(minimum or size)}
    return [
        pod(f"{name}-{i}", annotations=words, **fields)  # type: ignore[arg-type] # fields of pod()
        for i in range(size)
    ]


def node(
    name: str,
    *,
    gpu: int = 8,
    cpu: int = 96_000,
    memory: int = 512 * GIB,
    pods: int = 110,
    labels: dict[str, str] | None = None,
    **fields: object,
) -> Node:
    bare = Node(
        name=name,
        uid=f"uid-{name}",
        resource_version="1",
        labels={"kubernetes.io/hostname": name, **(labels or {})},
        taints=(),
        is_unschedulable=False,
        allocatable={CPU: cpu, MEMORY: memory, PODS: pods, GPU: gpu},
    )
    return replace(bare, **fields)  # type: ignore[arg-type] # fields of Node by name

"""The cluster to simulate: the node file of ``stowplan local``, or the openb node list."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploy.local.nodes.pools import NodeFileError, NodeSpec, Pool, read_pools, specs
from scheduler.model.devices import WHOLE_GPU, Inventory, Slot
from scheduler.model.objects import CPU, GPU, MEMORY, PODS, Node
from scheduler.model.platforms import memory_mib_of
from scheduler.model.selection import Taint
from simulations.loads.files import BadTrace
from simulations.loads.table import rows

MODEL_LABEL = "nvidia.com/gpu.product"
_PODS = 110


class BadCluster(ValueError):
    """A cluster file that cannot be read; the message is for whoever wrote it."""


def read_nodes(path: Path) -> tuple[Node, ...]:
    """Nodes of a pools file (YAML), or of a list (CSV: sn, cpu_milli, memory_mib, gpu, model).

    Raises: BadCluster.
    """
    try:
        if path.suffix in (".csv", ".gz"):
            return tuple(_listed(path))
        return pooled(read_pools(path))
    except (NodeFileError, BadTrace) as error:
        raise BadCluster(str(error)) from error


def pooled(pools: Sequence[Pool]) -> tuple[Node, ...]:
    """The nodes of pools."""
    return tuple(_node(spec) for spec in specs(pools))


def gpus_per_node(nodes: Sequence[Node]) -> int:
    """GPUs of the largest node."""
    return max((node.allocatable.get(GPU, 0) for node in nodes), default=0)


def inventory(node: Node) -> Inventory:
    """What an agent would say of the node: equal devices, all well, as many as it offers."""
    memory_bytes = memory_mib_of(node.labels) << 20
    slots = tuple(
        Slot(
            uuid=f"GPU-{node.name}-{number}",
            resource=WHOLE_GPU,
            memory_bytes=memory_bytes,
            is_usable=True,
        )
        for number in range(node.allocatable.get(GPU, 0))
    )
    return Inventory(node=node.name, is_ready=True, probed_s=0.0, slots=slots)


def device_numbers(uuids: Sequence[str]) -> tuple[int, ...]:
    """The numbers on their node of devices that ``inventory`` named."""
    return tuple(int(uuid.rpartition("-")[2]) for uuid in uuids)


def _node(spec: NodeSpec) -> Node:
    amounts = {CPU if name == "cpu" else name: amount for name, amount in spec.amounts.items()}
    return Node(
        name=spec.name,
        uid=f"uid-{spec.name}",
        resource_version="1",
        labels=spec.labels,
        taints=tuple(Taint(key=t.key, value=t.value, effect=t.effect) for t in spec.taints),
        is_unschedulable=False,
        allocatable=amounts,
    )


def _listed(path: Path) -> list[Node]:
    found: list[Node] = []
    for row in rows(path, needs=("sn", "cpu_milli", "memory_mib", "gpu")):
        name, model = row.text("sn"), row.text("model", "")
        labels = {"kubernetes.io/hostname": name} | ({MODEL_LABEL: model} if model else {})
        amounts = {
            CPU: row.whole("cpu_milli", most=10**9),
            MEMORY: row.whole("memory_mib", most=10**9) << 20,
            PODS: _PODS,
            GPU: row.gpus("gpu"),
        }
        found.append(
            Node(
                name=name,
                uid=f"uid-{name}",
                resource_version="1",
                labels=labels,
                taints=(),
                is_unschedulable=False,
                allocatable=amounts,
            )
        )
    return found

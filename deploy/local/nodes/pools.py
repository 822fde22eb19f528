"""The node file: pools of equal nodes, read strictly, and the Node objects they become."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

import msgspec
import yaml

from deploy.local.nodes.admission import BadQuantity, amount
from deploy.local.nodes.mischief import Mischief

NODES_MAX = 10_000
GPUS_MAX = 64
RACK_LABEL = "topology.stowplan.dev/rack"
ZONE_LABEL = "topology.kubernetes.io/zone"
_NODE_NAME = re.compile(r"[a-z0-9]([-a-z0-9]{0,50}[a-z0-9])?")
_LABEL_VALUE = re.compile(r"([A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_MIB = 1 << 20


class NodeFileError(ValueError):
    """The node file says something it cannot mean; the message names file and field."""


class Taint(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    key: str
    effect: Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]
    value: str = ""


class Pool(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """``count`` equal nodes, named ``NAME-0`` and on.

    ``gpu_memory`` is per GPU. ``rack`` puts all nodes into one rack; ``racks`` spreads them in
    equal runs over that many, called ``NAME-rack-0`` and on. ``resources`` are more allocatable
    amounts, such as MIG instances. ``scenario`` names what the nodes' NVML says
    (deploy/local/nvml/scenarios); without it they have ``gpus`` devices of the model.
    ``inventory: false`` is a node without an agent.
    """

    name: str
    count: int = 1
    gpus: int = 0
    model: str = ""
    gpu_memory: str = ""
    resource: str = "nvidia.com/gpu"
    cpu: str = "96"
    memory: str = "1Ti"
    pods: int = 110
    rack: str = ""
    racks: int = 0
    zone: str = ""
    resources: dict[str, str] = {}
    scenario: str = ""
    inventory: bool = True
    labels: dict[str, str] = {}
    taints: tuple[Taint, ...] = ()
    mischief: Mischief = Mischief()


class NodeSpec(msgspec.Struct, frozen=True, kw_only=True):
    """One node to register: allocatable as the API writes it and as exact integers (milli-CPU, bytes).

    ``gpus``, ``model``, ``gpu_memory_mib`` and ``scenario`` are what its NVML says in the beginning.
    """

    name: str
    pool: str
    labels: dict[str, str]
    taints: tuple[Taint, ...]
    allocatable: dict[str, str]
    amounts: dict[str, int]
    gpus: int = 0
    model: str = ""
    gpu_memory_mib: int = 0
    scenario: str = ""
    #: Whether an agent reports its devices.
    has_inventory: bool = False


class _NodeFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    pools: tuple[Pool, ...]


def read_pools(path: Path) -> tuple[Pool, ...]:
    """Read a node file.

    Raises NodeFileError, whose message starts with the file and the field at fault.
    """
    try:
        pools = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), _NodeFile).pools
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise NodeFileError(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        message, _, field = str(error).partition(" - at `$")
        raise NodeFileError(f"{path}: {field.strip('.`') or 'top level'}: {message}") from error
    try:
        check(pools)
    except NodeFileError as error:
        raise NodeFileError(f"{path}: {error}") from error
    return pools


def check(pools: Sequence[Pool]) -> None:
    """Raises NodeFileError, whose message starts with the field at fault."""
    for complaint in _complaints(pools):
        raise NodeFileError(complaint)


def uniform(nodes: int, *, gpus: int = 8, racks: int = 1, name: str = "bench") -> tuple[Pool, ...]:
    """One pool of equal H100 nodes, for benchmarks.

    Raises NodeFileError if the numbers are out of bounds.
    """
    pool = Pool(
        name=name,
        count=nodes,
        gpus=gpus,
        racks=racks,
        model="NVIDIA-H100-80GB-HBM3",
        gpu_memory="80Gi",
        zone="zone-a",
    )
    check((pool,))
    return (pool,)


def specs(pools: Sequence[Pool]) -> tuple[NodeSpec, ...]:
    """All nodes of checked pools, in file order."""
    return tuple(_spec(pool, index) for pool in pools for index in range(pool.count))


def _complaints(pools: Sequence[Pool]) -> Iterator[str]:
    seen: set[str] = set()
    for position, pool in enumerate(pools):
        where = f"pools[{position}]"
        if pool.name in seen:
            yield f"{where}.name: {pool.name!r} is used twice"
        seen.add(pool.name)
        for field, complaint in _pool_complaints(pool):
            yield f"{where}.{field}: {complaint}"
    if not 1 <= sum(pool.count for pool in pools) <= NODES_MAX:
        yield f"pools: there must be 1 to {NODES_MAX} nodes in all"


def _pool_complaints(pool: Pool) -> Iterator[tuple[str, str]]:
    if not _NODE_NAME.fullmatch(pool.name):
        yield "name", f"{pool.name!r} is not a lower-case DNS label of at most 52 characters"
    bounds = {"count": (1, NODES_MAX), "gpus": (0, GPUS_MAX), "pods": (1, 1_000), "racks": (0, pool.count)}
    for field, (least, most) in bounds.items():
        value: int = getattr(pool, field)
        if not least <= value <= most:
            yield field, f"{value} is not between {least} and {most}"
    if pool.rack and pool.racks:
        yield "racks", "give either rack or racks"
    if pool.gpus == 0 and (pool.model or pool.gpu_memory):
        yield "gpus", "a pool with a model or gpuMemory needs gpus above 0"
    for field, quantity in (
        ("cpu", pool.cpu),
        ("memory", pool.memory),
        ("gpuMemory", pool.gpu_memory or "0"),
        *((f"resources[{name}]", quantity) for name, quantity in pool.resources.items()),
    ):
        try:
            amount(quantity, "cpu" if field == "cpu" else "memory")
        except BadQuantity as error:
            yield field, str(error)
    values = {"model": pool.model, "rack": pool.rack, "zone": pool.zone}
    values |= {f"labels[{key}]": value for key, value in pool.labels.items()}
    for field, text in values.items():
        if not _LABEL_VALUE.fullmatch(text):
            yield field, f"{text!r} is not a label value"


def _spec(pool: Pool, index: int) -> NodeSpec:
    name = f"{pool.name}-{index}"
    allocatable = {"cpu": pool.cpu, "memory": pool.memory, "pods": str(pool.pods)}
    if pool.gpus:
        allocatable[pool.resource] = str(pool.gpus)
    allocatable |= pool.resources
    is_nvidia = pool.resource == "nvidia.com/gpu"
    return NodeSpec(
        name=name,
        pool=pool.name,
        labels=_labels(pool, name, index),
        taints=pool.taints,
        allocatable=allocatable,
        amounts={resource: amount(quantity, resource) for resource, quantity in allocatable.items()},
        gpus=pool.gpus,
        model=pool.model,
        gpu_memory_mib=amount(pool.gpu_memory or "0", "memory") // _MIB,
        scenario=pool.scenario,
        has_inventory=pool.inventory and bool(pool.scenario or (pool.gpus and is_nvidia)),
    )


def _labels(pool: Pool, name: str, index: int) -> dict[str, str]:
    """GPU Feature Discovery's labels for NVIDIA devices, and the topology's; the file's own win."""
    labels = {
        "kubernetes.io/hostname": name,
        "kubernetes.io/os": "linux",
        "kubernetes.io/arch": "amd64",
        "stowplan.dev/pool": pool.name,
    }
    if pool.gpus and pool.resource.startswith("nvidia.com/"):
        labels["nvidia.com/gpu.count"] = str(pool.gpus)
        if pool.model:
            labels["nvidia.com/gpu.product"] = pool.model
        if pool.gpu_memory:
            labels["nvidia.com/gpu.memory"] = str(amount(pool.gpu_memory, "memory") // _MIB)
    rack = f"{pool.name}-rack-{index * pool.racks // pool.count}" if pool.racks else pool.rack
    if rack:
        labels[RACK_LABEL] = rack
    if pool.zone:
        labels[ZONE_LABEL] = pool.zone
    return labels | pool.labels

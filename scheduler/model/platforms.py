"""What each cloud and tool calls a node's GPUs and its place in the network: one entry each.

Sources are named in docs/clouds.md, which is this table for people. Adding a platform is adding an entry.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_MIB: Final = 1
_GIB: Final = 1024
_UNITS: Final = {"M": _MIB, "G": _GIB, "T": 1024 * _GIB}
_AMOUNT: Final = re.compile(r"([0-9]{1,9}) ?([MGT]i?B?)?", re.IGNORECASE | re.ASCII)
_MIG_REPLICAS: Final = re.compile(r"nvidia\.com/(mig-[^/]+)\.replicas", re.ASCII)
_REPLICAS: Final = re.compile(r"[1-9][0-9]{0,4}", re.ASCII)


@dataclass(frozen=True, slots=True, kw_only=True)
class Platform:
    """Label keys of one platform. A node may carry the labels of several, as of a cloud and of GFD."""

    name: str
    #: A node with one of these is one of the platform's; with ``=VALUE`` it must have that value.
    marks: tuple[str, ...]
    #: A node with one of these has GPUs, written as ``marks``.
    gpus: tuple[str, ...] = ()
    #: The model's name, in the platform's spelling.
    model: tuple[str, ...] = ()
    #: Memory of one device: (key, MiB that its unit is).
    memory: tuple[tuple[str, int], ...] = ()
    #: Domains of the network, the widest first.
    topology: tuple[str, ...] = ()
    #: Domains of NVLink between nodes, the widest first: each lies inside one of the network.
    nvlink: tuple[str, ...] = ()
    #: A node with one of these may be taken back by the provider; values in any case.
    spot: tuple[str, ...] = ()
    #: How many pods share one device at a time.
    replicas: tuple[str, ...] = ()


#: In the order in which they are asked: what looked at the device itself comes first.
PLATFORMS: Final = (
    Platform(
        name="stowplan",
        marks=("stowplan.dev/gpu", "stowplan.dev/gpu-model"),
        gpus=("stowplan.dev/gpu=nvidia",),
        model=("stowplan.dev/gpu-model",),
    ),
    Platform(
        name="GPU Feature Discovery",
        marks=("nvidia.com/gpu.present", "nvidia.com/gpu.product"),
        gpus=("nvidia.com/gpu.present=true",),
        model=("nvidia.com/gpu.product",),
        memory=(("nvidia.com/gpu.memory", _MIB),),
        nvlink=("nvidia.com/gpu.clique",),
        replicas=("nvidia.com/gpu.replicas",),
    ),
    Platform(
        name="CoreWeave",
        marks=("gpu.nvidia.com/model", "gpu.nvidia.com/class", "backend.coreweave.cloud/flavor"),
        gpus=("gpu.nvidia.com/model",),
        model=("gpu.nvidia.com/model", "gpu.nvidia.com/class"),
        memory=(("gpu.nvidia.com/vram", _GIB),),
        topology=(
            "backend.coreweave.cloud/fabric",
            "backend.coreweave.cloud/superpod",
            "backend.coreweave.cloud/leafgroup",
        ),
        nvlink=("ds.coreweave.com/nvlink.domain",),
    ),
    Platform(
        name="GKE",
        marks=("cloud.google.com/gke-nodepool", "cloud.google.com/gke-accelerator"),
        gpus=("cloud.google.com/gke-accelerator",),
        model=("cloud.google.com/gke-accelerator",),
        topology=(
            "cloud.google.com/gce-topology-block",
            "cloud.google.com/gce-topology-subblock",
            "cloud.google.com/gce-topology-host",
        ),
        spot=(
            "cloud.google.com/gke-spot=true",
            "cloud.google.com/gke-preemptible=true",
            "cloud.google.com/gke-provisioning=spot",
            "cloud.google.com/gke-provisioning=preemptible",
        ),
        replicas=("cloud.google.com/gke-max-shared-clients-per-gpu",),
    ),
    Platform(
        name="EKS",
        marks=(
            "eks.amazonaws.com/nodegroup",
            "eks.amazonaws.com/compute-type",
            "eks.amazonaws.com/instance-gpu-name",
            "topology.k8s.aws/zone-id",
        ),
        gpus=("eks.amazonaws.com/instance-gpu-name",),
        model=("eks.amazonaws.com/instance-gpu-name",),
        memory=(("eks.amazonaws.com/instance-gpu-memory", _MIB),),
        topology=(
            "topology.k8s.aws/capacity-block-id",
            "topology.k8s.aws/network-node-layer-1",
            "topology.k8s.aws/network-node-layer-2",
            "topology.k8s.aws/network-node-layer-3",
            "topology.k8s.aws/network-node-layer-4",
        ),
        nvlink=("topology.k8s.aws/ultraserver-id",),
        spot=("eks.amazonaws.com/capacityType=SPOT",),
    ),
    Platform(
        name="Karpenter on AWS",
        marks=("karpenter.k8s.aws/instance-family", "karpenter.k8s.aws/instance-gpu-name"),
        gpus=("karpenter.k8s.aws/instance-gpu-name",),
        model=("karpenter.k8s.aws/instance-gpu-name",),
        memory=(("karpenter.k8s.aws/instance-gpu-memory", _MIB),),
    ),
    Platform(
        name="Karpenter",
        marks=("karpenter.sh/nodepool", "karpenter.sh/provisioner-name"),
        spot=("karpenter.sh/capacity-type=spot",),
    ),
    Platform(
        name="AKS",
        marks=(
            "kubernetes.azure.com/cluster",
            "kubernetes.azure.com/agentpool",
            "kubernetes.azure.com/accelerator",
            "karpenter.azure.com/sku-gpu-name",
        ),
        gpus=("kubernetes.azure.com/accelerator=nvidia",),
        model=("karpenter.azure.com/sku-gpu-name",),
        spot=("kubernetes.azure.com/scalesetpriority=spot",),
    ),
    Platform(
        name="OKE",
        marks=("oci.oraclecloud.com/rdma.local_block_id", "oci.oraclecloud.com/host.id"),
        topology=(
            "oci.oraclecloud.com/rdma.hpc_island_id",
            "oci.oraclecloud.com/rdma.network_block_id",
            "oci.oraclecloud.com/rdma.local_block_id",
        ),
        nvlink=("oci.oraclecloud.com/host.gpu_memory_fabric_id",),
        spot=("oci.oraclecloud.com/oke-is-preemptible=true",),
    ),
    Platform(
        name="AMD GPU operator",
        marks=(
            *(
                f"{beta}amd.com/gpu.{word}"
                for beta in ("", "beta.")
                for word in ("product-name", "device-id", "vram")
            ),
            "feature.node.kubernetes.io/amd-gpu",
        ),
        model=(
            "amd.com/gpu.product-name",
            "beta.amd.com/gpu.product-name",
            "amd.com/gpu.device-id",
            "beta.amd.com/gpu.device-id",
        ),
        memory=(
            ("amd.com/gpu.memory", _MIB),
            ("amd.com/gpu.vram", _MIB),
            ("beta.amd.com/gpu.vram", _MIB),
        ),
    ),
    Platform(
        name="Intel device plugins",
        marks=("gpu.intel.com/product", "intel.feature.node.kubernetes.io/gpu", "gpu.intel.com/device.count"),
        model=("gpu.intel.com/product",),
    ),
    Platform(
        name="Nebius",
        marks=("nebius.com/gpu-name", "nebius.com/node-group-id", "topology.nebius.com/gpu-cluster-id"),
        gpus=("nebius.com/gpu-name",),
        model=("nebius.com/gpu-name",),
        topology=(
            "topology.nebius.com/gpu-cluster-id",
            "topology.nebius.com/tier-2",
            "topology.nebius.com/tier-1",
        ),
        nvlink=("topology.nebius.com/tier-0",),
        spot=("nebius.com/preemptible=true",),
    ),
    Platform(
        name="DigitalOcean",
        marks=(
            "doks.digitalocean.com/node-pool",
            "doks.digitalocean.com/gpu-brand",
            "doks.digitalocean.com/gpu-model",
        ),
        gpus=("doks.digitalocean.com/gpu-brand=nvidia",),
        model=("doks.digitalocean.com/gpu-model",),
    ),
    Platform(
        name="Alibaba Cloud",
        marks=(
            "aliyun.accelerator/nvidia_name",
            "alibabacloud.com/nodepool-id",
            "alibabacloud.com/gpu-model-series",
        ),
        gpus=("aliyun.accelerator/nvidia_name",),
        model=("aliyun.accelerator/nvidia_name", "alibabacloud.com/gpu-model-series"),
        memory=(("aliyun.accelerator/nvidia_mem", _MIB),),
    ),
    Platform(
        name="Crusoe",
        marks=("crusoe.ai/instance.class", "crusoe.ai/nodepool.id"),
        model=("crusoe.ai/instance.class",),
        topology=("crusoe.ai/pod.id",),
    ),
    Platform(
        name="SkyPilot",
        marks=("skypilot.co/accelerator",),
        model=("skypilot.co/accelerator",),
    ),
    Platform(
        name="Cluster Autoscaler on AWS",
        marks=("k8s.amazonaws.com/accelerator", "alpha.eksctl.io/nodegroup-name"),
        model=("k8s.amazonaws.com/accelerator",),
    ),
    Platform(
        name="Topograph",
        marks=("fabric.topograph.run/tier-0", "accelerator.topograph.run/domain"),
        topology=(
            "fabric.topograph.run/tier-2",
            "fabric.topograph.run/tier-1",
            "fabric.topograph.run/tier-0",
        ),
        nvlink=(
            "accelerator.topograph.run/domain",
            "accelerator.topograph.run/sub-domain",
        ),
    ),
    Platform(
        name="Topograph before its tiers",
        marks=("network.topology.nvidia.com/leaf", "network.topology.nvidia.com/accelerator"),
        topology=(
            "network.topology.nvidia.com/core",
            "network.topology.nvidia.com/spine",
            "network.topology.nvidia.com/leaf",
        ),
        nvlink=("network.topology.nvidia.com/accelerator",),
    ),
    Platform(name="any", marks=(), spot=("node.kubernetes.io/lifecycle=spot",)),
)
#: Keys that name a node's GPU model; the first that is there counts.
MODELS: Final = tuple(key for platform in PLATFORMS for key in platform.model)
#: Keys that tell the memory of one device, with the MiB that their unit is.
MEMORIES: Final = tuple(pair for platform in PLATFORMS for pair in platform.memory)
#: Written by hand, and by some not with a model: the instance type knows better.
LAST_RESORT: Final = frozenset({"k8s.amazonaws.com/accelerator"})
#: Keys that tell how many pods share one device.
REPLICAS: Final = tuple(key for platform in PLATFORMS for key in platform.replicas)
#: Each platform's word for "has GPUs".
GPU_MARKS: Final = tuple(mark for platform in PLATFORMS for mark in platform.gpus)
#: Domains that every platform has, around its own: the widest first, and last the node.
REGION_AND_ZONE: Final = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
HOSTNAME: Final = "kubernetes.io/hostname"

#: What labellers write where they do not know: such values are no domain, however many nodes share one.
#: Sources: oci-hpc-oke's labeler (``no-imds-data``), its tools' and others' lists of sentinels.
PLACEHOLDERS: Final = frozenset(
    ("", "-", "no-imds-data", "not-available", "n-a", "na", "none", "null", "nil", "unknown", "undefined")
)
#: Nodes of one NVLink domain: 576 GPUs with 8 a node is the most that is announced.
NVLINK_NODES_MAX: Final = 72
_NVLINK: Final = frozenset(key for platform in PLATFORMS for key in platform.nvlink)


def is_domain(key: str, value: str, nodes: int) -> bool:
    """Whether nodes with this value of a label are together in one place. nodes: how many have it."""
    return value.strip().lower() not in PLACEHOLDERS and (key not in _NVLINK or nodes <= NVLINK_NODES_MAX)


def platforms_of(labels: Mapping[str, str]) -> tuple[Platform, ...]:
    """The platforms whose marks the node carries."""
    return tuple(platform for platform in PLATFORMS if _has_one(labels, platform.marks))


def product_of(labels: Mapping[str, str]) -> str:
    """What the labels call the model of the node's GPUs, in their own spelling; empty where none does."""
    return next((labels[key] for key in MODELS if labels.get(key)), "")


def memory_mib_of(labels: Mapping[str, str]) -> int:
    """Of one device by labels; 0 where none says it. A unit that is written counts before the key's own."""
    for key, unit in MEMORIES:
        found = _AMOUNT.fullmatch(labels.get(key, ""))
        if found is not None and int(found[1]):
            return int(found[1]) * (_UNITS[found[2][0].upper()] if found[2] else unit)
    return 0


def replicas_of(labels: Mapping[str, str]) -> int:
    """How many pods share one device at a time by labels: 1 where they say nothing of it."""
    told = (labels.get(key, "") for key in REPLICAS)
    return next((int(text) for text in told if _REPLICAS.fullmatch(text)), 1)


def shared_by(labels: Mapping[str, str]) -> dict[str, int]:
    """How many pods share one device or MIG instance by labels, by its resource; only where several do.

    GPU Feature Discovery names the resource in the label's key: ``nvidia.com/mig-1g.10gb.replicas``.
    """
    told = {
        f"nvidia.com/{key[1]}": value for key, value in _mig_replicas(labels) if _REPLICAS.fullmatch(value)
    }
    found = {"nvidia.com/gpu": replicas_of(labels)} | {name: int(text) for name, text in told.items()}
    return {name: count for name, count in found.items() if count > 1}


def is_shared(labels: Mapping[str, str]) -> bool:
    """Whether GPU Feature Discovery says that pods share a device, whatever it says of how many."""
    strategy = labels.get("nvidia.com/gpu.sharing-strategy", "")
    return strategy in ("time-slicing", "mps") or labels.get("nvidia.com/gpu.product", "").endswith("-SHARED")


def count_of(labels: Mapping[str, str]) -> int:
    """Devices of the node as GPU Feature Discovery counts them; 0 where it says nothing."""
    told = labels.get("nvidia.com/gpu.count", "")
    return int(told) if _REPLICAS.fullmatch(told) else 0


def is_spot(labels: Mapping[str, str]) -> bool:
    """Whether the provider may take the node back at short notice."""
    return any(_has_one(labels, platform.spot) for platform in PLATFORMS)


def topology_of(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The label keys of the node that name a domain of the network it is in: the widest first."""
    network = [key for platform in PLATFORMS for key in platform.topology]
    nvlink = [key for platform in PLATFORMS for key in platform.nvlink]
    return tuple(key for key in (*REGION_AND_ZONE, *network, *nvlink, HOSTNAME) if labels.get(key))


def _mig_replicas(labels: Mapping[str, str]) -> list[tuple[re.Match[str], str]]:
    pairs = ((_MIG_REPLICAS.fullmatch(key), value) for key, value in labels.items())
    return [(key, value) for key, value in pairs if key is not None]


def _has_one(labels: Mapping[str, str], marks: Iterable[str]) -> bool:
    for mark in marks:
        key, _, value = mark.partition("=")
        found = labels.get(key)
        if found is not None and (not value or found.lower() == value.lower()):
            return True
    return False

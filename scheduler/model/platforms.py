"""What each cloud and tool calls a node's GPUs and its place in the network: one entry each.

Sources are named in docs/clouds.md, which is this table for people. Adding a platform is adding an entry.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

_MIB: Final = 1
_GIB: Final = 1024


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
        marks=("karpenter.sh/nodepool",),
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
        spot=("oci.oraclecloud.com/oke-is-preemptible=true",),
    ),
    Platform(
        name="AMD GPU operator",
        marks=("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name"),
        model=("amd.com/gpu.product-name", "beta.amd.com/gpu.product-name"),
        memory=(("amd.com/gpu.memory", _MIB),),
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
#: Each platform's word for "has GPUs".
GPU_MARKS: Final = tuple(mark for platform in PLATFORMS for mark in platform.gpus)
#: Domains that every platform has, around its own: the widest first, and last the node.
REGION_AND_ZONE: Final = ("topology.kubernetes.io/region", "topology.kubernetes.io/zone")
HOSTNAME: Final = "kubernetes.io/hostname"


def platforms_of(labels: Mapping[str, str]) -> tuple[Platform, ...]:
    """The platforms whose marks the node carries."""
    return tuple(platform for platform in PLATFORMS if _has_one(labels, platform.marks))


def product_of(labels: Mapping[str, str]) -> str:
    """What the labels call the model of the node's GPUs, in their own spelling; empty where none does."""
    return next((labels[key] for key in MODELS if labels.get(key)), "")


def memory_mib_of(labels: Mapping[str, str]) -> int:
    """Of one device by labels; 0 where none says it."""
    for key, unit in MEMORIES:
        text = labels.get(key, "")
        if text.isascii() and text.isdigit() and len(text) < 10:
            return int(text) * unit
    return 0


def is_spot(labels: Mapping[str, str]) -> bool:
    """Whether the provider may take the node back at short notice."""
    return any(_has_one(labels, platform.spot) for platform in PLATFORMS)


def topology_of(labels: Mapping[str, str]) -> tuple[str, ...]:
    """The label keys of the node that name a domain of the network it is in: the widest first."""
    network = [key for platform in PLATFORMS for key in platform.topology]
    nvlink = [key for platform in PLATFORMS for key in platform.nvlink]
    return tuple(key for key in (*REGION_AND_ZONE, *network, *nvlink, HOSTNAME) if labels.get(key))


def _has_one(labels: Mapping[str, str], marks: Iterable[str]) -> bool:
    for mark in marks:
        key, _, value = mark.partition("=")
        found = labels.get(key)
        if found is not None and (not value or found.lower() == value.lower()):
            return True
    return False

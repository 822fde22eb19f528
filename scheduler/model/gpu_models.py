"""Every GPU model that stowplan knows by name, and what clouds call it: the one table of names.

Where a family, a spelling or an instance type is missing, adding it is adding an entry here. What is not here
keeps its own name without its vendor (``gpu_names.canonical``), so it works as well, under that name alone.
Sources: NVIDIA's, AMD's and Intel's data sheets for sizes; the product names of NVML and of the labellers;
the clouds' lists of machine types, each named beside its rows.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """One GPU model in all its sizes.

    sizes: GB of memory that it is sold with. usual: the size that is meant where nobody tells one, 0 where
    that would be a guess. unsaid: the size that its name does not carry. names: other spellings, in words
    joined by ``-``; one with ``=GB`` is of that size only.
    """

    name: str
    sizes: tuple[int, ...]
    usual: int = 0
    unsaid: int = 0
    names: tuple[str, ...] = ()


def _one(name: str, size: int, *names: str) -> Family:
    """A family of one size, which goes without saying."""
    return Family(name=name, sizes=(size,), usual=size, unsaid=size, names=names)


FAMILIES: Final = (
    # NVIDIA, data centre
    _one("gb300", 288),
    _one("gb200", 192),
    Family(name="gh200", sizes=(96, 144), usual=96, unsaid=96),
    _one("b300", 288),
    _one("b200", 192),
    _one("b100", 192),
    Family(name="h200", sizes=(141,), usual=141, unsaid=141),
    Family(
        name="h100",
        sizes=(80, 94, 96, 64),
        usual=80,
        names=("h100-nvl=94", "h100l=94", "h100-mega=80", "h100xm=80", "h100-pcie=80"),
    ),
    _one("h800", 80),
    Family(name="h20", sizes=(96, 141), usual=96, unsaid=96, names=("h20-3e=141",)),
    Family(name="a100", sizes=(40, 80), names=("a100d=80", "a100dx=80", "a100x=40", "a100-v2=80")),
    Family(name="a800", sizes=(40, 80), names=("a800d=80", "a800dx=80")),
    _one("a40", 48),
    _one("a30", 24),
    _one("a30x", 24),
    _one("a16", 16),
    _one("a10", 24),
    _one("a10g", 24),
    _one("a10m", 20),
    _one("a2", 16),
    _one("l40s", 48),
    _one("l40g", 24),
    _one("l40", 48),
    _one("l20", 48),
    _one("l4", 24),
    _one("l2", 24),
    Family(name="v100", sizes=(16, 32), names=("v100d=32", "v100dx=32", "v100x=16", "v100l=16", "v100s=32")),
    Family(name="p100", sizes=(16, 12), usual=16, unsaid=16, names=("p100x=16",)),
    _one("p40", 24),
    _one("p4", 8),
    _one("t4", 16),
    _one("t4g", 16),
    _one("k80", 12),
    Family(name="m40", sizes=(12, 24), usual=12, unsaid=12),
    _one("m60", 8),
    _one("m10", 8),
    _one("gb10", 128),
    # NVIDIA, professional
    _one("rtx-pro-6000", 96, "rtx-pro-server-6000", "rtx-pro-6000-blackwell", "rtxpro6000", "rtx-pro-6000d"),
    _one("rtx-pro-5000", 48, "rtxpro5000"),
    _one("rtx-pro-4500", 32, "rtx-pro-server-4500", "rtxpro4500"),
    _one("rtx-pro-4000", 24, "rtxpro4000"),
    _one("rtx-6000-ada", 48, "rtx6000-ada", "rtx-6000ada", "rtx6000ada"),
    _one("rtx-5000-ada", 32, "rtx5000-ada", "rtx5000ada"),
    _one("rtx-4500-ada", 24, "rtx4500-ada", "rtx4500ada"),
    _one("rtx-4000-ada", 20, "rtx4000-ada", "rtx4000ada", "rtx-4000-sff-ada"),
    _one("rtx-a6000", 48, "a6000", "rtxa6000"),
    Family(name="rtx-a5500", sizes=(24,), usual=24, unsaid=24, names=("a5500", "rtxa5500")),
    _one("rtx-a5000", 24, "a5000", "rtxa5000"),
    _one("rtx-a4500", 20, "a4500", "rtxa4500"),
    _one("rtx-a4000", 16, "a4000", "rtxa4000"),
    _one("quadro-rtx-8000", 48, "rtx-8000", "rtx8000"),
    _one("quadro-rtx-6000", 24, "rtx-6000", "rtx6000"),
    _one("quadro-rtx-5000", 16, "rtx-5000", "rtx5000"),
    _one("quadro-rtx-4000", 8, "rtx-4000", "rtx4000"),
    # AMD
    _one("mi355x", 288),
    _one("mi350x", 288),
    _one("mi325x", 256, "mi325"),
    _one("mi308x", 192, "mi308"),
    _one("mi300x", 192),
    _one("mi300a", 128),
    _one("mi250x", 64),
    _one("mi250", 64),
    _one("mi210", 64),
    _one("mi100", 32),
    _one("radeon-pro-v520", 8, "pro-v520", "v520"),
    _one("radeon-pro-v710", 28, "pro-v710", "v710"),
    # Intel
    _one("max-1550", 128, "data-center-gpu-max-1550"),
    _one("max-1100", 48, "data-center-gpu-max-1100"),
    _one("flex-170", 16, "data-center-gpu-flex-170"),
    _one("flex-140", 6, "data-center-gpu-flex-140"),
)

#: PCI device IDs of AMD's GPUs (pci.ids, vendor 1002), and those of their virtual functions, which is what
#: Azure hands out: the node labeller told no product names before its second year.
_AMD_IDS: Final = {
    "738c": "mi100",
    "740f": "mi210",
    "7408": "mi250x",
    "740c": "mi250x",
    "74a0": "mi300a",
    "74a1": "mi300x",
    "74b5": "mi300x",
    "74a9": "mi300x",
    "74bd": "mi300x",
    "74a2": "mi308x",
    "74b6": "mi308x",
    "74a5": "mi325x",
    "74b9": "mi325x",
    "75a0": "mi350x",
    "75b0": "mi350x",
    "75a3": "mi355x",
    "75b3": "mi355x",
    "7362": "radeon-pro-v520",
    "7461": "radeon-pro-v710",
}
#: What one label alone calls a model, by its key and value in lower case.
OF_LABEL: Final[Mapping[str, Mapping[str, str]]] = {
    # GKE documentation, GPU platforms: the first A100 there is the one of 40 GB, and V100 has 16 GB.
    "cloud.google.com/gke-accelerator": {"nvidia-tesla-a100": "a100-40gb", "nvidia-tesla-v100": "v100-16gb"},
    # Nebius calls the RTX PRO 6000 of its platform gpu-rtx6000 so.
    "nebius.com/gpu-name": {"rtx6000": "rtx-pro-6000"},
    "amd.com/gpu.device-id": _AMD_IDS,
    "beta.amd.com/gpu.device-id": _AMD_IDS,
}

#: Instance types of clouds whose names do not spell the model: (pattern of the whole, model), first come.
INSTANCE_TYPES: Final = (
    # AWS, Amazon EC2 accelerated computing instances.
    (r"p6e-gb200\..*", "gb200"),
    (r"p6e-gb300\..*", "gb300"),
    (r"p6-b200\..*", "b200"),
    (r"p6-b300\..*", "b300"),
    (r"p5e?n\..*|p5e\..*", "h200"),
    (r"p5\..*", "h100-80gb"),
    (r"p4de\..*", "a100-80gb"),
    (r"p4d\..*", "a100-40gb"),
    (r"p3dn\..*", "v100-32gb"),
    (r"p3\..*", "v100-16gb"),
    (r"p2\..*", "k80"),
    (r"g7e\..*", "rtx-pro-6000"),
    (r"g7\..*", "rtx-pro-4500"),
    (r"g6e\..*", "l40s"),
    (r"(?:g6f|gr6f)\.(?:large|xlarge)", "l4-vgpu-3gb"),
    (r"(?:g6f|gr6f)\.2xlarge", "l4-vgpu-6gb"),
    (r"(?:g6f|gr6f)\.4xlarge", "l4-vgpu-12gb"),
    (r"(?:g6|gr6)\..*", "l4"),
    (r"g5g\..*", "t4g"),
    (r"g5\..*", "a10g"),
    (r"g4dn\..*", "t4"),
    (r"g4ad\..*", "radeon-pro-v520"),
    (r"g3s?\..*", "m60"),
    # Google Cloud, GPU machine types.
    (r"a4x-max.*", "gb300"),
    (r"a4x-.*", "gb200"),
    (r"a4-.*", "b200"),
    (r"a3-ultragpu.*", "h200"),
    (r"a3-(?:high|mega|edge)gpu.*", "h100-80gb"),
    (r"a2-ultragpu.*", "a100-80gb"),
    (r"a2-(?:high|mega)gpu.*", "a100-40gb"),
    (r"g4-.*", "rtx-pro-6000"),
    (r"g2-.*", "l4"),
    # Azure: sizes that do not name their GPU, or not its memory.
    (r"standard_nd96amsr_.*|standard_nd\d+amr?s?r?_a100.*|standard_nc\d+ads_a100.*", "a100-80gb"),
    (r"standard_nd96asr_v4", "a100-40gb"),
    (r"standard_nc[c]?\d+.*_h100.*", "h100-94gb"),
    (r"standard_nc\d+r?s_v3", "v100-16gb"),
    (r"standard_nd40rs_v2", "v100-32gb"),
    (r"standard_nc\d+r?s_v2", "p100"),
    (r"standard_nd\d+r?s", "p40"),
    (r"standard_nv6ads_a10.*", "a10-vgpu-4gb"),
    (r"standard_nv12ads_a10.*", "a10-vgpu-8gb"),
    (r"standard_nv18ads_a10.*", "a10-vgpu-12gb"),
    (r"standard_nv\d+s_v3", "m60"),
    # Oracle, compute shapes.
    (r"bm\.gpu4\.8", "a100-40gb"),
    (r"bm\.gpu\.a100-v2\.8", "a100-80gb"),
    (r"(?:bm|vm)\.gpu3\.\d+", "v100-16gb"),
    (r"(?:bm|vm)\.gpu2\.\d+", "p100"),
    (r"bm\.gpu\.rtxpro\.\d+", "rtx-pro-6000"),
    # Alibaba Cloud, GPU-accelerated compute-optimised families.
    (r"ecs\.(?:gn5|gn5t)-.*", "p100"),
    (r"ecs\.gn5i-.*", "p4"),
    (r"ecs\.(?:ebm)?gn6v-.*", "v100-16gb"),
    (r"ecs\.(?:ebm)?gn6e-.*", "v100-32gb"),
    (r"ecs\.(?:ebm)?gn6i-.*", "t4"),
    (r"ecs\.(?:ebm)?gn7i-.*", "a10"),
    (r"ecs\.(?:ebm)?gn7e-.*", "a100-80gb"),
    (r"ecs\.(?:ebm)?gn7-.*", "a100-40gb"),
    # Akamai (Linode).
    (r"g1-gpu-rtx6000-\d+", "quadro-rtx-6000"),
    (r"g2-gpu-rtx4000a\d+-.*", "rtx-4000-ada"),
)
#: Instance types that spell the model among other words, after a count such as ``8x``: what is before the
#: mark says whose they are. Everything else that looks like a model is somebody's CPU (``t4g.medium``).
SPELLED_TYPES: Final = (
    "standard_n",  # Azure: Standard_ND96isr_H100_v5, Standard_NC4as_T4_v3
    "bm.gpu",  # Oracle: BM.GPU.H100.8
    "vm.gpu",
    "gpu-",  # Nebius and DigitalOcean: gpu-h100-sxm, gpu-h100x8-640gb
    "gpu_",  # Lambda: gpu_8x_h100_sxm5
    "gd-",  # CoreWeave: gd-8xh100ib-i128
    "gb200-",
    "gb300-",
    "gx2",  # IBM: gx3d-160x1792x8h100
    "gx3",
    "gx4",
    "a100-",  # Crusoe: a100-80gb-sxm-ib.8x, h100-80gb.8x; Scaleway: H100-1-80G; OVH: h100-380
    "a40-",
    "b200-",
    "h100-",
    "h200-",
    "l4-",
    "l40s-",
    "mi300x-",
    "mi355x-",
    "vcg-",  # Vultr: vcg-a100-12c-120g-80vram
)

"""One name for each GPU model, whoever tells it: labels of any cloud, or NVML through the agent.

A name is a family (``h100``), its memory where the family has several sizes (``h100-80gb``), and then what
one of the node's devices is where it is less than a GPU: ``-mig-1g-10gb``, ``-vgpu-10gb``, ``-cpx`` (AMD's
partitions), ``-shared-12`` (replicas). Whoever asks for a shorter name means all that it begins.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from math import prod
from typing import Final

from scheduler.model import platforms
from scheduler.model.gpu_models import FAMILIES, INSTANCE_TYPES, OF_LABEL, SPELLED_TYPES, Family

MILLI: Final = 1_000
#: Vendors round sizes, and drivers keep some memory to themselves: as near as this is the size.
SIZE_SLACK: Final = 0.12
#: A device with less than this part of its model's memory is a slice of one.
SLICE_MAX: Final = 0.7
LENGTH_MAX: Final = 63
_TYPES: Final = ("node.kubernetes.io/instance-type", "beta.kubernetes.io/instance-type")
_PARTITION: Final = ("cloud.google.com/gke-gpu-partition-size", "k8s.amazonaws.com/gpu-partition-size")
_AMD_PARTITION: Final = "amd.com/compute-memory-partition"
#: Parts of an AMD GPU by its compute mode (ROCm documentation, GPU partitioning); CPX is one a die.
_AMD_PARTS: Final = {"dpx": 2, "tpx": 3, "qpx": 4, "cpx": 8}
_DIES: Final = {"mi300a": 6}
_AMD: Final = re.compile(r"mi\d{3}[ax]?")

_VENDORS: Final = frozenset(
    (
        *("nvidia", "tesla", "geforce", "grid", "data-center", "amd", "instinct", "intel", "intel-r"),
        *("turing", "volta", "ampere", "hopper"),
    )
)
#: Words that tell how a board is built, not what it is.
_FORM: Final = re.compile(r"sxm\d?|pcie?|nvl(?:ink)?|hbm\d[a-z]*|oam|vf|ib|\d{1,4}g(?:i?b)?")
_SIZE: Final = re.compile(r"(\d{1,4})g(?:i?b)?")
_NO_NAME: Final = frozenset(
    ("", "true", "false", "yes", "no", "none", "unknown", "gpu", "graphics-device", "n-a")
)
_MIG: Final = re.compile(r"-mig-(\d{1,2})(?:c-\d{1,2})?g[.-](\d{1,4})gb((?:[+.-][a-z.]+)*)")
_SHARED: Final = re.compile(r"-shared(?:-(\d{1,5}))?(?=-|$)")
_VGPU: Final = re.compile(r"-(?:(\d)-)?(\d{1,3})(?:[abcq]|vgpu)(?:me|gfx)?$|-vgpu-(\d{1,3})gb$")
#: Sizes that NVIDIA's vGPU types have, in GB (vGPU software documentation, virtual GPU types).
_VGPU_SIZES: Final = (1, 2, 3, 4, 5, 6, 8, 10, 12, 15, 16, 20, 24, 32, 35, 40, 47, 48, 70, 71, 80, 96)
_TAIL: Final = re.compile(
    r"(?P<family>.*?)(?P<size>-\d{1,4}gb)?"
    r"(?P<part>-mig-\d{1,2}g-\d{1,4}gb(?:-[a-z]+)*|-vgpu-\d{1,3}gb|-[dtqc]px)?(?P<shared>-shared-\d{1,5})?"
    r"(?P<instances>(?:-with-\d{1,2}g-\d{1,4}gb-by-\d{1,5})*)"
)
_INSTANCES: Final = re.compile(r"-with-(\d{1,2})g-(\d{1,4})gb-by-(\d{1,5})")
_RESOURCE: Final = re.compile(r"nvidia\.com/mig-(\d{1,2})g\.(\d{1,4})gb.*")


def _spellings() -> dict[str, tuple[Family, int]]:
    found: dict[str, tuple[Family, int]] = {}
    for family in FAMILIES:
        for text in (family.name, *family.names):
            name, _, size = text.partition("=")
            found[name] = (family, int(size or 0))
    return found


_SPELLED: Final = _spellings()
_BY_NAME: Final = {family.name: family for family in FAMILIES}
_WORDS_MAX: Final = max(name.count("-") + 1 for name in _SPELLED)
_PATTERNS: Final = tuple((re.compile(pattern), model) for pattern, model in INSTANCE_TYPES)


def model_of(labels: Mapping[str, str]) -> str:
    """The canonical model of a node's devices, such as ``h100-80gb``; empty where no label says it."""
    key = next((key for key in platforms.MODELS if _named(key, labels.get(key, ""))), "")
    by_type = _of_type(next((labels[each] for each in _TYPES if labels.get(each)), ""))
    if key in platforms.LAST_RESORT and by_type:
        key = ""
    told = platforms.memory_mib_of(labels)
    if not key:
        name, told = by_type, 0 if by_type else told
    else:
        value = labels[key]
        name = OF_LABEL.get(key, {}).get(value.lower(), value)
        if not told and by_type and family_of(by_type) == family_of(name):
            name = name if _size_in_name(name) else by_type
    return _partitioned(canonical(name, told), labels) if name else ""


def counted_as(labels: Mapping[str, str]) -> str:
    """As ``model_of``, with how many share one device: what one of the node's GPUs is for quotas."""
    model, replicas = model_of(labels), platforms.replicas_of(labels)
    shared = f"-shared-{replicas}" if replicas > 1 else ""
    pairs = (
        (_RESOURCE.fullmatch(name), count) for name, count in sorted(platforms.shared_by(labels).items())
    )
    instances = "".join(f"-with-{mig[1]}g-{mig[2]}gb-by-{count}" for mig, count in pairs if mig is not None)
    return f"{model or 'gpu'}{shared}{instances}" if shared or instances else model


@lru_cache(maxsize=4_096)
def canonical(product: str, memory_mib: int = 0) -> str:
    """``NVIDIA-H100-80GB-HBM3`` -> ``h100-80gb``: the one name of a model.

    memory_mib: of one device as told; it decides the size where the name does not.
    """
    name, part, vgpu_gb = _cut(product)
    family, size = _find(name)
    if family is None:
        return (_own(name) + part)[:LENGTH_MAX].strip("-") if _own(name) else ""
    implied, gib, size = size, memory_mib / 1_024, _said(name, family)
    if not size and not part and not vgpu_gb:
        size = _nearest(gib, family.sizes)
    # Virtual GPUs of a larger one have that in their names (A100D).
    size = size or implied or family.usual or (family.sizes[0] if vgpu_gb else 0)
    whole = size or max(family.sizes)
    if not part and not vgpu_gb and 0 < gib < SLICE_MAX * min(family.sizes if not size else (size,)):
        if _AMD.fullmatch(family.name):
            return family.name + _sized(family, size) + _mode(family.name, whole / gib)
        vgpu_gb = min(_VGPU_SIZES, key=lambda gb: max(gb / gib, gib / gb))
    if vgpu_gb and vgpu_gb < (1 - SIZE_SLACK) * whole:
        part = f"-vgpu-{vgpu_gb}gb{part}"
    return family.name + _sized(family, size) + part


@lru_cache(maxsize=1_024)
def key_of(text: str) -> str:
    """The name that an administrator means by ``text``: without a size it is the whole family."""
    name, part, vgpu_gb = _cut(text)
    family, size = _find(name)
    if family is None:
        return (_own(name) + part)[:LENGTH_MAX].strip("-")
    if vgpu_gb:
        return canonical(text)
    return family.name + _sized(family, size or _said(name, family)) + part


@lru_cache(maxsize=1_024)
def family_of(product: str) -> str:
    """The name without its size and its part of a device, such as ``h100``; empty for no name."""
    name, _, _ = _cut(product)
    family, _ = _find(name)
    return _own(name) if family is None else family.name


@lru_cache(maxsize=1_024)
def wider(model: str) -> tuple[str, ...]:
    """Shorter names that mean this model as well, the widest first: ``h100`` for ``h100-80gb``."""
    found = _TAIL.fullmatch(model)
    if found is None or not found["family"]:
        return ()
    names, name = [], ""
    for piece in (found["family"], found["size"], found["part"], found["shared"], found["instances"]):
        if piece:
            name += piece
            names.append(name)
    return tuple(names[:-1])


@lru_cache(maxsize=1_024)
def device_gb(model: str) -> int:
    """GB of a whole device of a canonical model; 0 where nobody knows."""
    found = _TAIL.fullmatch(model)
    family = None if found is None else _BY_NAME.get(found["family"])
    if found is not None and found["size"]:
        return int(found["size"][1:-2])
    return 0 if family is None else family.unsaid or family.usual


@lru_cache(maxsize=1_024)
def part_milli(model: str) -> int:
    """Thousandths of a GPU that one device of a canonical model is: 1000 for a whole one."""
    found = _TAIL.fullmatch(model)
    if found is None:
        return MILLI
    parts = [MILLI]
    if found["part"]:
        parts.append(_part(found["family"], found["part"], device_gb(model)))
    if found["shared"]:
        parts.append(-(-MILLI // max(1, int(found["shared"].rpartition("-")[2]))))
    return max(1, -(-int(prod(parts)) // int(MILLI ** (len(parts) - 1))))


@lru_cache(maxsize=1_024)
def sharing_instances(model: str, compute: int, memory_gb: int) -> int:
    """How many pods share one MIG instance of a profile on nodes that are counted as ``model``."""
    found = [int(by) for c, gb, by in _INSTANCES.findall(model) if (int(c), int(gb)) == (compute, memory_gb)]
    return max(1, min(found, default=1))


def mig_milli(compute: int, memory_gb: int, device_mib: int) -> int:
    """Thousandths of a GPU that a MIG instance is: the larger of its sevenths of the compute and its eighths
    of the memory, which is what others can no longer have (NVIDIA MIG User Guide, partitioning).
    """
    eighths = (2 * 8 * memory_gb * 1_024 // device_mib + 1) // 2 if device_mib else 0
    return min(MILLI, max(-(-compute * MILLI // 7), eighths * MILLI // 8))


def memory_mib_of(labels: Mapping[str, str]) -> int:
    """MiB of one of a node's devices: as told, else as the name that labels give it says, else 0."""
    told = platforms.memory_mib_of(labels)
    if told:
        return told
    model = model_of(labels)
    found = _TAIL.fullmatch(model)
    if found is None:
        return 0
    part = (found["part"] or "").rpartition("-")[2]
    if _SIZE.fullmatch(part) and part.endswith("gb"):
        return int(part[:-2]) * 1_024
    family = _BY_NAME.get(found["family"])
    name = _cut(platforms.product_of(labels))[0]
    said = 0 if family is None else _said(name, family)
    return (int(found["size"][1:-2]) if found["size"] else said) * 1_024


# -- inside ----------------------------------------------------------------------------------------


def _cut(product: str) -> tuple[str, str, int]:
    """The words of a name, joined by ``-``; what part of a device it speaks of; GB of a virtual GPU, or 0."""
    name = re.sub(r"[^a-z0-9.+]+", "-", product.lower()[:253]).strip("-")
    part = ""
    shared = _SHARED.search(name)
    if shared:
        name = name[: shared.start()]
        part = f"-shared-{shared[1]}" if shared[1] else ""
    mig = _MIG.search(name)
    if mig:
        name = name[: mig.start()]
        more = "".join(f"-{word}" for word in re.findall(r"[a-z]+", mig[3]))
        part = f"-mig-{mig[1]}g-{mig[2]}gb{more}{part}"
    name = name.replace(".", "-").replace("+", "-")
    partition = re.search(r"-([dtqc]px)$", name)
    if partition:
        return name[: partition.start()], f"-{partition[1]}{part}", 0
    virtual = _VGPU.search(name)
    if virtual and _find(name[: virtual.start()])[0] is not None:
        return name[: virtual.start()], part, int(virtual[2] or virtual[3])
    return name, part, 0


def _find(name: str) -> tuple[Family | None, int]:
    """The family that is spelled in a name, the longest spelling first, and the size that it implies."""
    words = name.split("-")
    for length in range(_WORDS_MAX, 0, -1):
        for start in range(len(words) - length + 1):
            found = _SPELLED.get("-".join(words[start : start + length]))
            if found is not None:
                return found
    return None, 0


def _said(name: str, family: Family) -> int:
    """A size of the family that the name says; ``GH200-480GB`` speaks of the CPU's memory."""
    sizes = (int(found[1]) for word in name.split("-") if (found := _SIZE.fullmatch(word)))
    return next((size for size in sizes if size in family.sizes), 0)


def _nearest(gib: float, sizes: tuple[int, ...]) -> int:
    best = min(sizes, key=lambda size: abs(gib - size))
    return best if gib and abs(gib - best) <= SIZE_SLACK * best else 0


def _sized(family: Family, size: int) -> str:
    return f"-{size}gb" if size and size != family.unsaid else ""


def _own(name: str) -> str:
    """A model that no table knows goes by its own words, without its vendor's and those of its build."""
    words = [word for word in name.split("-") if word]
    while words and words[0] in _VENDORS:
        words = words[1:]
    kept = "-".join(word for word in words if not _FORM.fullmatch(word))
    return "" if kept in _NO_NAME else kept[:LENGTH_MAX].strip("-")


def _named(key: str, value: str) -> bool:
    """Whether a label names a model; some hold a placeholder, or an ID that no table knows."""
    if key in OF_LABEL and key.endswith("device-id"):
        return value.lower() in OF_LABEL[key]
    return bool(value) and bool(family_of(value))


def _size_in_name(name: str) -> bool:
    plain, _, _ = _cut(name)
    family, size = _find(plain)
    return family is not None and bool(size or _said(plain, family))


@lru_cache(maxsize=1_024)
def _of_type(instance_type: str) -> str:
    """The model of an instance type; empty where it names none."""
    text = instance_type.lower()[:253]
    known = next((model for pattern, model in _PATTERNS if pattern.fullmatch(text)), "")
    if known or not text.startswith(SPELLED_TYPES):
        return known
    # A count, and what network there is, stand beside the model: 8xh100ib, h100x8, 2l40s.
    words = re.sub(r"(?<![a-z0-9])\d{1,2}x?(?=[a-z])|(?<=[a-z0-9])x\d{1,2}(?![a-z0-9])", "", text)
    words = re.sub(r"[^a-z0-9]+", "-", words)
    words = re.sub(r"(?<=\d)ib(?=-|$)", "", re.sub(r"(?:\d{2,4}x)+\d{0,2}(?=[a-z]+\d)", "", words))
    return words.strip("-") if _find(words)[0] is not None else ""


def _partitioned(model: str, labels: Mapping[str, str]) -> str:
    """With the partition that other labels tell: GKE's sizes, AMD's modes."""
    mode = labels.get(_AMD_PARTITION, "").lower().partition("_")[0]
    if mode in _AMD_PARTS:
        model = re.sub(r"-[dtqc]px$", "", model)
    found = _TAIL.fullmatch(model)
    if not model or found is None or found["part"]:
        return model
    for key in _PARTITION:
        size = _MIG.fullmatch(f"-mig-{labels.get(key, '').lower()}")
        if size:
            return f"{model}-mig-{size[1]}g-{size[2]}gb"
    return f"{model}-{mode}" if mode in _AMD_PARTS else model


def _mode(family: str, parts: float) -> str:
    """The compute mode that makes about so many partitions of an AMD GPU: labellers divide memory by it."""
    counts = {**_AMD_PARTS, "cpx": _DIES.get(family, _AMD_PARTS["cpx"])}
    return "-" + min(counts, key=lambda mode: max(counts[mode] / parts, parts / counts[mode]))


def _part(family: str, part: str, size_gb: int) -> int:
    mig = re.match(r"-mig-(\d{1,2})g-(\d{1,4})gb", part)
    if mig:
        return mig_milli(int(mig[1]), int(mig[2]), size_gb * 1_024)
    if part.startswith("-vgpu-"):
        return min(MILLI, -(-int(part[6:-2]) * MILLI // size_gb)) if size_gb else MILLI
    mode = part[1:]
    return -(-MILLI // (_DIES.get(family, _AMD_PARTS[mode]) if mode == "cpx" else _AMD_PARTS[mode]))

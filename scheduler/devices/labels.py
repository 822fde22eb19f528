"""GPU model and memory by node labels and by inventory; the inventory wins.

Spellings differ from platform to platform, so models are compared by their words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from scheduler.devices.book import DeviceBook
from scheduler.model.devices import MIG_PREFIX, WHOLE_GPU, Inventory
from scheduler.model.gpu_names import family_of as chip
from scheduler.model.gpu_names import model_of
from scheduler.model.gpu_resources import SHARED
from scheduler.model.objects import Node
from scheduler.model.platforms import (
    count_of,
    is_shared,
    memory_mib_of,
    product_of,
    replicas_of,
    shared_by,
)

PRODUCT: Final = "nvidia.com/gpu.product"
MEMORY: Final = "nvidia.com/gpu.memory"
CLIQUE: Final = "nvidia.com/gpu.clique"
STRATEGY: Final = "nvidia.com/mig.strategy"
#: How many pods share one device, as GPU Feature Discovery says it.
REPLICAS: Final = "nvidia.com/gpu.replicas"
#: Vendors round memory sizes; more than this share apart is another device.
MEMORY_SLACK: Final = 0.1
_LABEL_MAX: Final = 63


def disagreement(labels: Mapping[str, str], inventory: Inventory) -> str:
    """Where labels say something else than the devices themselves; empty where they do not."""
    told: list[str] = []
    by_label, by_device = chip(model_of(labels)), chip(inventory.model)
    if by_label and by_device and by_label != by_device:
        told.append(f"labels say {product_of(labels)}, NVML says {inventory.model}")
    # MIG's single strategy writes the instances' memory there.
    memory = 0 if "mig" in labels.get(PRODUCT, "").lower() else memory_mib_of(labels)
    apart = abs(memory - inventory.memory_mib)
    if memory and inventory.memory_mib and apart > MEMORY_SLACK * inventory.memory_mib:
        told.append(f"labels say {memory} MiB a device, NVML says {inventory.memory_mib} MiB")
    return "; ".join(told)


def corrected(labels: Mapping[str, str], inventory: Inventory) -> Mapping[str, str]:
    """The labels that selectors are matched with: GFD's own say what NVML says, in its spelling.

    A label that agrees stays as it is, so that a selector written for it still matches.
    """
    said: dict[str, str] = {}
    chips = chip(labels.get(PRODUCT, "")), chip(inventory.model)
    if inventory.model and (not labels.get(PRODUCT) or (all(chips) and chips[0] != chips[1])):
        told = f"{inventory.model}{_cut_into(labels, inventory)}"
        said[PRODUCT] = re.sub(r"[^A-Za-z0-9_.-]+", "-", told)[:_LABEL_MAX].strip("-_.")
    memory = labels.get(MEMORY, "")
    if inventory.memory_mib and (not memory or "MiB a device" in disagreement(labels, inventory)):
        said[MEMORY] = str(inventory.memory_mib)
    if inventory.clique and labels.get(CLIQUE) != inventory.clique and len(inventory.clique) <= _LABEL_MAX:
        said[CLIQUE] = inventory.clique
    return {**labels, **said} if said else labels


def _cut_into(labels: Mapping[str, str], inventory: Inventory) -> str:
    """What GPU Feature Discovery adds to a product under MIG's single strategy; empty under another."""
    resources = {slot.resource for slot in inventory.slots}
    if labels.get(STRATEGY, "single") != "single" or len(resources) != 1 or WHOLE_GPU in resources:
        return ""
    return f"-MIG-{resources.pop().removeprefix(MIG_PREFIX)}"


def shared_unsaid(node: Node, inventory: Inventory | None) -> int:
    """How many pods share one device where labels or names say that some do, and not how many; else 1.

    GPU Feature Discovery says 1 of replicas that it does not know of (k8s-device-plugin#732). The plugin
    offers a whole multiple of all devices there are, or of those that are well.
    """
    named = node.allocatable.get(WHOLE_GPU + SHARED, 0)
    if replicas_of(node.labels) > 1 or not (named or is_shared(node.labels)):
        return 1
    offered = named or node.allocatable.get(WHOLE_GPU, 0)
    slots = () if inventory is None else inventory.slots
    counts = (len(slots), sum(slot.is_usable for slot in slots)) if slots else (count_of(node.labels),)
    return max(1, min((offered // n for n in counts if n and offered % n == 0), default=1))


class Labels:
    """Nodes as observed, and as selectors are to be matched with them: O(1) a change.

    ``disagreements``: by node, where labels say something else than the inventory does.
    """

    def __init__(self, book: DeviceBook) -> None:
        self._book = book
        self._observed: dict[str, Node] = {}
        self.disagreements: dict[str, str] = {}

    def seen(self, node: Node) -> Node:
        """The node with labels that say what its inventory says, where there is one."""
        self._observed[node.name] = node
        inventory = self._book.inventories.get(node.name)
        told = "" if inventory is None else disagreement(node.labels, inventory)
        if told:
            self.disagreements[node.name] = told
        else:
            self.disagreements.pop(node.name, None)
        labels = node.labels if inventory is None else corrected(node.labels, inventory)
        if (replicas := shared_unsaid(node, inventory)) > 1:
            labels = {**labels, REPLICAS: str(replicas)}
        self._book.replicate(node.name, shared_by(labels))
        return node if labels is node.labels else replace(node, labels=labels)

    def again(self, name: str) -> Node | None:
        """After its inventory changed: the node, or None where none of that name was seen."""
        node = self._observed.get(name)
        return None if node is None else self.seen(node)

    def gone(self, name: str) -> None:
        self._observed.pop(name, None)
        self.disagreements.pop(name, None)

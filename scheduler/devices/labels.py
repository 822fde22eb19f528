"""GPU model and memory by node labels and by inventory; the inventory wins.

Spellings differ from platform to platform, so models are compared by their words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from scheduler.devices.book import DeviceBook
from scheduler.model.devices import Inventory
from scheduler.model.gpu_names import family_of as chip
from scheduler.model.gpu_names import model_of
from scheduler.model.objects import Node
from scheduler.model.platforms import memory_mib_of, product_of, shared_by

PRODUCT: Final = "nvidia.com/gpu.product"
MEMORY: Final = "nvidia.com/gpu.memory"
CLIQUE: Final = "nvidia.com/gpu.clique"
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
    families = chip(labels.get(PRODUCT, "")), chip(inventory.model)
    if inventory.model and (not labels.get(PRODUCT) or (all(families) and families[0] != families[1])):
        said[PRODUCT] = re.sub(r"[^A-Za-z0-9_.-]+", "-", inventory.model)[:_LABEL_MAX].strip("-_.")
    memory = labels.get(MEMORY, "")
    if inventory.memory_mib and (not memory or "MiB a device" in disagreement(labels, inventory)):
        said[MEMORY] = str(inventory.memory_mib)
    if inventory.clique and labels.get(CLIQUE) != inventory.clique and len(inventory.clique) <= _LABEL_MAX:
        said[CLIQUE] = inventory.clique
    return {**labels, **said} if said else labels


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
        self._book.replicate(node.name, shared_by(node.labels))
        if inventory is None:
            self.disagreements.pop(node.name, None)
            return node
        told = disagreement(node.labels, inventory)
        if told:
            self.disagreements[node.name] = told
        else:
            self.disagreements.pop(node.name, None)
        labels = corrected(node.labels, inventory)
        return node if labels is node.labels else replace(node, labels=labels)

    def again(self, name: str) -> Node | None:
        """After its inventory changed: the node, or None where none of that name was seen."""
        node = self._observed.get(name)
        return None if node is None else self.seen(node)

    def gone(self, name: str) -> None:
        self._observed.pop(name, None)
        self.disagreements.pop(name, None)

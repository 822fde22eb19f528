"""GPU model and memory by node labels and by inventory; the inventory wins.

Spellings differ from platform to platform, so models are compared by their words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from scheduler.devices.book import DeviceBook
from scheduler.devices.offers import Offers
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
#: More devices than any node has: what labels say stands until something else is offered.
_ALL: Final = 1 << 20


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


@dataclass(frozen=True, slots=True)
class Shared:
    """How many pods share one device of a node, and by what that was found."""

    uid: str = ""
    by: int = 1
    offered: int = 0
    slots: int = 0


def shared_of(node: Node, inventory: Inventory | None, before: Shared) -> Shared:
    """How many pods share one device: as labels say, else by what the plugin offers where some do; else 1.

    GPU Feature Discovery says 1 of replicas that it does not know of (k8s-device-plugin#732). The plugin
    offers a whole multiple of the devices that it takes for well, of which a report may show more or fewer.
    before: what was found stands while nothing is offered, and until something else is or more devices show.
    """
    named = node.allocatable.get(WHOLE_GPU + SHARED, 0)
    offered = named or node.allocatable.get(WHOLE_GPU, 0)
    slots = () if inventory is None else inventory.slots
    if (said := replicas_of(node.labels)) > 1:
        return Shared(node.uid, said, offered, _ALL)
    before = before if before.uid == node.uid else Shared(node.uid)
    if not offered or (before.by > 1 and offered == before.offered and len(slots) <= before.slots):
        return before
    if not named and not is_shared(node.labels):
        return Shared(node.uid)
    usable = sum(slot.is_usable for slot in slots)
    counts = range(max(1, usable), len(slots) + 1) if slots else (count_of(node.labels),)
    found = [offered // n for n in counts if n and offered % n == 0]
    stands = not found or (before.by in found and len(slots) <= before.slots)
    return Shared(node.uid, before.by if stands else min(found), offered, len(slots))


class Labels:
    """Nodes as observed, and as selectors are to be matched with them: O(1) a change.

    ``disagreements``: by node, where labels say something else than the inventory does.
    """

    def __init__(self, book: DeviceBook) -> None:
        self._book = book
        self._observed: dict[str, Node] = {}
        self.offers = Offers()
        self._shared: dict[str, Shared] = {}
        #: By node, its UID and what its agent said of its model last.
        self._models: dict[str, tuple[str, Mapping[str, str]]] = {}
        self.disagreements: dict[str, str] = {}

    def seen(self, node: Node) -> Node:
        """The node with labels that say what its inventory says, where there is one."""
        self._observed[node.name] = node
        self.offers.see(node)
        inventory = self._book.inventories.get(node.name)
        told = "" if inventory is None else disagreement(node.labels, inventory)
        if told:
            self.disagreements[node.name] = told
        else:
            self.disagreements.pop(node.name, None)
        labels = node.labels if inventory is None else corrected(node.labels, inventory)
        labels = self._with_model(node, labels, inventory)
        shared = shared_of(node, inventory, self._shared.pop(node.name, Shared()))
        if shared.by > 1:
            self._shared[node.name] = shared
        if shared.by > 1 and replicas_of(labels) == 1:
            labels = {**labels, REPLICAS: str(shared.by)}
        self._book.replicate(node.name, shared_by(labels))
        return node if labels is node.labels else replace(node, labels=labels)

    def again(self, name: str) -> Node | None:
        """After its inventory changed: the node, or None where none of that name was seen."""
        node = self._observed.get(name)
        return None if node is None else self.seen(node)

    def gone(self, name: str) -> None:
        self._observed.pop(name, None)
        self.offers.gone(name)
        self._shared.pop(name, None)
        self._models.pop(name, None)

    def _with_model(
        self, node: Node, labels: Mapping[str, str], inventory: Inventory | None
    ) -> Mapping[str, str]:
        """The labels, with what the agent said of the model where nobody says it any more: it went, say."""
        if inventory is not None and inventory.model:
            plain = {key: value for key, value in node.labels.items() if key == STRATEGY}
            said = corrected(plain, inventory)
            self._models[node.name] = (node.uid, {key: value for key, value in said.items() if key != CLIQUE})
            return labels
        uid, known = self._models.get(node.name, ("", {}))
        return {**known, **labels} if uid == node.uid and not model_of(labels) else labels

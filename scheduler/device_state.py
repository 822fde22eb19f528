"""The part of the cluster's state that is about devices: inventories in, outages out."""

from __future__ import annotations

from abc import ABC, abstractmethod

from scheduler.devices.book import DeviceBook
from scheduler.devices.labels import Labels
from scheduler.model.device_claims import DeviceClaim, DeviceSlice
from scheduler.model.devices import Inventory, Slot
from scheduler.model.gang import GangKey
from scheduler.model.objects import Node, Pod
from scheduler.records import Record


class DeviceState(ABC):
    """What ``ClusterState`` keeps of devices; it owns the fields and knows its nodes and pods."""

    devices: DeviceBook
    labels: Labels
    releases: int
    _pods: dict[str, Record]

    def set_inventory(self, inventory: Inventory) -> bool:
        """Take what a node's agent says; whether a plan can see the difference."""
        before = self.devices.inventories.get(inventory.node)
        changed = self.devices.put(inventory)
        changed |= before is None or before.words != inventory.words
        return self._inventory_changed(inventory.node) if changed else False

    def remove_inventory(self, name: str) -> None:
        if self.devices.remove(name):
            self._inventory_changed(name)

    def set_device_claim(self, claim: DeviceClaim) -> bool:
        """A resource claim holds devices; whether a plan can see the difference."""
        return self._claims_changed(self.devices.set_claim(claim))

    def remove_device_claim(self, namespace: str, name: str) -> bool:
        return self._claims_changed(self.devices.remove_claim(namespace, name))

    def set_device_slice(self, found: DeviceSlice) -> bool:
        """Which devices of a pool are which; whether a plan can see the difference."""
        return self._claims_changed(self.devices.set_slice(found))

    def remove_device_slice(self, name: str) -> bool:
        return self._claims_changed(self.devices.remove_slice(name))

    def set_device_class(self, name: str, resources: tuple[str, ...]) -> bool:
        """A class of devices stands for these resources; whether a plan can see the difference."""
        return self._claims_changed(self.devices.set_class(name, resources))

    def remove_device_class(self, name: str) -> bool:
        return self._claims_changed(self.devices.remove_class(name))

    def hide_device_classes(self, is_hidden: bool) -> None:
        """There are classes that we may not read, or not any more."""
        self._claims_changed(self.devices.claims.is_hidden != is_hidden)
        self.devices.claims.is_hidden = is_hidden

    def at(self, now_s: float) -> bool:
        """Time passes, in seconds since the epoch; whether a plan can see it: inventories grow old."""
        turned = self.devices.at(now_s) | self.labels.offers.at(now_s)
        self.free_up(turned)
        return turned

    def struck(self) -> list[tuple[Slot, GangKey, tuple[Pod, ...]]]:
        """Devices in an outage that asks for a reaction, with each gang on one and its members there."""
        found: dict[tuple[str, GangKey], tuple[Slot, list[Pod]]] = {}
        for _, slot, uids in self.devices.fatal():
            for uid in uids:
                record = self._pods.get(uid)
                if record is not None and record.key is not None and not record.observed.is_deleting:
                    found.setdefault((slot.uuid, record.key), (slot, []))[1].append(record.observed)
        return [(slot, key, tuple(pods)) for (_, key), (slot, pods) in found.items()]

    def _claims_changed(self, changed: bool) -> bool:
        self.releases += changed
        return changed

    def _inventory_changed(self, name: str) -> bool:
        node = self.labels.again(name)
        if node is not None:
            self._take_node(node)
        self.free_up()
        return True

    @abstractmethod
    def free_up(self, count: int = 1) -> None:
        """What is kept or used by others may be less; what nodes have and allow is as before."""

    @abstractmethod
    def _take_node(self, node: Node) -> bool:
        """A node as it is to be matched; whether a plan can see the difference."""

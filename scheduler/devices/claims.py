"""Devices that resource claims hold, added to what agents tell of each node; O(1) a change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from scheduler.model.device_claims import DeviceClaim, DeviceSlice
from scheduler.model.devices import Holder, Inventory, Slot

ClaimKey = tuple[str, str]


class DeviceClaims:
    """Slices say which device is which, claims which are held. Each change returns the nodes concerned."""

    def __init__(self) -> None:
        #: By class of devices, the resources for which a claim of the class is made.
        self.classes: dict[str, tuple[str, ...]] = {}
        #: There are classes that may not be read.
        self.is_hidden = False
        self._slices: dict[str, DeviceSlice] = {}
        #: By pool and name.
        self._pools: dict[str, dict[str, DeviceSlice]] = {}
        self._claims: dict[ClaimKey, DeviceClaim] = {}
        self._of_pool: dict[str, dict[ClaimKey, None]] = {}
        self._on_node: dict[str, dict[ClaimKey, None]] = {}

    @property
    def gives(self) -> frozenset[str] | None:
        """Resources that pods ask for and claims give; None where that may not be known."""
        if self.is_hidden:
            return None
        return frozenset(name for names in self.classes.values() for name in names)

    def put_slice(self, found: DeviceSlice) -> list[str]:
        if self._slices.get(found.name) == found:
            return []
        concerned = self.remove_slice(found.name)
        return concerned + self._again(found.pool, found)

    def remove_slice(self, name: str) -> list[str]:
        found = self._slices.get(name)
        return [] if found is None else self._again(found.pool, None, gone=name)

    def put_claim(self, claim: DeviceClaim) -> list[str]:
        if self._claims.get(claim.key) == claim:
            return []
        concerned = self.remove_claim(claim.key)
        self._claims[claim.key] = claim
        for pool, _ in claim.devices:
            self._of_pool.setdefault(pool, {})[claim.key] = None
        return concerned + self._place(claim)

    def remove_claim(self, key: ClaimKey) -> list[str]:
        claim = self._claims.get(key)
        if claim is None:
            return []
        concerned = self._unplace(claim)
        del self._claims[key]
        for pool, _ in claim.devices:
            _discard(self._of_pool, pool, key)
        return concerned

    def added_to(self, told: Inventory) -> Inventory:
        """The same, with claims among those that hold devices."""
        if told.node not in self._on_node:
            return told
        held = self.on(told.node)
        slots = tuple(
            replace(slot, holders=(*slot.holders, *held[slot.uuid])) if slot.uuid in held else slot
            for slot in told.slots
        )
        return replace(told, slots=slots, unnamed_claims=sum(count for _, count in self.unnamed(told)))

    def unnamed(self, told: Inventory) -> list[tuple[DeviceClaim, int]]:
        """Claims that hold devices of the node which neither a slice nor the agent named, and how many."""
        found = (
            (claim, sum(not uuids for uuids in devices) - _seen(claim, told.slots))
            for claim, devices in self._held_on(told.node)
            if not all(devices)
        )
        return [(claim, count) for claim, count in found if count > 0]

    def on(self, node: str) -> Mapping[str, Sequence[Holder]]:
        """What claims hold on a node, by UUID."""
        found: dict[str, list[Holder]] = {}
        for claim, devices in self._held_on(node):
            for uuid in (uuid for uuids in devices for uuid in uuids):
                found.setdefault(uuid, []).extend(_holders(claim))
        return found

    # -- inside ------------------------------------------------------------------------------

    def _again(self, pool: str, found: DeviceSlice | None, *, gone: str = "") -> list[str]:
        """A slice of the pool came or went: its claims may be on another node, or on other devices."""
        claims = [self._claims[key] for key in self._of_pool.get(pool, ())]
        concerned = [node for claim in claims for node in self._unplace(claim)]
        if found is not None:
            self._slices[found.name] = found
            self._pools.setdefault(pool, {})[found.name] = found
        else:
            del self._slices[gone], self._pools[pool][gone]
            if not self._pools[pool]:
                del self._pools[pool]
        return concerned + [node for claim in claims for node in self._place(claim)]

    def _held_on(self, node: str) -> Iterator[tuple[DeviceClaim, list[tuple[str, ...]]]]:
        """Claims, with the UUIDs of each device that they hold there."""
        for claim in [self._claims[key] for key in self._on_node.get(node, ())]:
            here = [one for one in claim.devices if self._node(claim, one[0]) == node]
            yield claim, [self._uuids(pool, device) for pool, device in here]

    def _place(self, claim: DeviceClaim) -> list[str]:
        nodes = self._nodes(claim)
        for node in nodes:
            self._on_node.setdefault(node, {})[claim.key] = None
        return nodes

    def _unplace(self, claim: DeviceClaim) -> list[str]:
        nodes = self._nodes(claim)
        for node in nodes:
            _discard(self._on_node, node, claim.key)
        return nodes

    def _nodes(self, claim: DeviceClaim) -> list[str]:
        return list(dict.fromkeys(self._node(claim, pool) for pool, _ in claim.devices))

    def _node(self, claim: DeviceClaim, pool: str) -> str:
        """NVIDIA's driver names a node's pool as the node: that is what is left where no slice is known."""
        told = next((one.node for one in self._pools.get(pool, {}).values() if one.node), "")
        return told or claim.node or pool

    def _uuids(self, pool: str, device: str) -> tuple[str, ...]:
        """By the newest generation of the pool that has the device."""
        known = [one for one in self._pools.get(pool, {}).values() if device in one.devices]
        return max(known, key=lambda one: one.generation).devices[device] if known else ()


def _holders(claim: DeviceClaim) -> Iterable[Holder]:
    uids = [uid for _, uid in claim.consumers] or [""]
    return [Holder(namespace=claim.namespace, uid=uid, claim=claim.name) for uid in uids]


def _seen(claim: DeviceClaim, slots: Iterable[Slot]) -> int:
    """Devices on which the agent saw the claim's pods: the kubelet tells devices of claims too."""
    names = {(claim.namespace, name) for name, _ in claim.consumers}
    uids = {uid for _, uid in claim.consumers}
    return sum(any(h.uid in uids or (h.namespace, h.name) in names for h in slot.holders) for slot in slots)


def _discard(index: dict[str, dict[ClaimKey, None]], at: str, key: ClaimKey) -> None:
    known = index.get(at, {})
    known.pop(key, None)
    if not known:
        index.pop(at, None)

"""Who holds which device: inventories and pods in, arrays for the snapshot out; O(changed)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from binpacking.choice import Ask
from scheduler.devices.arrays import UNLIMITED, Arrays, Summary
from scheduler.devices.claims import DeviceClaims
from scheduler.devices.evidence import Difference, Hold, Holdings, PodName, holdings
from scheduler.devices.summary import Known, need, summarise
from scheduler.model.device_claims import DeviceClaim, DeviceSlice
from scheduler.model.device_view import DeviceView, ask_of, mig_of
from scheduler.model.devices import GPU_PREFIX, WHOLE_GPU, Inventory, Slot
from scheduler.model.gpu_resources import stands_on
from scheduler.model.objects import Shape
from scheduler.model.plan import Assignment

#: out: sick, or held by a foreign process. old: free, by a report too old to rely on.
Use = Literal["free", "shared", "held", "out", "old"]


class DeviceBook:
    """Inventories by node and holds by node and pod. ``rows`` of the arrays are the caller's node rows."""

    def __init__(self) -> None:
        #: With what resource claims hold, as ``_told`` is without.
        self.inventories: dict[str, Inventory] = {}
        self._told: dict[str, Inventory] = {}
        self.claims = DeviceClaims()
        self._holds: dict[str, dict[str, Hold]] = {}
        #: How many pods hold a share of a device, by its thousandths.
        self._shares: Counter[int] = Counter()
        self._asks: dict[Shape, tuple[Ask | None, tuple[tuple[str, int], ...]]] = {}
        self._fresh: dict[str, bool] = {}
        #: Pods on nodes that may use devices and are charged none, by node and name, with their UIDs.
        self._others: dict[str, dict[PodName, str]] = {}
        #: By node, pods that went away since the last probe, which may show them still.
        self._gone: dict[str, set[str]] = {}
        self._holdings: dict[str, Holdings] = {}
        #: By node and resource, how many pods share one device at a time, where several do.
        self._replicas: dict[str, Mapping[str, int]] = {}
        self._dirty: set[str] = set()
        self._rows_moved = True
        self._summaries: dict[str, Summary] = {}
        self._arrays = Arrays(0, 0)
        self._now_s = 0.0
        #: Nodes without an agent get no pods that ask for devices; else they go by allocatable.
        self.needs_report = False
        #: How many nodes' rows were written anew, ever: what tests of O(changed) look at.
        self.rows_written = 0

    # -- events ------------------------------------------------------------------------------

    def put(self, told: Inventory) -> bool:
        """Take a node's word; whether a plan can see the difference."""
        name = told.node
        self._told[name], inventory = told, self.claims.added_to(told)
        before = self.inventories.get(name)
        self.inventories[name] = inventory
        was_fresh = self._fresh.get(name)
        self._fresh[name] = inventory.is_fresh(self._now_s)
        if before is None or before.probed_s != inventory.probed_s:
            self._gone.pop(name, None)
        held = self._holdings.pop(name, None)
        is_same = before is not None and was_fresh == self._fresh[name]
        if before is not None and is_same and _without_holders(before) == _without_holders(inventory):
            if _evidence(before) == _evidence(inventory):
                return False
            if held is not None and held == self.holdings(name):
                return False
        self._dirty.add(name)
        return True

    def remove(self, name: str) -> bool:
        """The agent's object is gone: the node goes by allocatable again."""
        self._fresh.pop(name, None)
        self._holdings.pop(name, None)
        self._gone.pop(name, None)
        self._told.pop(name, None)
        if self.inventories.pop(name, None) is None:
            return False
        self._dirty.add(name)
        return True

    def set_claim(self, claim: DeviceClaim) -> bool:
        """A resource claim holds devices; whether a plan can see the difference."""
        return self._again(self.claims.put_claim(claim))

    def remove_claim(self, namespace: str, name: str) -> bool:
        return self._again(self.claims.remove_claim((namespace, name)))

    def set_slice(self, found: DeviceSlice) -> bool:
        """Which devices of a pool are which; whether a plan can see the difference."""
        return self._again(self.claims.put_slice(found))

    def remove_slice(self, name: str) -> bool:
        return self._again(self.claims.remove_slice(name))

    def replicate(self, name: str, replicas: Mapping[str, int]) -> None:
        """How many pods share one device or instance of a resource on the node, where several do."""
        if replicas != self._replicas.get(name, {}):
            self._replicas[name] = replicas
            self._changed(name)

    def at(self, now_s: float) -> bool:
        """Time passes, in seconds since the epoch; whether some node's word became old or young by it."""
        self._now_s = now_s
        turned = False
        for name, inventory in self.inventories.items():
            is_fresh = inventory.is_fresh(now_s)
            if is_fresh != self._fresh[name]:
                self._fresh[name] = is_fresh
                self._dirty.add(name)
                turned = True
        return turned

    def charge(
        self,
        node: str,
        uid: str,
        shape: Shape,
        devices: Sequence[str],
        *,
        pod: PodName = ("", ""),
        runs: bool = False,
        may_use: bool = False,
    ) -> None:
        """A pod holds what it asks of the node; ``devices`` where it is known which.

        runs: it does already, so that what was seen of its name is its own. may_use: it may hold devices by
        other means than by what it asks here.
        """
        ask, mig = self._ask(shape)
        if ask is None and not mig:
            if may_use or any(name.startswith(GPU_PREFIX) for name, _ in shape.requests):
                self._others.setdefault(node, {})[pod] = uid
                self._changed(node)
            return
        holds = self._holds.setdefault(node, {})
        self._count(holds.get(uid), -1)
        holds[uid] = Hold(ask, mig, tuple(devices), pod, -math.inf if runs else self._probed_s(node))
        self._count(holds[uid], 1)
        self._gone.get(node, set()).discard(uid)
        self._changed(node)

    def release(self, node: str, uid: str) -> None:
        others = self._others.get(node, {})
        for pod in [pod for pod, other in others.items() if other == uid]:
            del others[pod]
            self._changed(node)
        if node in self._others and not others:
            del self._others[node]
        holds = self._holds.get(node)
        hold = None if holds is None else holds.pop(uid, None)
        if holds is None or hold is None:
            return
        self._count(hold, -1)
        if node in self.inventories:
            self._gone.setdefault(node, set()).add(uid)
        self._changed(node)
        if not holds:
            del self._holds[node]

    def moved(self) -> None:
        """Rows of nodes were added or removed."""
        self._rows_moved = True

    def set_class(self, name: str, resources: tuple[str, ...]) -> bool:
        """A DeviceClass stands for these resources; whether a plan can see the difference."""
        before = self.claims.gives
        self.claims.classes[name] = resources
        return self.claims.gives != before

    def remove_class(self, name: str) -> bool:
        before = self.claims.gives
        self.claims.classes.pop(name, None)
        return self.claims.gives != before

    # -- reading -----------------------------------------------------------------------------

    def fatal(self) -> Iterator[tuple[str, Slot, tuple[str, ...]]]:
        """Devices in an outage that asks for a reaction: node, device, UIDs of the pods that hold it."""
        for name, inventory in self.inventories.items():
            for slot in inventory.slots:
                if slot.fatal_s is not None:
                    holds = self.holdings(name).holds
                    yield name, slot, tuple(uid for uid, hold in holds.items() if slot.uuid in hold.devices)

    def uses(self) -> Mapping[Use, int]:
        """Devices of all nodes by what is to be said of them; each counts once."""
        counts: dict[Use, int] = dict.fromkeys(get_args(Use), 0)
        for name, inventory in self.inventories.items():
            known = self.holdings(name)
            held = {u: h for h in known.holds.values() for u in h.devices}
            for slot in inventory.slots:
                hold = held.get(slot.uuid)
                if not slot.is_usable:
                    counts["out"] += 1
                elif hold is not None:
                    counts["shared" if hold.ask is not None and hold.ask.is_share else "held"] += 1
                elif slot.uuid in known.taken:
                    counts["held"] += 1
                else:
                    counts["free" if self._fresh[name] else "old"] += 1
        return counts

    def holders(self, node: str) -> Mapping[str, Hold]:
        """What each pod holds on the node, by UID."""
        return self.holdings(node).holds

    def holdings(self, node: str) -> Holdings:
        """Who holds which device of the node, by what its agent saw, else by annotations."""
        known = self._holdings.get(node)
        if known is None:
            holds, inventory = self._holds.get(node, {}), self.inventories.get(node)
            if inventory is None:
                return Holdings(holds=holds)
            others, gone = self._others.get(node, {}), self._gone.get(node, ())
            known = self._holdings[node] = holdings(inventory, dict(holds), others, gone)
        return known

    def differences(self) -> Iterator[tuple[str, Difference]]:
        """Pods that hold other devices than their annotations name, with their nodes."""
        for name in self.inventories:
            yield from ((name, difference) for difference in self.holdings(name).differences)

    def lost(self, assignments: Sequence[Assignment]) -> str | None:
        """Why pods can no longer have the devices chosen for them, or None."""
        asked: dict[str, list[tuple[Shape, tuple[str, ...]]]] = {}
        for a in assignments:
            if a.devices:
                asked.setdefault(a.node, []).append((a.pod.shape, a.devices))
        reasons = (self.objection(node, pods) for node, pods in asked.items())
        return next((reason for reason in reasons if reason is not None), None)

    def objection(self, node: str, asked: Sequence[tuple[Shape, tuple[str, ...]]]) -> str | None:
        """Why these pods can no longer have these devices of the node, or None."""
        if node not in self.inventories:
            return None
        self._summarise(node)
        summary = self._summaries[node]
        room = dict(zip(summary.uuids, summary.room, strict=True))
        empty = {u: s for u, s in zip(summary.uuids, summary.size, strict=True) if room[u] == s}
        free_mig = {uuid for uuids in summary.free_uuids.values() for uuid in uuids}
        most = summary.most
        for shape, uuids in asked:
            ask, mig = self._ask(shape)
            if mig and uuids and not set(uuids) <= free_mig:
                return "a MIG instance was taken or fell ill meanwhile"
            if ask is None:
                continue
            fresh = [uuid for uuid in uuids if empty.pop(uuid, None) is not None]
            most -= ask.whole or len(fresh)
            if most < 0 or (ask.whole and len(fresh) != len(uuids)):
                return "a device was taken or fell ill meanwhile"
            for uuid in uuids:
                if uuid not in room:
                    return "a device was taken or fell ill meanwhile"
                room[uuid] -= need(ask, summary.size[summary.uuids.index(uuid)])
                if room[uuid] < 0:
                    return "a device was taken or fell ill meanwhile"
        return None

    def unwell(self, node: str, devices: Sequence[str]) -> str | None:
        """Why nothing should start on these devices of the node now, whoever holds them, or None."""
        inventory = self.inventories.get(node)
        if inventory is None or not devices:
            return None
        if not self._fresh[node]:
            return f"nothing new is known of the devices of node {node}"
        taken = self.holdings(node).taken
        usable = {slot.uuid for slot in inventory.slots if slot.is_usable and slot.uuid not in taken}
        return next((f"device {uuid} is not usable" for uuid in devices if uuid not in usable), None)

    def view(self, rows: Mapping[str, int]) -> DeviceView | None:
        """Everything for a snapshot; None where no agent ever told anything."""
        arrays = self._written(rows)
        if arrays is None:
            return None
        return DeviceView(
            room=arrays.room.copy(),
            size=arrays.size.copy(),
            island=arrays.island.copy(),
            most=arrays.most.copy(),
            has_report=arrays.has_report.copy(),
            is_exact=arrays.is_exact.copy(),
            uuids=tuple(arrays.uuids),
            free_slots={name: dict(by_row) for name, by_row in arrays.free_slots.items()},
            shares=dict(self._shares),
            sharers=dict(arrays.sharers),
            there={name: there.copy() for name, there in arrays.there.items()},
        )

    def limit(
        self,
        rows: Mapping[str, int],
        column: Mapping[str, int],
        free: NDArray[np.int64],
        total: NDArray[np.int64],
        going: Mapping[str, Collection[str]] = MappingProxyType({}),
    ) -> DeviceView | None:
        """Lower ``free`` and ``total``, int64[N, R], to what the devices allow; the view likewise.

        going: by node, the UIDs of pods that are on their way out.
        """
        arrays = self._written(rows)
        if self.needs_report:
            silent = np.ones(len(free), dtype=np.bool_) if arrays is None else ~arrays.has_report
            for name, index in column.items():
                if stands_on(name):
                    free[silent, index] = np.minimum(free[silent, index], 0)
        if arrays is None:
            return None
        view = self.view(rows)
        gpu = column.get(WHOLE_GPU)
        before = None if gpu is None else free[:, gpu].copy()
        offered = {name: total[:, at].copy() for name, at in column.items() if name in arrays.caps}
        for name, at in column.items():
            if name not in arrays.caps and stands_on(name):
                # Offered, while the node's own report has none of it.
                free[arrays.has_report, at] = np.minimum(free[arrays.has_report, at], 0)
            elif name in arrays.caps:
                caps, there = arrays.caps[name], arrays.there[name]
                np.minimum(total[:, at], there, out=total[:, at])
                if name == WHOLE_GPU:
                    # A shared device is one that the device plugin still counts as free.
                    free[:, at] -= arrays.shared
                np.minimum(free[:, at], caps, out=free[:, at])
        if view is not None:
            view = replace(view, offered=offered)
        if view is None or gpu is None or before is None:
            return view
        np.minimum(view.most, np.maximum(free[:, gpu], 0), out=view.most)
        coming = {}
        for node in going.keys() & self.inventories.keys() & rows.keys():
            later = self._later(node, going[node], int(before[rows[node]]))
            coming[rows[node]] = max(0, later - int(free[rows[node], gpu]))
        return replace(view, coming=dict(sorted(coming.items())))

    # -- inside ------------------------------------------------------------------------------

    def _again(self, nodes: Iterable[str]) -> bool:
        """What claims hold on these nodes is something else."""
        told = [self._told[node] for node in dict.fromkeys(nodes) if node in self._told]
        changed = False
        for one in told:
            changed |= self.put(one)
        return changed

    def _changed(self, node: str) -> None:
        self._holdings.pop(node, None)
        self._dirty.add(node)

    def _probed_s(self, node: str) -> float:
        inventory = self.inventories.get(node)
        probed_s = None if inventory is None else inventory.probed_s
        return -math.inf if probed_s is None else probed_s

    def _count(self, hold: Hold | None, sign: int) -> None:
        """A share is held, or not any more."""
        if hold is not None and hold.ask is not None and hold.ask.milli:
            self._shares[hold.ask.milli] += sign
            if not self._shares[hold.ask.milli]:
                del self._shares[hold.ask.milli]

    def _ask(self, shape: Shape) -> tuple[Ask | None, tuple[tuple[str, int], ...]]:
        known = self._asks.get(shape)
        if known is None:
            if len(self._asks) >= 8_192:
                self._asks.clear()
            known = self._asks[shape] = (ask_of(shape), mig_of(shape))
        return known

    def _written(self, rows: Mapping[str, int]) -> Arrays | None:
        """The arrays with every changed row written; None without inventories."""
        if not self.inventories:
            self._dirty.clear()
            self._rows_moved = True
            return None
        if self._rows_moved or self._arrays.is_small(len(rows), self._widest()):
            self._arrays = Arrays(len(rows), self._widest())
            self._dirty |= self.inventories.keys()
            self._rows_moved = False
        for name in self._dirty:
            row = rows.get(name)
            if row is None:
                continue
            if name in self.inventories:
                self._summarise(name)
                self._arrays.write(row, self._summaries[name])
                self.rows_written += 1
            else:
                self._arrays.clear(row)
        self._dirty.clear()
        return self._arrays

    def _later(self, node: str, going: Collection[str], free: int) -> int:
        """Whole devices free once these pods are gone; free: by the node's allocatable as it is now."""
        known = self.holdings(node)
        rest = {uid: hold for uid, hold in known.holds.items() if uid not in going}
        whole = sum(h.ask.whole for u, h in known.holds.items() if u in going and h.ask is not None)
        after = self._summary(node, rest, known.taken)
        return min(free + whole - after.shared, after.free.get(WHOLE_GPU, UNLIMITED))

    def _widest(self) -> int:
        return max((len(inventory.slots) for inventory in self.inventories.values()), default=0)

    def _summarise(self, name: str) -> None:
        known = self.holdings(name)
        self._summaries[name] = self._summary(name, known.holds, known.taken)

    def _summary(self, name: str, holds: Mapping[str, Hold], taken: Collection[str]) -> Summary:
        return summarise(
            Known(
                inventory=self.inventories[name],
                holds=holds,
                is_fresh=self._fresh[name],
                taken=taken,
                replicas=self._replicas.get(name, {}),
            )
        )


def _evidence(inventory: Inventory) -> tuple[object, ...]:
    return inventory.slots, inventory.probed_s, inventory.unnamed_claims


def _without_holders(inventory: Inventory) -> tuple[Slot, ...]:
    return tuple(replace(slot, holders=()) for slot in inventory.slots)

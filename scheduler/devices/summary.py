"""What is left of one node's devices: a row of the arrays, from its report and from what pods hold. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from binpacking.choice import MILLI, SIZE_MAX, Ask
from scheduler.devices.arrays import UNLIMITED, Summary
from scheduler.devices.evidence import CLAIMS, Hold
from scheduler.model.devices import WHOLE_GPU, Inventory, Slot
from scheduler.model.gpu_resources import SHARED, stands_on


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A node's report, and what pods hold. A pod whose devices are not known counts against the free ones.

    taken: devices in use by pods that asked for none. replicas: how many pods the device plugin gives one
    device or instance to, by its resource; of such none is named.
    """

    inventory: Inventory
    holds: Mapping[str, Hold]
    is_fresh: bool
    taken: Collection[str] = ()
    replicas: Mapping[str, int] = field(default_factory=dict)

    def slots(self, resource: str) -> list[Slot]:
        return [slot for slot in self.inventory.slots if slot.resource == resource]

    def is_well(self, slot: Slot) -> bool:
        """Whether pods may be given it, or go on with it."""
        return slot.is_usable and self.is_fresh and slot.uuid not in self.taken

    def shared_by(self, resource: str) -> int:
        return self.replicas.get(resource, 1)

    @property
    def pods(self) -> list[Hold]:
        """What pods hold, without what claims hold of which nobody says what it is: ``claimed`` of them."""
        return [hold for uid, hold in self.holds.items() if uid != CLAIMS]

    @property
    def claimed(self) -> int:
        """Each may be a device or any instance, and is held alone."""
        return self.inventory.unnamed_claims

    def unnamed(self, resource: str, slots: Sequence[Slot]) -> int:
        """How many of these devices pods hold that nobody named."""
        mine = {slot.uuid for slot in slots}
        return sum(
            max(0, _asked(hold, (resource,)) - sum(uuid in mine for uuid in hold.devices))
            for hold in self.pods
        )


def summarise(known: Known) -> Summary:
    """What is left of a node's devices."""
    gpus = known.slots(WHOLE_GPU)
    if known.shared_by(WHOLE_GPU) > 1:
        summary = Summary(is_exact=False)
        _count_replicas(summary, known, WHOLE_GPU, gpus)
    else:
        summary = _whole(known, gpus)
    _count_mig(summary, known)
    if not gpus and len({slot.resource for slot in known.inventory.slots}) == 1:
        _count_as_whole(summary, known)
    return _with_shared(summary, known)


def _whole(known: Known, gpus: Sequence[Slot]) -> Summary:
    """What is left of whole devices, which are given to one pod or to shares by name."""
    index = {slot.uuid: i for i, slot in enumerate(gpus)}
    islands = {name: i for i, name in enumerate(sorted({slot.island for slot in gpus if slot.island}))}
    size = [MILLI * min(max(slot.memory_bytes, 1), SIZE_MAX) for slot in gpus]
    room = [whole if known.is_well(slot) else 0 for whole, slot in zip(size, gpus, strict=True)]
    unknown = 0
    shared: dict[int, list[str]] = {}
    for uid, hold in known.holds.items():
        if hold.ask is None:
            continue
        named = [index[uuid] for uuid in hold.devices if uuid in index]
        for at in named:
            if hold.ask.is_share:
                shared.setdefault(at, []).append(uid)
            room[at] = 0 if hold.ask.whole else max(0, room[at] - need(hold.ask, size[at]))
        unknown += max(0, hold.ask.whole - len(named))
    empty = sum(left == whole for left, whole in zip(room, size, strict=True))
    return Summary(
        room=room,
        size=size,
        island=[islands.get(slot.island, -1) for slot in gpus],
        uuids=tuple(slot.uuid for slot in gpus),
        # While somebody holds one that nobody named, any of them may be it: none is chosen by us.
        most=0 if unknown else empty,
        shared=len(shared),
        is_exact=not unknown,
        sharers={gpus[at].uuid: tuple(uids) for at, uids in shared.items() if known.is_well(gpus[at])},
        free={WHOLE_GPU: max(0, empty - unknown)},
        there={WHOLE_GPU: len(gpus)},
    )


def _count_mig(summary: Summary, known: Known) -> None:
    """What is left of instances, by profile."""
    whole = [hold for hold in known.holds.values() if not _has_replica(hold)]
    held = {uuid for hold in whole for uuid in hold.devices}
    for resource in dict.fromkeys(slot.resource for slot in known.inventory.slots):
        slots = known.slots(resource)
        if resource == WHOLE_GPU:
            continue
        if known.shared_by(resource) > 1:
            _count_replicas(summary, known, resource, slots)
            continue
        free = tuple(slot.uuid for slot in slots if known.is_well(slot) and slot.uuid not in held)
        unknown = known.unnamed(resource, slots) + known.claimed
        summary.free[resource] = max(0, len(free) - unknown)
        summary.there[resource] = len(slots)
        summary.free_uuids[resource] = () if unknown else free


def _count_as_whole(summary: Summary, known: Known) -> None:
    """The plugin's single strategy counts instances of the one profile as whole devices: none is named."""
    slots = known.inventory.slots
    resource = slots[0].resource
    summary.is_exact = False
    if known.shared_by(WHOLE_GPU) > 1:
        _count_replicas(summary, known, WHOLE_GPU, slots)
    else:
        summary.free[WHOLE_GPU] = max(0, summary.free[resource] - known.unnamed(WHOLE_GPU, slots))
        summary.there[WHOLE_GPU] = len(slots)


def _count_replicas(summary: Summary, known: Known, resource: str, slots: Sequence[Slot]) -> None:
    """Each of the devices counts as many times as pods may share it, under the plain name or its own."""
    well = {slot.uuid for slot in slots if known.is_well(slot)}
    names = (resource, resource + SHARED)
    holds = [hold for hold in known.pods if not hold.devices or well & set(hold.devices)]
    held = sum(_asked(hold, names) for hold in holds)
    summary.free[resource] = max(0, known.shared_by(resource) * (len(well) - known.claimed) - held)
    summary.there[resource] = known.shared_by(resource) * len(slots)


def _with_shared(summary: Summary, known: Known) -> Summary:
    """The same with the names that replicas have of their own (the plugin's ``renameByDefault``).

    How many there are of one device is known from labels; else they are there as long as a device is.
    """
    for name in [name for name in summary.free if stands_on(name)]:
        exact = known.shared_by(name) > 1
        free, there = summary.free[name], summary.there[name]
        summary.free[name + SHARED] = free if exact or not free else UNLIMITED
        summary.there[name + SHARED] = there if exact or not there else UNLIMITED
    return summary


def _has_replica(hold: Hold) -> bool:
    """Whether others may have the pod's devices as well."""
    return hold.ask is None and bool(hold.mig) and all(name.endswith(SHARED) for name, _ in hold.mig)


def _asked(hold: Hold, names: Collection[str]) -> int:
    """How many devices or instances of these names a pod holds."""
    whole = 0 if hold.ask is None or WHOLE_GPU not in names else hold.ask.whole
    return whole + sum(amount for name, amount in hold.mig if name in names)


def need(ask: Ask, size: int) -> int:
    if ask.whole:
        return size
    return ask.units * MILLI if ask.units else ask.milli * (size // MILLI)

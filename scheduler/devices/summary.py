"""What is left of one node's devices: a row of the arrays, from its report and from what pods hold. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from binpacking.choice import MILLI, SIZE_MAX, Ask
from scheduler.devices.arrays import UNLIMITED, Summary
from scheduler.devices.evidence import Hold
from scheduler.model.devices import WHOLE_GPU, Inventory, Slot
from scheduler.model.gpu_resources import SHARED, stands_on


def summarise(
    inventory: Inventory, holds: Mapping[str, Hold], *, is_fresh: bool, taken: Collection[str] = ()
) -> Summary:
    """What is left of a node's devices. A pod whose devices are not known counts against the free ones.

    taken: devices that are in use by pods that asked for none.
    """
    gpus = [slot for slot in inventory.slots if slot.resource == WHOLE_GPU]
    index = {slot.uuid: i for i, slot in enumerate(gpus)}
    islands = {name: i for i, name in enumerate(sorted({slot.island for slot in gpus if slot.island}))}
    size = [MILLI * min(max(slot.memory_bytes, 1), SIZE_MAX) for slot in gpus]
    room = [whole if slot.is_usable and is_fresh else 0 for whole, slot in zip(size, gpus, strict=True)]
    for uuid in taken:
        if uuid in index:
            room[index[uuid]] = 0
    unknown = 0
    shared: dict[int, list[str]] = {}
    for uid, hold in holds.items():
        if hold.ask is None:
            continue
        known = [index[uuid] for uuid in hold.devices if uuid in index]
        for at in known:
            if hold.ask.is_share:
                shared.setdefault(at, []).append(uid)
            room[at] = 0 if hold.ask.whole else max(0, room[at] - need(hold.ask, size[at]))
        unknown += max(0, hold.ask.whole - len(known))
    empty = sum(left == whole for left, whole in zip(room, size, strict=True))
    free = max(0, empty - unknown)
    summary = Summary(
        room=room,
        size=size,
        island=[islands.get(slot.island, -1) for slot in gpus],
        uuids=tuple(slot.uuid for slot in gpus),
        # While somebody holds one that nobody named, any of them may be it: none is chosen by us.
        most=0 if unknown else empty,
        shared=len(shared),
        is_exact=not unknown,
        sharers={
            gpus[at].uuid: tuple(uids)
            for at, uids in shared.items()
            if gpus[at].is_usable and is_fresh and gpus[at].uuid not in taken
        },
        free={WHOLE_GPU: free},
        there={WHOLE_GPU: len(gpus)},
    )
    _count_mig(summary, inventory, holds, is_fresh=is_fresh, used=taken)
    return summary


def _count_mig(
    summary: Summary,
    inventory: Inventory,
    holds: Mapping[str, Hold],
    *,
    is_fresh: bool,
    used: Collection[str],
) -> None:
    taken = {uuid for hold in holds.values() for uuid in hold.devices}.union(used)
    by_resource: dict[str, list[Slot]] = {}
    for slot in inventory.slots:
        if slot.resource != WHOLE_GPU:
            by_resource.setdefault(slot.resource, []).append(slot)
    for resource, slots in by_resource.items():
        mine = {slot.uuid for slot in slots}
        free = tuple(s.uuid for s in slots if s.is_usable and is_fresh and s.uuid not in taken)
        unknown = 0
        for hold in holds.values():
            wanted = sum(amount for name, amount in hold.mig if name == resource)
            unknown += max(0, wanted - sum(uuid in mine for uuid in hold.devices))
        summary.free[resource] = max(0, len(free) - unknown)
        summary.there[resource] = len(slots)
        summary.free_uuids[resource] = () if unknown else free
    if not summary.uuids and len(by_resource) == 1:
        # The plugin's single strategy counts the instances of the one profile as whole devices.
        resource = next(iter(by_resource))
        whole = sum(hold.ask.whole for hold in holds.values() if hold.ask is not None)
        summary.free[WHOLE_GPU] = max(0, summary.free[resource] - whole)
        summary.there[WHOLE_GPU] = summary.there[resource]


def replicated(
    inventory: Inventory,
    holds: Mapping[str, Hold],
    *,
    replicas: int,
    is_fresh: bool,
    taken: Collection[str] = (),
) -> Summary:
    """As ``summarise`` where the device plugin gives one device to several pods: none is named."""
    gpus = [slot for slot in inventory.slots if slot.resource == WHOLE_GPU]
    well = {slot.uuid for slot in gpus if slot.is_usable and is_fresh and slot.uuid not in taken}
    held = sum(_replicas_of(hold) for hold in holds.values() if not hold.devices or well & set(hold.devices))
    free = max(0, replicas * len(well) - held)
    summary = Summary(is_exact=False, free={WHOLE_GPU: free}, there={WHOLE_GPU: replicas * len(gpus)})
    _count_mig(summary, inventory, holds, is_fresh=is_fresh, used=taken)
    return summary


def with_shared(summary: Summary, replicas: int) -> Summary:
    """The same with the names that replicas have of their own (the plugin's ``renameByDefault``).

    How many there are of one device is known from labels; else they are there as long as a device is.
    """
    for name in [name for name in summary.free if stands_on(name)]:
        exact = name == WHOLE_GPU and replicas > 1
        free, there = summary.free[name], summary.there[name]
        summary.free[name + SHARED] = free if exact or not free else UNLIMITED
        summary.there[name + SHARED] = there if exact or not there else UNLIMITED
    return summary


def _replicas_of(hold: Hold) -> int:
    whole = 0 if hold.ask is None else hold.ask.whole
    return whole + sum(amount for name, amount in hold.mig if name == WHOLE_GPU + SHARED)


def need(ask: Ask, size: int) -> int:
    if ask.whole:
        return size
    return ask.units * MILLI if ask.units else ask.milli * (size // MILLI)

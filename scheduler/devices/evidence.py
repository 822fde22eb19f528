"""Who holds which device of a node, by what agents saw; what annotations name is a wish. Pure.

The kubelet's word, processes on a device and claims for it go before the annotation. Evidence of a pod that
is gone says nothing of those that come after it, so it counts only from a probe that began later.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Final

from binpacking.choice import Ask
from scheduler.model.devices import Holder, Inventory

PodName = tuple[str, str]
#: Stands for the pods of claims on devices that nobody named. No UID of a pod is like it.
CLAIMS: Final = "resource claims"


@dataclass(frozen=True, slots=True)
class Hold:
    """What one pod holds on its node; ``devices`` is empty where nobody said which.

    pod: its namespace and name. after_s: when the last probe from before it began, which does not tell it
    from an earlier pod of that name.
    """

    ask: Ask | None
    mig: tuple[tuple[str, int], ...]
    devices: tuple[str, ...]
    pod: PodName = ("", "")
    after_s: float = -math.inf

    @property
    def count(self) -> int:
        """Devices or instances that it asks for."""
        whole = 0 if self.ask is None else self.ask.whole or 1
        return whole + sum(amount for _, amount in self.mig)


@dataclass(frozen=True, slots=True, kw_only=True)
class Difference:
    """A pod that holds other devices than its annotation names."""

    uid: str
    wished: tuple[str, ...]
    held: tuple[str, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """holds: by UID, with the devices that pods hold. taken: devices that pods use which asked for none."""

    holds: Mapping[str, Hold]
    taken: frozenset[str] = frozenset()
    differences: tuple[Difference, ...] = field(default=())


def holdings(
    inventory: Inventory,
    holds: Mapping[str, Hold],
    others: Mapping[PodName, str],
    gone: Collection[str],
) -> Holdings:
    """What pods hold.

    holds: by UID, as annotations say. others: pods on the node that may use devices and were charged none, by
    name. gone: UIDs of pods that were there at the time of the probe and are not any more.
    """
    if inventory.unnamed_claims:
        holds = {**holds, CLAIMS: Hold(Ask(whole=inventory.unnamed_claims), (), ())}
    if not any(slot.holders for slot in inventory.slots):
        return Holdings(holds=holds)
    by_name = {hold.pod: uid for uid, hold in holds.items()}
    seen: dict[str, list[str]] = {}
    taken: set[str] = set()
    for slot in inventory.slots:
        for holder in slot.holders:
            uid = _charged(holder, holds, by_name, inventory.probed_s)
            if uid:
                known = seen.setdefault(uid, [])
                if slot.uuid not in known:
                    known.append(slot.uuid)
            elif _stays(holder, others, gone):
                taken.add(slot.uuid)
    used = taken.union(*seen.values()) if seen else taken
    settled = {uid: _settled(hold, seen.get(uid, ()), used) for uid, hold in holds.items()}
    return Holdings(
        holds=settled,
        taken=frozenset(taken),
        differences=tuple(
            Difference(uid=uid, wished=holds[uid].devices, held=tuple(devices))
            for uid, devices in seen.items()
            if holds[uid].devices and set(devices) - set(holds[uid].devices)
        ),
    )


def _stays(holder: Holder, others: Mapping[PodName, str], gone: Collection[str]) -> bool:
    """Whether a holder that is charged for none takes the device; a claim does until it is given back."""
    if holder.claim:
        return True
    return holder.uid not in gone if holder.uid else (holder.namespace, holder.name) in others


def _charged(
    holder: Holder, holds: Mapping[str, Hold], by_name: Mapping[PodName, str], probed_s: float | None
) -> str:
    """The UID of the pod meant, which is charged for devices; empty where it is none of those."""
    if holder.uid or holder.claim:
        return holder.uid if holder.uid in holds else ""
    uid = by_name.get((holder.namespace, holder.name), "")
    is_later = uid and probed_s is not None and probed_s > holds[uid].after_s
    return uid if is_later else ""


def _settled(hold: Hold, seen: Collection[str], used: Collection[str]) -> Hold:
    """What is seen, and of the wishes as many as are missing and nobody else is seen on."""
    if not seen and not any(uuid in used for uuid in hold.devices):
        return hold
    shares = hold.ask is not None and hold.ask.is_share
    left = [uuid for uuid in hold.devices if uuid not in seen and (shares or uuid not in used)]
    missing = max(0, hold.count - len(seen))
    return replace(hold, devices=(*seen, *left[:missing]))

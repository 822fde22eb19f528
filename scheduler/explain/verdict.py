"""Verdicts: one sentence with the binding constraint, then the count of nodes by reason.

The text is a pure function of the state, so an unchanged situation gives the unchanged text and
nothing is written to the API again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import replace
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Binding, Certificate, Infeasible
from binpacking.capacity import slots
from binpacking.greedy import Packing, is_lone, place_greedy
from binpacking.problem import Gang, Role
from binpacking.prove import prove_unfit
from scheduler.columns import OVERFLOW
from scheduler.devices.arrays import UNLIMITED
from scheduler.explain.units import amount
from scheduler.model.device_view import column_of, told_of
from scheduler.model.devices import WHOLE_GPU
from scheduler.model.gang import PendingGang, PendingRole
from scheduler.model.objects import ATTACHABLE, Rejected, Shape
from scheduler.model.plan import Policy, Reason, Verdict
from scheduler.predicates.registry import reasons
from scheduler.translation import Translation

MESSAGE_MAX = 1024
CORE_ITEMS_MAX = 3
_HIDDEN: Final = (
    "{} node(s) allocate fewer devices than their agents see, their kubelets count, or they did until a few "
    "minutes ago: a device plugin is restarting, or devices are ill"
)
_BEYOND: Final = (
    "{} node(s) allocate more devices than their agents see: some cannot be asked, or are shared unsaid"
)
_SILENT: Final = "no agent tells of the devices of {} node(s) that allocate GPUs"


class Explainer:
    """Verdicts of one planning run; what is costly is computed once per run and shape."""

    def __init__(self, translation: Translation, policy: Policy) -> None:
        self._translation = translation
        self._policy = policy
        self._empty: Packing | None = None
        #: By the mask that says the same, which lives as long as this.
        self._static: dict[int, tuple[NDArray[np.bool_], Counter[str]]] = {}

    def in_line(self, gang: PendingGang, group: str) -> Verdict:
        """A gang that this cycle did not come to."""
        return Verdict(key=gang.key, reason="Waiting", message=_in_line(group))

    def behind(self, gang: PendingGang, ahead: PendingGang) -> Verdict:
        """A gang that the policy holds back behind an earlier one."""
        message = f"waits behind {ahead.key}, which comes first; the policy allows no backfill"
        return Verdict(key=gang.key, reason="Unschedulable", message=message)

    def unfit(self, packing: Packing, pending: PendingGang, gang: Gang, certificate: Certificate) -> Verdict:
        """A gang that does not fit now, with what is proven about it."""
        core = certificate.core if isinstance(certificate, Infeasible) else ()
        doubts = self._in_doubt(pending, gang)
        never, is_open = ((), False) if doubts else self._never(pending, gang)
        reason: Reason = "Unschedulable" if core else "Unproven"
        if never:
            reason, core = "Unproven" if is_open else "NeverFits", never
        if core:
            known = self._translation.snapshot.resources
            core = tuple(named for item in core for named in _by_name(item, pending, gang, known))
            certificate = Infeasible(core)
        parts = [self._wants(pending, gang)]
        parts += [_sentence(item) for item in core[:CORE_ITEMS_MAX]]
        if is_open:
            parts.append("by what device plugins offer it does not fit even on nodes that are empty of pods")
            parts.append("what resource claims (DRA) could give is not counted, so nothing is proven")
        elif never:
            parts.append("it does not fit on the nodes as they are now even when they are empty of pods")
        elif not core:
            parts.append("no placement was found within the solver's budget, and none is ruled out")
        parts += doubts
        if never and not is_open and any(map(self._has_strangers, pending.roles)):
            parts.append("what resource claims (DRA) could give is not counted")
        text = "; ".join(parts) + self._nodes_by_reason(packing, pending, gang) + self._kept(pending)
        return Verdict(key=pending.key, reason=reason, message=text[:MESSAGE_MAX], certificate=certificate)

    def _in_doubt(self, pending: PendingGang, gang: Gang) -> list[str]:
        """Why nodes may have more of what it asks than is counted; nothing where all of that would not do."""
        snapshot, view = self._translation.snapshot, self._translation.snapshot.devices
        hidden, beyond = np.zeros((2, len(snapshot.nodes)), dtype=np.bool_)
        for name, need in _of_devices(pending, gang).items():
            total = np.zeros(len(snapshot.nodes), dtype=np.int64)
            if name in snapshot.resources:
                total += snapshot.total[:, snapshot.resources.index(name)]
            most, offered = total.copy(), total
            if view is not None and name in view.there:
                seen, offered = view.there[name], view.offered.get(name, total)
                most = np.where(seen < UNLIMITED, np.maximum(most, seen), most)
            for row, has in snapshot.withheld.get(name, {}).items():
                most[row] = max(most[row], has)
            if int(np.maximum(most, offered).sum()) < need:
                return []
            hidden |= most > total
            beyond |= offered > total
        found = [_HIDDEN.format(int(hidden.sum()))] if hidden.any() else []
        found += [_BEYOND.format(int(beyond.sum()))] if beyond.any() else []
        silent = self._not_told(pending)
        return [*found, _SILENT.format(silent)] if silent else found

    def _not_told(self, pending: PendingGang) -> int:
        """Nodes that allocate GPUs of which no report tells, where what is asked takes one."""
        snapshot, view = self._translation.snapshot, self._translation.snapshot.devices
        if WHOLE_GPU not in snapshot.resources or not any(map(_needs_report, pending.roles)):
            return 0
        offered = snapshot.total[:, snapshot.resources.index(WHOLE_GPU)] > 0
        there = None if view is None else view.there.get(WHOLE_GPU)
        return int(offered.sum() if there is None else (offered & (there >= UNLIMITED)).sum())

    def _has_strangers(self, role: PendingRole) -> bool:
        """Whether it asks for devices that no node's device plugin offers."""
        known, total = self._translation.snapshot.resources, self._translation.snapshot.total
        asked = [name for name, _ in role.shape.requests if "/" in name]
        return any(name not in known or not total[:, known.index(name)].any() for name in asked)

    def _never(self, pending: PendingGang, gang: Gang) -> tuple[tuple[Binding, ...], bool]:
        """The core of "not even on empty nodes", and whether what claims could give may yet help."""
        core = self._never_core(pending, gang)
        rest = self._less_claimed(pending, gang) if core else None
        if rest is None:
            return core, False
        stands = self._never_core(pending, rest)
        return (stands, False) if stands else (core, True)

    def _less_claimed(self, pending: PendingGang, gang: Gang) -> Gang | None:
        """The gang without what claims give for plain requests, or None where it asks for nothing of that."""
        gives = self._translation.snapshot.by_claims
        rests = [_rest(role.shape, gives) for role in pending.roles]
        if all(rest is role.shape for rest, role in zip(rests, pending.roles, strict=True)):
            return None
        roles = zip(gang.roles, rests, strict=False)
        bare = tuple(replace(role, request=self._translation.request(rest)) for role, rest in roles)
        return replace(gang, roles=bare)

    def _kept(self, pending: PendingGang) -> str:
        """What is free and yet not to be had."""
        rooms = self._translation.snapshot.vacancies
        nodes = len({room.node for room in rooms if room.gang != pending.key and not room.is_coming})
        return f"; room on {nodes} nodes is kept for lost members of running gangs" if nodes else ""

    def _never_core(self, pending: PendingGang, gang: Gang) -> tuple[Binding, ...]:
        """The core of "not even on empty nodes", or nothing."""
        if pending.avoided or any(role.shape.sees_pods or role.shape.volumes for role in pending.roles):
            return ()  # Other pods, and volumes that may yet come, decide as well.
        # Neither rules of pods that are there now nor what a team may have now are for ever.
        if len(gang.roles) == len(pending.roles):
            masks = [self._translation.snapshot.masks[mine.shape] for mine in pending.roles]
            pairs = zip(gang.roles, masks, strict=True)
            bare = tuple(replace(role, allowed=mask, limits=(), skews=()) for role, mask in pairs)
            gang = replace(gang, roles=bare)
        if self._empty is None:
            self._empty = self._translation.empty_packing(self._policy.strategy)
        if not _is_short(self._empty, gang) and (
            is_lone(gang) or place_greedy(self._empty, gang) is not None
        ):
            return ()
        proof = prove_unfit(self._empty, gang)
        return () if proof is None else proof.core

    def _wants(self, pending: PendingGang, gang: Gang) -> str:
        roles = ", ".join(
            f"{role.count} x ({self._request(mine)})" + (f" as {role.name}" if len(gang.roles) > 1 else "")
            for role, mine in zip(gang.roles, pending.roles, strict=False)
        )
        if pending.key.is_single:
            return f"needs {self._request(pending.roles[0])}"
        return f"needs {gang.minimum} of {roles} at once"

    def _request(self, role: PendingRole) -> str:
        asked = [_asked(role.shape, name, value) for name, value in role.shape.requests if name != "pods"]
        devices = self._translation.devices.ask(role.shape)
        extra = "" if devices is None else column_of(devices)
        return ", ".join([*asked, told_of(devices)] if devices is not None and extra else asked)

    def _nodes_by_reason(self, packing: Packing, pending: PendingGang, gang: Gang) -> str:
        """kube-scheduler's familiar count, for the most demanding role."""
        nodes = self._translation.snapshot.nodes
        which = max(range(len(gang.roles)), key=lambda i: _demand(gang.roles[i], packing))
        role, mine = gang.roles[which], pending.roles[which]
        counts = Counter(self._static_reasons(mine))
        allowed = np.ones(len(nodes), bool) if role.allowed is None else role.allowed
        static = self._translation.snapshot.masks[mine.shape]
        ruled_out = int((static & ~allowed).sum())
        away = self._translation.avoided(pending)
        refused = 0 if away is None else int((static & ~away).sum())
        if refused:
            counts["node(s) whose kubelet turned down a pod of it a moment ago"] += refused
        if ruled_out > refused:
            counts["node(s) ruled out by pod affinity, anti-affinity or spread"] += ruled_out - refused
        short = (packing.free < role.request) & (role.request > 0)
        for column in np.flatnonzero(role.request > 0).tolist():
            lacking = int((short[:, column] & allowed).sum())
            for told in self._names(mine.shape, packing.nodes.resource(column)) if lacking else ():
                counts[_lacks(told)] += lacking
        fits = int((allowed & ~short.any(axis=1)).sum())
        listed = ", ".join(f"{n} {text}" for text, n in sorted(counts.items(), key=_by_count))
        return f" ({fits}/{len(nodes)} nodes have room for one such pod" + (f": {listed})" if listed else ")")

    def _names(self, shape: Shape, column: str) -> list[str]:
        """What the shape asks of a column."""
        if column != OVERFLOW:
            return [column]
        return [name for name, _ in _unknown(shape, self._translation.snapshot.resources)]

    def _static_reasons(self, role: PendingRole) -> Counter[str]:
        mask = self._translation.snapshot.masks[role.shape]
        known = self._static.get(id(mask))
        if known is None:
            translation = self._translation
            found = reasons(role.shape, translation.nodes, translation.snapshot.claims)
            known = self._static[id(mask)] = (mask, found)
        return known[1]


@lru_cache(maxsize=1_024)
def _in_line(group: str) -> str:
    """What is said to all of a group that wait for their turn, hundreds in a cycle."""
    told = f"waits for its turn to be looked at: more of {group} waits than one cycle can try"
    return told[:MESSAGE_MAX]


def _rest(shape: Shape, gives: Collection[str] | None) -> Shape:
    """The same without the extended resources that are given; None: any may be."""
    asked = tuple((n, v) for n, v in shape.requests if "/" not in n or (gives is not None and n not in gives))
    if len(asked) == len(shape.requests):
        return shape
    # What linked devices would be is asked of whole ones.
    is_share = shape.ask is not None and shape.ask.is_share
    return replace(shape, requests=asked, ask=shape.ask if is_share else None)


def blocked(gang: PendingGang) -> Verdict:
    """A gang that must not be planned: refused input, or members still to come."""
    reason: Reason = "Rejected" if isinstance(gang.blocked, Rejected) else "Waiting"
    message = gang.blocked.reason if gang.blocked is not None else ""
    return Verdict(key=gang.key, reason=reason, message=message[:MESSAGE_MAX])


def _by_name(item: Binding, pending: PendingGang, gang: Gang, known: Collection[str]) -> list[Binding]:
    """Names that no node offers share one column: the same, said of each of them."""
    if item.name != OVERFLOW:
        return [item]
    asked: Counter[str] = Counter()
    for role, mine in zip(gang.roles, pending.roles, strict=False):
        for name, each in _unknown(mine.shape, known):
            asked[name] += each * max(1, role.minimum)
    if len(asked) == 1 or item.what != "resource":
        return [replace(item, name=", ".join(asked))]
    return [replace(item, name=name, need=need) for name, need in sorted(asked.items())]


def _unknown(shape: Shape, known: Collection[str]) -> list[tuple[str, int]]:
    """What the shape asks that has no column, since no node offers it."""
    return [request for request in shape.requests if request[0] not in known]


def _needs_report(role: PendingRole) -> bool:
    ask = role.shape.ask
    return ask is not None and (ask.is_share or ask.nvlink == "required")


def _of_devices(pending: PendingGang, gang: Gang) -> dict[str, int]:
    """The least that it asks of what device plugins offer; a share asks for whatever devices there are."""
    asked: Counter[str] = Counter()
    for role, mine in zip(gang.roles, pending.roles, strict=False):
        for name, each in mine.shape.requests:
            if "/" in name:
                asked[name] += each * (gang.need if len(gang.roles) == 1 else max(1, role.minimum))
        if mine.shape.ask is not None and mine.shape.ask.is_share:
            asked[WHOLE_GPU] += 0
    return asked


def _is_short(empty: Packing, gang: Gang) -> bool:
    """Whether a sum says already that the gang, if of one role, does not fit."""
    return len(gang.roles) == 1 and int(slots(empty.free, gang.roles[0]).sum()) < gang.need


def _asked(shape: Shape, name: str, value: int) -> str:
    told = f"{amount(name, value)} {name}"
    return f"{told} (its team's podDefaults)" if name in shape.by_default else told


def _lacks(resource: str) -> str:
    """As kube-scheduler's plugins say it."""
    if resource.startswith(ATTACHABLE):
        return f"node(s) exceed max volume count of {resource.removeprefix(ATTACHABLE)}"
    return f"Insufficient {resource}"


def _sentence(item: Binding) -> str:
    need, have = amount(item.name, item.need), amount(item.name, item.have)
    match item.what:
        case "resource":
            return f"needs {need} {item.name}, {have} can be had where it may go"
        case "mask":
            return f"the nodes it may go to have room for {item.have} of {item.need} pods"
        case "topology":
            return f"no single {item.name} has room for more than {item.have} of {item.need} pods"
        case "devices":
            return f"shares and whole devices do not fit side by side: fewer than {need} pods have room"
        case "limit" | "skew":
            return f"spread, anti-affinity or volumes of {item.name} allow {item.have} of {item.need} pods"
        case _:
            return f"free {item.name} is scattered: the nodes have room for {item.have} of {item.need} pods"


def _by_count(item: tuple[str, int]) -> tuple[int, str]:
    return (-item[1], item[0])


def _demand(role: Role, packing: Packing) -> float:
    """How much of the cluster one pod asks, by its scarcest resource; what nodes attach is none."""
    total: list[float] = packing.total.sum(axis=0).tolist()
    shares = (
        asked / total[column] if total[column] else float(asked > 0)
        for column, asked in enumerate(role.request.tolist())
        if not packing.nodes.resource(column).startswith(ATTACHABLE)
    )
    return max(shares, default=0.0)

"""TeamQuota objects -> the specs that ``quotas`` grows a tree of; and figures of it -> wire amounts.

Whatever is wrong with the tree as a whole (cycles, orphans, sums) is the tree's to say; here only one
object is read. The CRD refuses what is refused here, so a rejection means an object written without it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from quotas.amounts import Amounts
from quotas.membership import Belonging
from quotas.team import TeamSpec
from quotas.units import MODEL, UNITS
from scheduler.kube.wire.base import Quantity
from scheduler.kube.wire.teamquota import TeamAmounts
from scheduler.kube.wire.teamquota import TeamQuota as WireTeamQuota
from scheduler.model.gpu_names import key_of
from scheduler.model.objects import CPU, MEMORY, Rejected
from scheduler.model.selection import Selector
from scheduler.parse.pod import seconds_of
from scheduler.parse.quantity import Scale, parse_quantity
from scheduler.parse.refusal import Refusal, reject, shown
from scheduler.parse.selectors import bounded, parse_selector
from scheduler.predicates.matching import selects

MODELS_MAX = 32
NAMESPACES_MAX = 1_000
THOUSAND = 1_000

_NAME = re.compile(r"[a-z0-9]([-.a-z0-9]{0,251}[a-z0-9])?")
_MODEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")


@dataclass(frozen=True, slots=True, kw_only=True)
class TeamQuota:
    """One team as its admin described it."""

    spec: TeamSpec
    #: Sorted; more are found by the selector.
    namespaces: tuple[str, ...]
    selector: Selector | None
    created_s: float
    #: By resource: ``gpu`` in thousandths of a GPU of any model, ``cpu`` in milli, ``memory`` in bytes.
    pod_defaults: Amounts
    pod_maximum: Amounts
    #: Decayed use when it was last written down, and when that was (0.0: never).
    history: Amounts
    history_at_s: float
    #: ``metadata.generation``: which writing of the spec this is.
    generation: int = 0


def parse_team_quota(found: WireTeamQuota) -> TeamQuota | Rejected:
    """The team, or why it cannot be read. Never raises. Amounts are those of ``quotas.units``."""
    try:
        return _read(found)
    except Refusal as refusal:
        return refusal.rejected


def belongings(quotas: Iterable[TeamQuota], namespaces: Mapping[str, Mapping[str, str]]) -> list[Belonging]:
    """What each team says is its own, of the namespaces that exist (labels by name)."""
    said = []
    for quota in quotas:
        named = set(quota.namespaces)
        for name, labels in namespaces.items():
            if name in named or selects(quota.selector, labels):
                said.append(
                    Belonging(
                        team=quota.spec.name,
                        member=name,
                        is_named=name in named,
                        created_s=quota.created_s,
                    )
                )
    return said


def shown_amounts(amounts: Amounts) -> TeamAmounts:
    """Amounts of ``quotas`` as quantities in a status; what a TeamQuota has no word for is left out."""
    models: dict[str, Quantity] = {
        name.removeprefix(MODEL): _thousandths(amount)
        for name, amount in sorted(amounts.items())
        if name.startswith(MODEL)
    }
    return TeamAmounts(
        gpu=_thousandths(amounts.get(UNITS, 0)),
        gpu_models=models or None,
        cpu=_thousandths(amounts.get(CPU, 0)),
        memory=str(amounts.get(MEMORY, 0)),
    )


def check_pod(team: str, maximum: Amounts, requests: Amounts) -> Rejected | None:
    """Why a pod's requests are over the team's maximum for one pod, or None. Same units as the maximum."""
    for name, most in sorted(maximum.items()):
        asked = requests.get(name, 0)
        if asked > most:
            unit = "" if name == MEMORY else " thousandths"
            return reject(
                f"requests of {name}",
                f"{asked}{unit} is over the {most}{unit} that team {shown(team)} allows one pod: "
                "ask for less, or have TeamQuota spec.podMaximum raised",
            )
    return None


def _read(found: WireTeamQuota) -> TeamQuota:
    spec, name = found.spec, found.metadata.name
    if not _NAME.fullmatch(name):
        raise Refusal("metadata.name", f"{shown(name)} is not the name of an object")
    parent = spec.parent or ""
    if parent and not _NAME.fullmatch(parent):
        raise Refusal("spec.parent", f"{shown(parent)} is not the name of a TeamQuota")
    for namespace in bounded("spec.namespaces", spec.namespaces, NAMESPACES_MAX):
        if not _MODEL.fullmatch(namespace):
            raise Refusal("spec.namespaces", f"{shown(namespace)} is not the name of a namespace")
    history = found.status.history
    return TeamQuota(
        spec=TeamSpec(
            name=name,
            parent=parent,
            weight=1 if spec.weight is None else spec.weight,
            guaranteed=_amounts("spec.guaranteed", spec.guaranteed),
            limit=_amounts("spec.limit", spec.limit),
            borrowing_limit=_amounts("spec.borrowingLimit", spec.borrowing_limit),
            lending_limit=_amounts("spec.lendingLimit", spec.lending_limit),
            priority_ceiling=spec.priority_ceiling,
            min_runtime_s=spec.min_runtime_seconds,
            half_life_s=spec.history_half_life_seconds,
        ),
        namespaces=tuple(sorted(set(spec.namespaces or ()))),
        selector=parse_selector("spec.namespaceSelector", spec.namespace_selector),
        created_s=seconds_of(found.metadata.creation_timestamp),
        pod_defaults=_amounts("spec.podDefaults", spec.pod_defaults),
        pod_maximum=_amounts("spec.podMaximum", spec.pod_maximum),
        history=_amounts("status.history.usage", history.usage if history else None),
        history_at_s=seconds_of(history.as_of) if history else 0.0,
        generation=found.metadata.generation,
    )


def _amounts(field: str, found: TeamAmounts | None) -> dict[str, int]:
    """What is written, zeros included: a limit of 0 is not the absence of a limit."""
    if found is None:
        return {}
    read: dict[str, int] = {}
    single: tuple[tuple[str, str, Quantity | None, Scale], ...] = (
        ("gpu", UNITS, found.gpu, "milli"),
        ("cpu", CPU, found.cpu, "milli"),
        ("memory", MEMORY, found.memory, "unit"),
    )
    for key, name, value, scale in single:
        if value is not None:
            read[name] = _amount(f"{field}.{key}", value, scale)
    models = found.gpu_models or {}
    if len(models) > MODELS_MAX:
        raise Refusal(f"{field}.gpuModels", f"{len(models)} models: use at most {MODELS_MAX}")
    for model, value in sorted(models.items()):
        if not _MODEL.fullmatch(model):
            raise Refusal(f"{field}.gpuModels", f"{shown(model)} is not the name of a model")
        name = MODEL + (key_of(model) or model)
        if name in read:
            told = (
                f"{shown(model)} and another key are one model, {name.removeprefix(MODEL)}: keep one of them"
            )
            raise Refusal(f"{field}.gpuModels", told)
        read[name] = _amount(f"{field}.gpuModels[{shown(model)}]", value, "milli")
    return read


def _amount(field: str, value: Quantity, scale: Scale) -> int:
    amount = parse_quantity(value, scale=scale)
    if isinstance(amount, Rejected):
        raise Refusal(field, amount.reason)
    return amount


def _thousandths(amount: int) -> str:
    whole, rest = divmod(amount, THOUSAND)
    return f"{amount}m" if rest else str(whole)

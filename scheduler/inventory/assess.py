"""``assess(history, now_s)``: from what happened to each device to what may be done with it now. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scheduler.inventory.health import DEFAULT_POLICY, HealthPolicy, Rule, rule_of
from scheduler.inventory.history import History, Sign

#: Healthy and Noted devices take pods. Unknown: could not be asked; no new binding as long as that lasts,
#: what runs stays. Quarantined: no new binding, what runs stays. Fatal: its gang moves.
HealthState = Literal["Healthy", "Noted", "Unknown", "Quarantined", "Fatal"]
_DOUBLINGS_MAX = 10
_FAILURES_MAX = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What a device is good for.

    since_s: when this outage began. until_s: when it ends if nothing more happens; None until the reset or
        boot that ``clear`` asks for. fatal_s: when the outage became fatal; it names the one reaction to it.
    isolated: unfit for gangs that need NVLink, and so are its NVLink neighbours.
    """

    state: HealthState = "Healthy"
    kind: str = ""
    reason: str = ""
    clear: str = ""
    since_s: float | None = None
    until_s: float | None = None
    fatal_s: float | None = None
    isolated: bool = False

    @property
    def is_usable(self) -> bool:
        return self.state in ("Healthy", "Noted")


HEALTHY = Health()


@dataclass(slots=True)
class _Outage:
    """Signs whose clean periods run into each other: one reaction at most."""

    start_s: float
    hold_s: float
    end_s: float
    signs: list[tuple[Sign, Rule]]


def assess(history: History, now_s: float, policy: HealthPolicy = DEFAULT_POLICY) -> Mapping[str, Health]:
    """The health of every device that history knows; one that it does not know is healthy.

    Two reactions to one device (``fatal_s`` values) are at least ``policy.clean_s`` apart, whatever happens.
    The order of signs does not matter, and no device is usable within ``policy.clean_s`` of a sign that takes
    it out.
    """
    return {uuid: _health(signs, now_s, policy) for uuid, signs in history.signs.items()}


def unknown(before: Health, failures: Sequence[str], since_s: float | None) -> Health:
    """Of a device that could not be asked: what is known against it stays, all else is not known now.

    failures: the calls, ``call: code``.
    """
    if not before.is_usable:
        return before
    rule = rule_of("unreadable")
    calls = f" ({', '.join(failures[:_FAILURES_MAX])})" if failures else ""
    return Health(
        state="Unknown",
        kind=rule.kind,
        reason=f"{rule.kind}: {rule.meaning}{calls}",
        clear=rule.clear,
        since_s=since_s,
        isolated=before.isolated,
    )


def fatal_times(signs: Sequence[Sign], policy: HealthPolicy = DEFAULT_POLICY) -> tuple[float, ...]:
    """When each reaction to the device was due: at most one an outage."""
    times = (_fatal_s(outage) for outage in _outages(signs, math.inf, policy))
    return tuple(time_s for time_s in times if time_s is not None)


def _health(signs: Sequence[Sign], now_s: float, policy: HealthPolicy) -> Health:
    outages = _outages(signs, now_s, policy)
    noted = _noted(signs, now_s, policy)
    if not outages or now_s >= outages[-1].end_s:
        return noted
    out = _out(outages[-1])
    # What takes the neighbours apart does so whether or not the device itself is out.
    return replace(out, isolated=True) if noted.isolated else out


def _outages(signs: Sequence[Sign], now_s: float, policy: HealthPolicy) -> list[_Outage]:
    outages: list[_Outage] = []
    for sign in sorted(signs, key=lambda sign: (sign.first_s, sign.kind, sign.last_s)):
        rule = rule_of(sign.kind, policy)
        if rule.severity not in ("quarantine", "fatal") or sign.first_s > now_s:
            continue
        if outages and sign.first_s <= outages[-1].end_s:
            last = outages[-1]
            last.signs.append((sign, rule))
            last.end_s = max(last.end_s, _over_s(sign, rule) + last.hold_s)
            continue
        recent = sum(sign.first_s - outage.start_s <= policy.repeat_window_s for outage in outages)
        hold_s = min(policy.clean_s * 2 ** min(recent, _DOUBLINGS_MAX), policy.clean_max_s)
        hold_s = max(hold_s, policy.clean_s)
        end_s = _over_s(sign, rule) + hold_s
        outages.append(_Outage(start_s=sign.first_s, hold_s=hold_s, end_s=end_s, signs=[(sign, rule)]))
    return outages


def _over_s(sign: Sign, rule: Rule) -> float:
    """When the trouble itself was over, from where the clean period counts."""
    if rule.recovery == "clean":
        return sign.last_s
    return math.inf if sign.mended_s is None else max(sign.last_s, sign.mended_s)


def _fatal_s(outage: _Outage) -> float | None:
    return min((sign.first_s for sign, rule in outage.signs if rule.severity == "fatal"), default=None)


def _out(outage: _Outage) -> Health:
    fatal_s = _fatal_s(outage)
    worst, rule = max(
        outage.signs,
        key=lambda pair: (pair[1].severity == "fatal", _over_s(*pair), -pair[0].first_s, pair[0].kind),
    )
    return Health(
        state="Quarantined" if fatal_s is None else "Fatal",
        kind=worst.kind,
        reason=f"{worst.kind}: {rule.meaning}",
        clear=rule.clear,
        since_s=outage.start_s,
        until_s=None if math.isinf(outage.end_s) else outage.end_s,
        fatal_s=fatal_s,
        isolated=any(rule.scope == "island" for _, rule in outage.signs),
    )


def _noted(signs: Sequence[Sign], now_s: float, policy: HealthPolicy) -> Health:
    """Usable; the latest note of the last ``repeat_window_s`` is told."""
    notes = [
        (sign, rule)
        for sign in signs
        if (rule := rule_of(sign.kind, policy)).severity == "note"
        and sign.first_s <= now_s <= sign.last_s + policy.repeat_window_s
    ]
    if not notes:
        return HEALTHY
    latest, rule = max(notes, key=lambda pair: (pair[0].last_s, pair[0].kind))
    return Health(
        state="Noted",
        kind=latest.kind,
        reason=f"{latest.kind}: {rule.meaning}",
        clear=rule.clear,
        since_s=latest.first_s,
        isolated=any(
            rule.scope == "island" and now_s <= sign.last_s + policy.clean_s for sign, rule in notes
        ),
    )

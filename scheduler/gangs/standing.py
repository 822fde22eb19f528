"""How a gang stands: by the minimum under which it started, whatever is written of it since.

Who makes a running gang larger has not broken it: what is added waits, and the others run on. Who makes it
smaller is taken at his word at once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

from scheduler.gangs.dialect import Dialect
from scheduler.model.gang import GangSpec
from scheduler.model.objects import Pod


@dataclass(frozen=True, slots=True, kw_only=True)
class Shortage:
    """A gang that holds capacity and does not stand, by what the watch shows of it."""

    #: Live members that are bound, and how many it takes.
    bound: int
    minimum: int
    #: Members that stand, that wait beside them, and that are on their way out and still hold their nodes.
    standing: int
    waiting: int
    leaving: int
    #: It stood before, and lost a member; else it never was whole.
    is_broken: bool
    #: It stands if all that is assumed is bound.
    is_assumed: bool
    #: By when those on their way out are to have gone, on the API server's clock; 0 where nobody says.
    gone_by_s: float = 0.0


def stands(pod: Pod) -> bool:
    """Bound and neither failed nor leaving, or succeeded: what a gang may count on."""
    if pod.is_deleting or pod.phase == "Failed":
        return False
    return bool(pod.node_name) or pod.phase == "Succeeded"


def is_whole(spec: GangSpec, standing: Sequence[Pod], dialect: Dialect) -> bool:
    """Whether what stands is a gang: all that starts together, and each later role whole or not at all."""
    late = [role for role in spec.roles if role.is_late]
    if not late:
        return len(standing) >= spec.min_member
    by_role = Counter(dialect.role(pod) for pod in standing)
    first = len(standing) - sum(by_role[role.name] for role in late)
    return first >= spec.min_member - sum(role.minimum for role in late) and all(
        by_role[role.name] == 0 or by_role[role.name] >= role.minimum for role in late
    )


def least(spec: GangSpec, stood: GangSpec | None) -> GangSpec:
    """By which description the gang stands or not: today's or the one it started under, the smaller."""
    if stood is None or spec.min_member <= stood.min_member:
        return spec
    return replace(spec, min_member=stood.min_member, roles=stood.roles, replicas=stood.replicas)


def recalled(spec: GangSpec, min_member: int) -> GangSpec:
    """The description that a gang started under, of which only the minimum was written down."""
    if min_member >= spec.min_member:
        return spec
    fits = sum(role.minimum for role in spec.roles) <= min_member
    return replace(
        spec, min_member=min_member, roles=spec.roles if fits else (), replicas=spec.replicas if fits else ()
    )

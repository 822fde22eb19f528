"""Which team a member (a namespace) belongs to, when several teams say that it is theirs."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from quotas.team import Condition

LISTED_MAX = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Belonging:
    """A team says that a member is its own."""

    team: str
    member: str
    #: By name, rather than by a selector that happens to match.
    is_named: bool
    #: When the team came to be.
    created_s: float


def settle(said: Iterable[Belonging]) -> tuple[dict[str, str], tuple[Condition, ...]]:
    """The team of each member, and a condition on every team that does not get what it says.

    A name beats a selector, then the older team beats the newer, so that a new team takes no member that
    is named by, or merely selected like, an older one. Team names decide only among equals.
    """
    owners: dict[str, Belonging] = {}
    claims = sorted(said, key=lambda b: (not b.is_named, b.created_s, b.team, b.member))
    lost: dict[str, set[str]] = {}
    for belonging in claims:
        owner = owners.setdefault(belonging.member, belonging)
        if owner.team != belonging.team:
            lost.setdefault(belonging.team, set()).add(f"{belonging.member} belongs to {owner.team}")
    conditions = []
    for team, found in sorted(lost.items()):
        listed = sorted(found)
        more = f" and {len(listed) - LISTED_MAX} more" if len(listed) > LISTED_MAX else ""
        conditions.append(Condition(team=team, kind="Overlap", message=", ".join(listed[:LISTED_MAX]) + more))
    return {member: owner.team for member, owner in sorted(owners.items())}, tuple(conditions)

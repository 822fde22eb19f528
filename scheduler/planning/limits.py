"""What one gang may be at most, told to its owner where it is more: see docs/limits.md."""

from __future__ import annotations

from typing import Final

from binpacking.problem import ROLES_MAX, InvalidProblem
from scheduler.model.gang import PendingGang
from scheduler.model.plan import Verdict
from scheduler.teams.desk import trimmed

#: Waiting pods of a gang that are planned at a time; the others come when these have their places.
PODS_MAX: Final = 10_000
#: Single pods that are planned together.
BATCH_MAX: Final = 10_000


def fault(gang: PendingGang) -> Verdict | None:
    """Why the gang is not planned at all."""
    kinds = len(gang.roles)
    if kinds <= ROLES_MAX:
        return None
    message = (
        f"its waiting pods are of {kinds:,} different kinds (role, requests and rules): "
        f"make them alike, a gang has at most {ROLES_MAX:,}"
    )
    return Verdict(key=gang.key, reason="Rejected", message=message)


def bounded(gang: PendingGang) -> PendingGang:
    """The gang with as many of its pods as are planned at a time, all that it needs among them."""
    if gang.key.is_single or len(gang.pods) <= PODS_MAX:
        return gang
    least = max(gang.need, sum(role.minimum for role in gang.roles))
    return trimmed(gang, max(PODS_MAX, least))


def unplannable(gang: PendingGang, error: InvalidProblem) -> Verdict:
    """A gang with numbers that no bound of ours foresaw: its own fault, and nobody else's."""
    return Verdict(key=gang.key, reason="Rejected", message=f"cannot be planned: {error}"[:1024])

"""Strict order: who stands in front of whom where the policy allows no backfill.

A gang that waits for room holds back everybody behind it. One that waits for its team's quota holds back the
gangs of its own namespace, for whom that quota counts too. One that can never start holds back nobody: a typo
of one tenant would stop the cluster.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from binpacking.answer import Infeasible
from scheduler.model.gang import PendingGang
from scheduler.model.plan import Reason, Verdict

#: What a gang waits for that others behind it could take away.
FOR_ROOM: Final[frozenset[Reason]] = frozenset(
    {"Unschedulable", "Unproven", "WaitingForVictims", "WaitingForNodes"}
)


class Line:
    """Those that stand in front, as one planning run finds them."""

    def __init__(self) -> None:
        self._of_all: PendingGang | None = None
        self._of_namespace: dict[str, PendingGang] = {}

    def stands(self, gang: PendingGang, verdicts: Sequence[Verdict]) -> None:
        """Some of these equal gangs wait, by these verdicts; ``gang`` is the first of them."""
        reasons = {verdict.reason for verdict in verdicts if not _waits_for_claims(verdict)}
        if self._of_all is None and not reasons.isdisjoint(FOR_ROOM):
            self._of_all = gang
        if "QuotaExceeded" in reasons:
            self._of_namespace.setdefault(gang.key.namespace, gang)

    def ahead_of(self, gang: PendingGang) -> PendingGang | None:
        """Who holds this gang back, or None."""
        return self._of_all or self._of_namespace.get(gang.key.namespace)


def _waits_for_claims(verdict: Verdict) -> bool:
    """Whether all that is open is what resource claims could give: room that nobody behind it takes."""
    return verdict.reason == "Unproven" and isinstance(verdict.certificate, Infeasible)

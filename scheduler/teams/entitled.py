"""Whether a gang may take room that is kept for a lost member of another: as it might have evicted it."""

from __future__ import annotations

from quotas.entitlement import Denied
from quotas.reclaim import claim, sources
from scheduler.model.gang import PendingGang, Vacancy
from scheduler.teams.allowance import Allowance


def may_take(allowance: Allowance, gang: PendingGang, vacancy: Vacancy) -> bool:
    """The same team's by priority, another team's where that borrowed what this one is owed."""
    team, holder = allowance.team(gang), allowance.table.team(vacancy.gang.namespace)
    if not team:
        return False
    if team == holder:
        tree = allowance.table.tree
        is_higher = tree.priority(team, gang.priority) > tree.priority(team, vacancy.priority)
        return is_higher and all(pod.can_preempt for pod in gang.pods)
    claimed = claim(allowance.books, team, allowance.kept(allowance.request(gang)))
    return not isinstance(claimed, Denied) and holder in sources(allowance.books, claimed)

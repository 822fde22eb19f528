"""The table of teams from what admins wrote."""

from __future__ import annotations

from collections.abc import Mapping

from quotas.membership import settle
from quotas.team import Condition
from quotas.tree import grow
from quotas.units import UnitTable
from scheduler.model.team import TeamTable
from scheduler.parse.teamquota import TeamQuota, belongings


def build_table(
    quotas: Mapping[str, TeamQuota], namespaces: Mapping[str, Mapping[str, str]], units: UnitTable
) -> tuple[TeamTable, tuple[Condition, ...]]:
    """The table, and what is wrong with the teams or with which namespaces they say are theirs."""
    ordered = [quotas[name] for name in sorted(quotas)]
    tree = grow(quota.spec for quota in ordered)
    owners, overlaps = settle(belongings(ordered, namespaces))
    table = TeamTable(
        tree=tree,
        namespaces=owners,
        pod_defaults={quota.spec.name: quota.pod_defaults for quota in ordered if quota.pod_defaults},
        pod_maximum={quota.spec.name: quota.pod_maximum for quota in ordered if quota.pod_maximum},
        units=units,
        generations={quota.spec.name: quota.generation for quota in ordered},
    )
    return table, (*tree.conditions, *overlaps)

"""The table of teams from what admins wrote."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from quotas.membership import settle
from quotas.team import Condition
from quotas.tree import grow
from quotas.units import MODEL, UnitTable
from scheduler.model.gpu_names import wider
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


def by_class(units: UnitTable, models: Iterable[str], quotas: Mapping[str, TeamQuota]) -> UnitTable:
    """The units of these models, each counted in every class of models that a quota or the table names.

    A name holds every model that is it or begins with it, piece by piece: ``h100`` holds ``h100-80gb``.
    """
    specs = [quota.spec for quota in quotas.values()]
    amounts = [each for s in specs for each in (s.guaranteed, s.limit, s.borrowing_limit, s.lending_limit)]
    named = {name.removeprefix(MODEL) for each in amounts for name in each if name.startswith(MODEL)}
    named |= units.by_model.keys()
    classes = {model: tuple(name for name in wider(model) if name in named) for model in models}
    return replace(units, wider={model: names for model, names in classes.items() if names})

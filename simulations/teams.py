"""Teams in a simulation: TeamQuota manifests from a file, and what teams are due as time goes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from quotas.accounts import accounts
from quotas.units import MILLI, UNITS, UnitTable
from scheduler.kube import wire
from scheduler.model.objects import Rejected
from scheduler.parse.teamquota import TeamQuota, parse_team_quota
from scheduler.state import ClusterState
from scheduler.teams.allowance import Allowance
from simulations.manifests import BadManifest, documents
from simulations.outcome import Due

NAME_LABEL = "kubernetes.io/metadata.name"


@dataclass(frozen=True, slots=True, kw_only=True)
class Teams:
    """TeamQuotas, labels of namespaces by name, and what a GPU of each model counts for."""

    quotas: tuple[TeamQuota, ...] = ()
    namespaces: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    units: UnitTable = field(default_factory=UnitTable)

    @property
    def waits_s(self) -> tuple[float, ...]:
        """Times after which work may be taken back that could not before."""
        return tuple(sorted({float(q.spec.min_runtime_s) for q in self.quotas if q.spec.min_runtime_s}))

    def tell(self, state: ClusterState, namespaces: set[str]) -> None:
        """Let a state know the teams, and the namespaces that jobs come from."""
        for name in sorted(namespaces | set(self.namespaces)):
            state.set_namespace(name, {**self.namespaces.get(name, {}), NAME_LABEL: name})
        for quota in self.quotas:
            state.set_team_quota(quota)


def read_teams(path: Path, units: UnitTable | None = None) -> Teams:
    """TeamQuota and Namespace manifests of a YAML file; other kinds are passed over. Raises: BadManifest."""
    quotas: list[TeamQuota] = []
    namespaces: dict[str, Mapping[str, str]] = {}
    for where, document in documents(path):
        kind = document.get("kind")
        try:
            if kind == "Namespace":
                found = msgspec.convert(document, wire.Namespace).metadata
                namespaces[found.name] = found.labels or {}
            elif kind == "TeamQuota":
                quota = parse_team_quota(msgspec.convert(document, wire.TeamQuota))
                if isinstance(quota, Rejected):
                    raise BadManifest(f"{where}: {quota.reason}")
                quotas.append(quota)
        except msgspec.ValidationError as error:
            raise BadManifest(f"{where}: {error}") from error
    if not quotas:
        raise BadManifest(f"{path}: expected TeamQuota manifests (docs/teams.md), found none")
    return Teams(quotas=tuple(quotas), namespaces=namespaces, units=units or UnitTable())


def due(state: ClusterState, at_s: float) -> Due | None:
    """What each team has in use and may have in use now, in normalised GPUs; None without teams."""
    snapshot = state.snapshot(at_s)
    if snapshot.teams is None:
        return None
    found = accounts(Allowance(snapshot, snapshot.teams).books)
    del found[""]
    return Due(
        at_s=at_s,
        used={name: account.used.get(UNITS, 0) / MILLI for name, account in found.items()},
        due={name: account.due.get(UNITS, 0) / MILLI for name, account in found.items()},
    )

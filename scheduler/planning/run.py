"""The working state of one planning run, and what every stage does with it."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Literal

from binpacking.answer import Certificate, Feasible, Optimal, RolePlacement
from binpacking.greedy import Packing
from binpacking.problem import BrokenInvariant
from scheduler.explain.verdict import Explainer
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Assignment, Budget, Place, Policy, Verdict
from scheduler.planning.equals import Failures, asked
from scheduler.planning.kept_rooms import KeptRooms
from scheduler.planning.meter import Meter
from scheduler.teams.desk import Desk, Mask
from scheduler.translation import Translation

Solver = Literal["greedy", "cp-sat"]
Placement = tuple[RolePlacement, ...]


@dataclass(slots=True, kw_only=True)
class Run:
    """The working state of one planning run."""

    policy: Policy
    budget: Budget
    translation: Translation
    packing: Packing
    explainer: Explainer
    meter: Meter
    rooms: KeptRooms
    #: None where there are no teams, and nobody may be evicted for anybody.
    desk: Desk | None = None
    failures: Failures = field(default_factory=Failures)
    places: list[Place] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    #: Gangs that a solver might place and that got none in this cycle.
    starved: set[GangKey] = field(default_factory=set)

    #: Gangs that this run does not look at.
    unseen: list[PendingGang] = field(default_factory=list)

    def group(self, gang: PendingGang) -> str:
        """By what work is shared out: the gang's team, or its namespace."""
        team = "" if self.desk is None or not self.desk.has_teams else self.desk.allowance.team(gang)
        return team or gang.key.namespace

    def key(self, pending: PendingGang, within: Mask | None) -> Hashable:
        """By what a failure of the gang is remembered within this run; None where it is not."""
        ask = asked(pending)
        if ask is None or self.translation.volumes.contends(pending):
            return None
        rights = self.rooms.rights(pending)
        return ask, rights, self.translation.who(pending), None if within is None else within.tobytes()

    def recall(self, key: Hashable) -> Verdict | None:
        """What was found of an equal gang."""
        return self.failures.recall(key, self.translation.mark())

    def note(self, key: Hashable, pending: PendingGang, verdict: Verdict) -> None:
        """Remember how the gang failed; one for which others leave did not."""
        if verdict.reason == "WaitingForVictims":
            return
        is_lasting = not any(role.shape.pod_affinity or role.shape.spread for role in pending.roles)
        self.failures.note(key, verdict, None if is_lasting else self.translation.mark())


def accept(
    run: Run,
    gang: PendingGang,
    assignments: Sequence[Assignment],
    certificate: Certificate,
    solver: Solver,
) -> None:
    run.translation.note(assignments)
    if run.desk is not None:
        run.desk.placed(gang, assignments)
    run.places.append(
        Place(gang=gang, assignments=tuple(assignments), certificate=certificate, solver=solver)
    )


def certificate_of(pending: PendingGang, assignments: Sequence[Assignment]) -> Certificate:
    """Of a gang that stands: best possible where no pod of it is left."""
    wanted, got = len(pending.pods), len(assignments)
    return Optimal(float(got)) if got == wanted else Feasible(float(got), float(wanted))


def assign(translation: Translation, pending: PendingGang, placement: Placement) -> list[Assignment]:
    """Pods by ordinal onto nodes in index order, so that neighbouring ranks share a node."""
    assignments: list[Assignment] = []
    for role, where in zip(pending.roles, placement, strict=True):
        names = translation.node_names(where)
        assignments += [Assignment(pod=p, node=n) for p, n in zip(role.pods, names, strict=False)]
    return assignments


def with_devices(run: Run, assignments: Sequence[Assignment]) -> list[Assignment]:
    """The pods' devices. Raises BrokenInvariant: the packer counted them, so they are there."""
    chosen = run.translation.choose(assignments, run.packing)
    if chosen is None:
        raise BrokenInvariant("the devices that a plan counted on are not there")
    return chosen

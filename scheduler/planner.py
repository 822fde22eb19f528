"""plan(snapshot, policy, budget) -> Plan: every decision stowplan makes, for every shell.

Pure and deterministic: no clock, no I/O, no randomness. The order comes from ``quotas``, places and
proofs from ``binpacking``; this module walks the order and keeps the working state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Literal

from binpacking.answer import Certificate, Feasible, Infeasible, Optimal, RolePlacement, Unknown
from binpacking.device_model import DeviceDemand
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import BrokenInvariant, Gang
from binpacking.prove import prove_unfit
from binpacking.solve import solve_gang
from quotas.order import Entry, order
from scheduler.displacing import WHY, Displacer
from scheduler.explain.verdict import Explainer
from scheduler.in_turn import place_in_turn
from scheduler.model.gang import GangKey, PendingGang, TopologySpec
from scheduler.model.objects import Shape
from scheduler.model.plan import Assignment, Budget, Ordering, Place, Plan, Policy, Snapshot, Verdict
from scheduler.service import rank
from scheduler.teams.desk import Admitted, Desk, Mask
from scheduler.translation import Translation

Solver = Literal["greedy", "cp-sat"]
Placement = tuple[RolePlacement, ...]
#: Roles by (shape, pods, minimum), what the gang needs, and its topology.
Asked = tuple[tuple[tuple[Shape, int, int], ...], int, tuple[TopologySpec, ...]]


@dataclass(slots=True, kw_only=True)
class Run:
    """The working state of one planning run."""

    policy: Policy
    budget: Budget
    translation: Translation
    packing: Packing
    explainer: Explainer
    #: None where there are no teams.
    desk: Desk | None = None
    #: None unless the policy displaces.
    displacer: Displacer | None = None
    #: Verdicts of this run by what was asked for: since then nothing was released, so equals fail alike.
    unfit: dict[Asked, Verdict] = field(default_factory=dict)
    places: list[Place] = field(default_factory=list)
    verdicts: list[Verdict] = field(default_factory=list)
    spent: float = 0.0


def plan(
    snapshot: Snapshot,
    policy: Policy,
    budget: Budget,
    settled: Mapping[GangKey, Verdict] = MappingProxyType({}),
) -> Plan:
    """Choose places and verdicts for one scheduling cycle.

    Every pending gang of the snapshot appears exactly once: as a Place, or as a Verdict. A gang is
    placed whole (at least what it needs to stand) or not at all. ``settled`` are verdicts of an
    earlier run that still hold, because no capacity was released since and their gangs are the same.
    Raises only for our own bugs: tenant input was bounded by the parser.
    """
    run = _open(snapshot, policy, budget)
    if run.desk is None:
        order = in_order(snapshot.gangs, policy.order, snapshot.at_s)
    else:
        order = run.desk.in_order(snapshot.gangs)
    ahead: PendingGang | None = None
    for batch in _batches(run, order, settled):
        first = batch[0]
        is_promised = run.desk is not None and run.desk.is_promised(first)
        known = None if is_promised else settled.get(first.key)
        if known is not None:
            run.verdicts.append(_still(run, first, known))
            ahead = ahead or first
        elif first.blocked is not None:
            run.verdicts.append(run.explainer.blocked(first))
        elif ahead is not None and not policy.backfill:
            run.verdicts.extend(run.explainer.behind(gang, ahead) for gang in batch)
        else:
            before = len(run.verdicts)
            if any(role.replica for role in first.roles):
                _place_by_replicas(run, first)
            else:
                _place(run, batch)
            ahead = ahead or (first if len(run.verdicts) > before else None)
    maker = run.desk or run.displacer
    clearings = () if maker is None else tuple(maker.clearings)
    return Plan(places=tuple(run.places), verdicts=tuple(run.verdicts), clearings=clearings, spent=run.spent)


def _open(snapshot: Snapshot, policy: Policy, budget: Budget) -> Run:
    translation = Translation(snapshot, policy.prices)
    packing = translation.packing(policy.strategy)
    teams = snapshot.teams
    return Run(
        policy=policy,
        budget=budget,
        translation=translation,
        packing=packing,
        explainer=Explainer(translation, policy),
        desk=None if teams is None else Desk(snapshot, teams, translation, packing),
        displacer=Displacer(snapshot, policy, translation, packing)
        if teams is None and policy.displaces
        else None,
    )


def _batches(
    run: Run, order: Sequence[PendingGang], settled: Mapping[GangKey, Verdict]
) -> Iterator[list[PendingGang]]:
    """As ``batches``; where it matters to a quota on which model a pod goes, pods are planned one by one."""
    for batch in batches(order, settled, by_labels=run.translation.sees_labels):
        if run.desk is None or len(batch) == 1:
            yield batch
            continue
        together: list[PendingGang] = []
        for gang in batch:
            if run.desk.can_batch(gang):
                together.append(gang)
            else:
                yield from (some for some in (together, [gang]) if some)
                together = []
        if together:
            yield together


def _still(run: Run, gang: PendingGang, known: Verdict) -> Verdict:
    """A verdict that still holds, unless by now others may be evicted for the gang."""
    if run.desk is None or gang.blocked is not None or _roles_see_each_other(gang):
        return known
    gang = next(_whole(gang))
    admitted = run.desk.admit([gang])
    if not admitted.gangs:
        return (admitted.verdicts or _refuse(run, admitted))[0]
    return (_room(run, admitted.gangs, admitted.within) or [known])[0]


def _whole(gang: PendingGang) -> Iterator[PendingGang]:
    """What starts together of a gang: all of it but its replicas, then, once it stands, each of those."""
    own = tuple(role for role in gang.roles if not role.replica)
    if own:
        yield gang if len(own) == len(gang.roles) else replace(gang, roles=own)
    if gang.need or any(role.minimum for role in own):
        # They come in an attempt of their own: a Binding refused to one of them ends all of that attempt.
        return
    for name in dict.fromkeys(role.replica for role in gang.roles if role.replica):
        mine = (role for role in gang.roles if role.replica == name)
        yield replace(gang, roles=tuple(replace(role, minimum=len(role.pods)) for role in mine))


def _place_by_replicas(run: Run, gang: PendingGang) -> None:
    """Each replica where it fits, whatever becomes of the others; all that got places are one Place."""
    places, verdicts = len(run.places), len(run.verdicts)
    for part in _whole(gang):
        _place(run, [part])
    found = run.places[places:]
    if not found:
        del run.verdicts[verdicts + 1 :]
        return
    del run.places[places:], run.verdicts[verdicts:]
    roles = tuple(role for place in found for role in place.gang.roles)
    assignments = tuple(a for place in found for a in place.assignments)
    solver: Solver = "cp-sat" if any(place.solver == "cp-sat" for place in found) else "greedy"
    run.places.append(
        Place(
            gang=replace(gang, roles=roles),
            assignments=assignments,
            certificate=_placed(gang, assignments),
            solver=solver,
        )
    )


def _place(run: Run, batch: Sequence[PendingGang]) -> None:
    """Place one gang, or equal single pods, as far as their teams allow it."""
    if run.desk is None:
        _place_admitted(run, list(batch), None)
        return
    answer = run.desk.admit(batch)
    run.verdicts.extend(answer.verdicts)
    _place_admitted(run, answer.gangs, answer.within)
    run.verdicts.extend(_refuse(run, answer))


def _place_admitted(run: Run, admitted: list[PendingGang], within: Mask | None) -> None:
    if not admitted or _is_kept(run, admitted[0]):
        return
    if admitted[0].key.is_single:
        _place_singles(run, admitted, within)
    else:
        _place_gang(run, admitted[0], within)


def _refuse(run: Run, answer: Admitted) -> list[Verdict]:
    """Verdicts of those whom a quota forbids."""
    if run.desk is None:
        return []
    verdicts, spent = run.desk.refuse(answer.refusals, run.budget, run.budget.total - run.spent)
    run.spent += spent
    return verdicts


def _is_kept(run: Run, gang: PendingGang) -> bool:
    """Whether the gang had room promised to it: then it takes that, or goes on waiting for it."""
    kept = None if run.desk is None else run.desk.kept(gang)
    match kept:
        case None:
            return False
        case Verdict():
            run.verdicts.append(kept)
        case _:
            chosen = run.translation.choose(kept, run.packing)
            if chosen is None:
                # A device that the promise counted on fell ill: the gang is looked at anew.
                run.translation.give(kept, run.packing)
                return False
            _accept(run, gang, chosen, _placed(gang, chosen), "greedy")
    return True


def _room(run: Run, gangs: Sequence[PendingGang], within: Mask | None) -> list[Verdict]:
    """Verdicts of the first of these equal gangs for which others leave."""
    if run.desk is None:
        return []
    verdicts, spent = run.desk.make_room(gangs, within, run.budget, run.budget.total - run.spent)
    run.spent += spent
    return verdicts


def in_order(gangs: Sequence[PendingGang], by: Ordering = "oldest", at_s: float = 0.0) -> list[PendingGang]:
    """The gangs as they are to be considered, first served first."""
    entries = [
        Entry(
            is_started=g.standing > 0 and g.need > 0,
            priority=g.priority,
            rank=0.0 if by == "oldest" else rank(by, g.pods, at_s),
            created_s=g.created_s,
            name=str(g.key),
        )
        for g in gangs
    ]
    return [gangs[i] for i in order(entries)]


def batches(
    gangs: Sequence[PendingGang], settled: Mapping[GangKey, Verdict], *, by_labels: bool
) -> Iterator[list[PendingGang]]:
    """Runs of neighbours that are decided together: single pods of one shape count as one role.

    by_labels: whether some rule between pods can tell pods of one shape apart by their labels.
    """
    batch: list[PendingGang] = []
    for gang in gangs:
        is_settled = gang.key in settled or (bool(batch) and batch[0].key in settled)
        if batch and (is_settled or not _is_alike(batch[0], gang, by_labels)):
            yield batch
            batch = []
        batch.append(gang)
    if batch:
        yield batch


def _is_alike(first: PendingGang, other: PendingGang, by_labels: bool) -> bool:
    if not (first.key.is_single and other.key.is_single) or first.blocked or other.blocked:
        return False
    one, two = first.roles[0].pods[0], other.roles[0].pods[0]
    if one.shape is not two.shape and one.shape != two.shape:
        return False
    return not by_labels or (
        not one.shape.sees_pods and one.namespace == two.namespace and one.labels == two.labels
    )


def _place_singles(run: Run, batch: list[PendingGang], within: Mask | None) -> None:
    """As many of these equal pods as fit, oldest first; one verdict serves the rest."""
    first, count = batch[0], len(batch)
    gang = run.translation.gang(first, count=count, minimum=0, within=within)
    placement = place_greedy(run.packing, gang, prefer=run.translation.preference(first.roles))
    nodes: list[str] = []
    if placement is not None:
        run.packing.take(gang.roles[0], placement[0])
        nodes = run.translation.node_names(placement[0])
    bare = [Assignment(pod=s.roles[0].pods[0], node=n) for s, n in zip(batch, nodes, strict=False)]
    for single, assignment in zip(batch, _with_devices(run, bare), strict=False):
        _accept(run, single, [assignment], Optimal(1.0), "greedy")
    rest = batch[len(nodes) :]
    for equals in _equals(rest) if run.desk is not None else ():
        made = _room(run, equals, within)
        run.verdicts.extend(made)
        told = {verdict.key for verdict in made}
        rest = [single for single in rest if single.key not in told]
    while rest and run.displacer is not None:
        made = _displaced(run, rest[0], run.translation.gang(rest[0], count=1, minimum=1, within=within))
        if not made:
            break
        run.verdicts.extend(made)
        rest = rest[1:]
    if rest:
        one = run.translation.gang(rest[0], count=1, minimum=1, within=within)
        core = prove_unfit(run.packing, one) or Unknown(0.0)
        verdict = run.explainer.unfit(run.packing, rest[0], one, core)
        run.verdicts.extend(replace(verdict, key=single.key) for single in rest)


def _asked(run: Run, pending: PendingGang) -> Asked | None:
    """As ``asked``, or None where who asks decides more than what is asked."""
    if run.desk is not None or run.translation.sees_labels:
        return None
    return asked(pending)


def asked(pending: PendingGang) -> Asked | None:
    """What an equal gang would ask for, or None where some of it stands already."""
    if pending.standing_nodes:
        return None
    roles = tuple((role.shape, len(role.pods), role.minimum) for role in pending.roles)
    return roles, pending.need, pending.topology


def is_shared(snapshot: Snapshot, policy: Policy) -> bool:
    """Whether equal gangs fail alike, whoever asks: no teams, no rule between pods, no turn to wait for."""
    return (
        snapshot.teams is None
        and policy.backfill
        and not policy.displaces
        and not snapshot.placed
        and not any(shape.sees_pods for shape in snapshot.masks)
    )


def _displaced(run: Run, pending: PendingGang, gang: Gang) -> list[Verdict]:
    """The verdict of a gang for which later gangs leave; none where it would not fit even then."""
    if run.displacer is None or pending.standing or run.translation.devices.counts_apart(pending.roles):
        return []
    if run.displacer.make_room(pending, gang) is None:
        return []
    run.unfit.clear()
    return [Verdict(key=pending.key, reason="WaitingForVictims", message=f"waits for room: {WHY}")]


def _equals(singles: Sequence[PendingGang]) -> list[list[PendingGang]]:
    """The pods, apart by all that decides whom they may have evicted."""
    found: dict[tuple[str, int, bool], list[PendingGang]] = {}
    for single in singles:
        kind = (single.key.namespace, single.priority, single.roles[0].pods[0].can_preempt)
        found.setdefault(kind, []).append(single)
    return list(found.values())


def _place_gang(run: Run, pending: PendingGang, within: Mask | None) -> None:
    if _roles_see_each_other(pending):
        _place_in_turn(run, pending, within)
        return
    asked = _asked(run, pending)
    if asked is not None and asked in run.unfit:
        run.verdicts.append(replace(run.unfit[asked], key=pending.key))
        return
    gang = run.translation.gang(pending, within=within)
    if run.translation.devices.is_mixed(pending):
        _place_mixed(run, pending, gang, within)
        if asked is not None and run.verdicts and run.verdicts[-1].key == pending.key:
            run.unfit[asked] = run.verdicts[-1]
        return
    placement, certificate, solver = _find(run, pending, gang)
    if placement is None:
        made = _room(run, [pending], within) or _displaced(run, pending, gang)
        run.verdicts.extend(made or [run.explainer.unfit(run.packing, pending, gang, certificate)])
        if not made and asked is not None:
            run.unfit[asked] = run.verdicts[-1]
        return
    run.packing.take_all(gang, placement)
    assignments = _with_devices(run, _assign(run.translation, pending, placement))
    _accept(run, pending, assignments, _placed(pending, assignments), solver)


def _find(run: Run, pending: PendingGang, gang: Gang) -> tuple[Placement | None, Certificate, Solver]:
    """Greedy first; where it fails although nothing forbids the gang, CP-SAT settles it."""
    placement = place_greedy(run.packing, gang, prefer=run.translation.preference(pending.roles))
    if placement is not None:
        return placement, Optimal(), "greedy"
    return _settle(run, gang)


def _settle(
    run: Run, gang: Gang, demand: DeviceDemand | None = None
) -> tuple[Placement | None, Certificate, Solver]:
    """A proof that nothing will do, or what CP-SAT finds. demand: where devices decide, not counts alone."""
    core = prove_unfit(run.packing, gang)
    if core is not None:
        return None, core, "greedy"
    allowance = min(run.budget.per_gang, run.budget.total - run.spent)
    if allowance <= 0:
        return None, Unknown(0.0), "greedy"
    answer = solve_gang(run.packing, gang, budget=allowance, seed=run.budget.seed, demand=demand)
    run.spent += answer.spent
    return answer.placement, answer.certificate, "cp-sat"


def _place_in_turn(run: Run, pending: PendingGang, within: Mask | None) -> None:
    """A gang whose pods see each other's labels. A failure here is never called proven."""
    tried = place_in_turn(run.translation, run.packing, pending, within)
    if tried.assignments:
        _accept(run, pending, tried.assignments, _placed(pending, tried.assignments), "greedy")
        return
    short = tried.short or run.translation.gang(pending, within=within)
    run.verdicts.append(run.explainer.unfit(run.packing, pending, short, Unknown(0.0)))


def _place_mixed(run: Run, pending: PendingGang, gang: Gang, within: Mask | None) -> None:
    """A gang whose roles ask of devices in several ways: in turn where that works, else device by device.

    Nobody is evicted for it: counts do not say whether it would then fit.
    """
    translation = run.translation
    in_order = replace(pending, roles=tuple(translation.devices.in_order(pending.roles)))
    tried = place_in_turn(translation, run.packing, in_order, within)
    if tried.assignments:
        _accept(run, pending, tried.assignments, _placed(pending, tried.assignments), "greedy")
        return
    placement, certificate, solver = _settle(run, gang, translation.demand(pending, run.packing))
    if placement is not None:
        run.packing.take_all(gang, placement)
        chosen = translation.choose(_assign(translation, pending, placement), run.packing)
        if chosen is not None:
            _accept(run, pending, chosen, _placed(pending, chosen), solver)
            return
        run.packing.give_all(gang, placement)
        certificate = Unknown(run.budget.per_gang)
    run.verdicts.append(run.explainer.unfit(run.packing, pending, gang, certificate))


def _placed(pending: PendingGang, assignments: Sequence[Assignment]) -> Certificate:
    """Of a gang that stands: best possible where no pod of it is left."""
    wanted, got = len(pending.pods), len(assignments)
    return Optimal(float(got)) if got == wanted else Feasible(float(got), float(wanted))


def _roles_see_each_other(pending: PendingGang) -> bool:
    return len(pending.roles) > 1 and any(
        role.shape.pod_affinity or role.shape.pod_anti_affinity or role.shape.spread for role in pending.roles
    )


def _assign(translation: Translation, pending: PendingGang, placement: Placement) -> list[Assignment]:
    """Pods by ordinal onto nodes in index order, so that neighbouring ranks share a node."""
    assignments: list[Assignment] = []
    for role, where in zip(pending.roles, placement, strict=True):
        names = translation.node_names(where)
        assignments += [Assignment(pod=p, node=n) for p, n in zip(role.pods, names, strict=False)]
    return assignments


def _with_devices(run: Run, assignments: Sequence[Assignment]) -> list[Assignment]:
    """The pods' devices. Raises BrokenInvariant: the packer counted them, so they are there."""
    chosen = run.translation.choose(assignments, run.packing)
    if chosen is None:
        raise BrokenInvariant("the devices that a plan counted on are not there")
    return chosen


def _accept(
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


def is_proven(verdict: Verdict) -> bool:
    """Whether the verdict is a proof rather than a failure to find."""
    return isinstance(verdict.certificate, Infeasible)

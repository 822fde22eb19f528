"""Single pods of one shape, placed together."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from binpacking.answer import Optimal, Unknown
from binpacking.capacity import slots
from binpacking.prove import prove_unfit
from scheduler.model.gang import PendingGang
from scheduler.model.plan import Assignment, Verdict
from scheduler.planning.room import room_for
from scheduler.planning.run import Run, accept, with_devices
from scheduler.softly import place_softly
from scheduler.teams.desk import Mask


def place_singles(run: Run, batch: list[PendingGang], within: Mask | None) -> None:
    """As many of these equal pods as fit, oldest first; one verdict serves the rest."""
    key = run.key(batch[0], within)
    verdict = run.recall(key)
    rest = batch if verdict is not None else _fill(run, batch, within)
    for some in _equals(rest) if run.desk is not None else ():
        made = room_for(run, some, within)
        run.verdicts.extend(made)
        told = {verdict.key for verdict in made}
        rest = [single for single in rest if single.key not in told]
    if not rest:
        return
    if verdict is None:
        one = run.translation.gang(rest[0], count=1, minimum=1, within=within)
        core = prove_unfit(run.packing, one) or Unknown(0.0)
        verdict = run.explainer.unfit(run.packing, rest[0], one, core)
        run.note(key, rest[0], verdict)
        if is_told_by_shape(run, rest[0]):
            run.failures.note_single(rest[0].roles[0].shape, verdict)
    run.verdicts.extend(structs.replace(verdict, key=single.key) for single in rest)


def is_told_by_shape(run: Run, single: PendingGang) -> bool:
    """Whether all that decides about the pod, beside the room there is, is its shape."""
    shape = single.roles[0].shape
    return (
        run.desk is None
        and not run.rooms.count
        and not run.translation.sees_labels
        and not (single.avoided or shape.pod_affinity or shape.spread)
    )


def known_of(run: Run, batch: Sequence[PendingGang]) -> list[Verdict]:
    """What is said of pods whose shape was found not to fit earlier in this run; nothing where none was."""
    first = batch[0]
    told = run.failures.recall_single(first.roles[0].shape) if first.key.is_single else None
    if told is None or first.avoided or first.blocked:
        return []
    return [structs.replace(told, key=single.key) for single in batch]


def _fill(run: Run, batch: list[PendingGang], within: Mask | None) -> list[PendingGang]:
    """Place as many as fit; those that are left."""
    run.meter.charge()
    first, count = batch[0], len(batch)
    gang = run.translation.gang(first, count=count, minimum=0, within=within)
    if count > 1 and not slots(run.packing.free, gang.roles[0]).any():
        return batch
    placement = place_softly(run.translation, run.packing, first.roles, gang)
    nodes: list[str] = []
    if placement is not None:
        run.packing.take(gang.roles[0], placement[0])
        nodes = run.translation.node_names(placement[0])
    bare = [Assignment(pod=s.roles[0].pods[0], node=n) for s, n in zip(batch, nodes, strict=False)]
    for single, assignment in zip(batch, with_devices(run, bare), strict=False):
        accept(run, single, [assignment], Optimal(1.0), "greedy")
    return batch[len(nodes) :]


def _equals(singles: Sequence[PendingGang]) -> list[list[PendingGang]]:
    """The pods, apart by all that decides whom they may have evicted."""
    found: dict[tuple[str, int, bool], list[PendingGang]] = {}
    for single in singles:
        kind = (single.key.namespace, single.priority, single.roles[0].pods[0].can_preempt)
        found.setdefault(kind, []).append(single)
    return list(found.values())

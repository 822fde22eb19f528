"""In which order gangs are considered, and which neighbours are decided together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence

from quotas.order import rank_of
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Ordering, Verdict
from scheduler.planning.limits import BATCH_MAX
from scheduler.planning.run import Run
from scheduler.service import rank


def in_order(gangs: Sequence[PendingGang], by: Ordering = "oldest", at_s: float = 0.0) -> list[PendingGang]:
    """The gangs as they are to be considered, first served first."""
    return sorted(
        gangs,
        key=lambda g: rank_of(
            g.priority,
            g.created_s,
            str(g.key),
            is_started=g.is_started,
            rank=0.0 if by == "oldest" else rank(by, g.pods, at_s),
        ),
    )


def in_batches(
    run: Run, order: Sequence[PendingGang], settled: Mapping[GangKey, Verdict]
) -> Iterator[list[PendingGang]]:
    """As ``batches``; where it matters to a quota on which model a pod goes, pods are planned one by one."""
    for batch in run.rooms.apart(batches(order, settled, run.translation.kind)):
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


def batches(
    gangs: Sequence[PendingGang],
    settled: Mapping[GangKey, Verdict],
    kind: Callable[[PendingGang], Hashable],
) -> Iterator[list[PendingGang]]:
    """Runs of neighbours that are decided together: single pods of one shape count as one role.

    kind: by which pods of one shape are told apart; None for those that are always planned alone.
    """
    batch: list[PendingGang] = []
    was_settled = False
    own: Hashable = None
    for gang in gangs:
        is_settled = gang.key in settled
        apart = is_settled or was_settled or len(batch) >= BATCH_MAX
        if batch and (apart or own is None or not _is_alike(batch[0], gang) or own != kind(gang)):
            yield batch
            batch = []
        if not batch:
            own = kind(gang) if gang.key.is_single else None
        batch.append(gang)
        was_settled = is_settled
    if batch:
        yield batch


def _is_alike(first: PendingGang, other: PendingGang) -> bool:
    """Whether both are single pods that ask for the same. The first is one."""
    if not other.key.is_single or first.blocked or other.blocked:
        return False
    one, two = first.roles[0].shape, other.roles[0].shape
    return (one is two or one == two) and first.avoided == other.avoided

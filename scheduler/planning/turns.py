"""In which order gangs are considered, and which neighbours are decided together."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Mapping, Sequence
from typing import Protocol

from quotas.order import Rank, rank_of
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Ordering, Verdict
from scheduler.planning.limits import BATCH_MAX
from scheduler.planning.run import Run
from scheduler.service import rank


def in_order(gangs: Sequence[PendingGang], by: Ordering = "oldest", at_s: float = 0.0) -> list[PendingGang]:
    """The gangs as they are to be considered, first served first."""
    return sorted(gangs, key=lambda gang: place_in_line(gang, by, at_s))


def place_in_line(gang: PendingGang, by: Ordering = "oldest", at_s: float = 0.0) -> Rank:
    """What the gang goes by among others, the smaller first."""
    return rank_of(
        gang.priority,
        gang.created_s,
        str(gang.key),
        is_started=gang.is_started,
        rank=0.0 if by == "oldest" else rank(by, gang.pods, at_s),
    )


class Queue(Protocol):
    """Gangs in their order, which may depend on what became of those before."""

    def next(self) -> PendingGang | None:
        """Whose turn it is; None when all had theirs."""
        ...

    def put_back(self) -> None:
        """The last one waits until the others that were given are decided."""
        ...

    def decide(self) -> None:
        """Those that were given are decided now."""
        ...


class Listed:
    """An order that nothing changes."""

    def __init__(self, gangs: Sequence[PendingGang]) -> None:
        self._gangs = gangs
        self._at = 0

    def next(self) -> PendingGang | None:
        if self._at == len(self._gangs):
            return None
        self._at += 1
        return self._gangs[self._at - 1]

    def put_back(self) -> None:
        self._at -= 1

    def decide(self) -> None:
        """Whatever becomes of them, the order stays."""


def in_batches(run: Run, queue: Queue, settled: Mapping[GangKey, Verdict]) -> Iterator[list[PendingGang]]:
    """As ``batches``; where it matters to a quota on which model a pod goes, pods are planned one by one."""
    for batch in run.rooms.apart(batches(queue, settled, run.translation.kind)):
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
    queue: Queue,
    settled: Mapping[GangKey, Verdict],
    kind: Callable[[PendingGang], Hashable],
) -> Iterator[list[PendingGang]]:
    """Runs of neighbours that are decided together: single pods of one shape count as one role.

    kind: by which pods of one shape are told apart; None for those that are always planned alone.
    """
    while (first := queue.next()) is not None:
        batch = [first]
        own = kind(first) if first.key.is_single and first.key not in settled else None
        while own is not None and len(batch) < BATCH_MAX and (gang := queue.next()) is not None:
            if gang.key in settled or not _is_alike(first, gang) or own != kind(gang):
                queue.put_back()
                break
            batch.append(gang)
        queue.decide()
        yield batch


def _is_alike(first: PendingGang, other: PendingGang) -> bool:
    """Whether both are single pods that ask for the same. The first is one."""
    if not other.key.is_single or first.blocked or other.blocked:
        return False
    one, two = first.roles[0].shape, other.roles[0].shape
    return (one is two or one == two) and first.avoided == other.avoided

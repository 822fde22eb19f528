"""Another simulator, which shares nothing with ours: one large node, first come first served.

Strict: nobody starts before those who came earlier, but for those that can never start. Otherwise whoever
fits starts, in order of arrival (aggressive backfill, without reservations).
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence


def starts(jobs: Sequence[tuple[float, float, float]], gpus: int, *, strict: bool) -> list[float | None]:
    """When each (arrival, duration, GPUs) starts, by position; None where it never does."""
    found: list[float | None] = [None] * len(jobs)
    coming = sorted(range(len(jobs)), key=lambda job: jobs[job][0])
    queue: list[int] = []
    ends: list[tuple[float, float]] = []
    free, now, at = float(gpus), 0.0, 0
    while at < len(coming) or ends:
        now = min(
            jobs[coming[at]][0] if at < len(coming) else float("inf"), ends[0][0] if ends else float("inf")
        )
        while ends and ends[0][0] <= now:
            free += heapq.heappop(ends)[1]
        while at < len(coming) and jobs[coming[at]][0] <= now:
            queue.append(coming[at])
            at += 1
        left: list[int] = []
        for job in queue:
            _, length, size = jobs[job]
            may = not strict or all(jobs[other][2] > gpus for other in left)
            if may and size <= free:
                free -= size
                found[job] = now
                heapq.heappush(ends, (now + length, size))
            else:
                left.append(job)
        queue = left
    return found

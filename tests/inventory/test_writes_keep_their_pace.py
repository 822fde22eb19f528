"""When the agent writes: at once on a change, never faster than the gap, and evenly at rest."""

from __future__ import annotations

import itertools
import random

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.inventory.writer import EMPTY_HEARTBEAT_S, Pace
from scheduler.kube.wire.inventory import GPUNodeStatus

WELL = GPUNodeStatus(state="Ready", gpus=8)
SICK = GPUNodeStatus(state="Failed", gpus=8)


@settings(max_examples=50)
@given(
    steps=st.lists(st.tuples(st.floats(0.0, 5.0), st.booleans(), st.booleans()), min_size=5, max_size=200),
    seed=st.integers(0, 99),
)
def test_whatever_flaps_no_write_comes_within_the_gap(
    steps: list[tuple[float, bool, bool]], seed: int
) -> None:
    pace = Pace(heartbeat_s=20.0, gap_s=1.0, rng=random.Random(seed))
    now_s, writes = 1_000.0, [-1.0]
    for passed_s, is_well, succeeds in steps:
        now_s += passed_s
        status = WELL if is_well else SICK
        due_s = pace.due_s(status, now_s)
        assert due_s >= now_s
        if due_s == now_s:
            writes.append(now_s)
            if succeeds:
                pace.written(status, now_s)
            else:
                pace.failed(now_s)
    assert all(later - earlier >= 0.999 for earlier, later in itertools.pairwise(writes))


def test_five_thousand_nodes_at_rest_spread_their_heartbeats() -> None:
    rng, buckets = random.Random(4), [0] * 60
    for _ in range(5_000):
        pace, now_s = Pace(heartbeat_s=20.0, gap_s=1.0, rng=rng), 0.0
        while now_s < 600.0:
            pace.written(WELL, now_s)
            now_s = pace.due_s(WELL, now_s)
            if 540.0 <= now_s < 600.0:
                buckets[int(now_s - 540.0)] += 1
    assert sum(buckets) / 60 < 5_000 / 20 * 1.11
    assert max(buckets) < 3 * 5_000 / 20


def test_a_node_without_gpus_beats_rarely() -> None:
    pace = Pace(heartbeat_s=20.0, gap_s=1.0, rng=random.Random(0))
    empty = GPUNodeStatus(state="NoDriver", gpus=0)
    pace.written(empty, 0.0)
    assert pace.due_s(empty, 0.0) >= 0.9 * EMPTY_HEARTBEAT_S

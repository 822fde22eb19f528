"""Where more wait than one cycle looks at, namespaces have even shares, and nobody is passed over."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scheduler.gangs.view import single
from scheduler.model.gang import GangKey, PendingGang
from scheduler.queue import LOOKS_MIN, SchedulingQueue
from tests.builders import pod

sizes = st.lists(st.integers(1, 40), min_size=1, max_size=6)


def _gangs(counts: list[int], priorities: list[int]) -> list[PendingGang]:
    return [
        single(pod(f"p{i}", namespace=f"t{tenant}", priority=priorities[i % len(priorities)]))
        for tenant, count in enumerate(counts)
        for i in range(count)
    ]


@given(counts=sizes, most=st.integers(1, 30), priorities=st.lists(st.integers(0, 3), min_size=1, max_size=3))
def test_a_round_gives_everybody_one_turn(counts: list[int], most: int, priorities: list[int]) -> None:
    gangs = _gangs(counts, priorities)
    queue = SchedulingQueue(most)
    for gang in gangs:
        queue.put(gang)
    seen: Counter[GangKey] = Counter()
    for _ in range(len(gangs) * 2):
        looked_at = queue.first()
        assert len({gang.key for gang in looked_at}) == len(looked_at) <= most
        seen.update(gang.key for gang in looked_at)
        left = queue.unseen(gang.key for gang in looked_at)
        queue.had(gang.key for gang in looked_at)
        if not left:
            break
    assert seen.keys() == {gang.key for gang in gangs}
    assert left == 0


@given(counts=sizes, most=st.integers(6, 30))
def test_each_namespace_has_its_share(counts: list[int], most: int) -> None:
    queue = SchedulingQueue(most)
    for gang in _gangs(counts, [0]):
        queue.put(gang)
    shares = Counter(gang.key.namespace for gang in queue.first())
    for tenant, count in enumerate(counts):
        assert shares[f"t{tenant}"] >= min(count, most // len(counts))


@given(
    counts=sizes,
    most=st.integers(6, 30),
    acts=st.lists(st.tuples(st.sampled_from(["put", "drop", "had"]), st.integers(0, 300)), max_size=60),
)
def test_who_is_dropped_is_not_looked_at_and_who_is_put_is(
    counts: list[int], most: int, acts: list[tuple[str, int]]
) -> None:
    gangs = _gangs(counts, [0, 1])
    queue = SchedulingQueue(most)
    there: dict[GangKey, PendingGang] = {}
    for what, draw in acts:
        gang = gangs[draw % len(gangs)]
        match what:
            case "put":
                queue.put(gang)
                there[gang.key] = gang
            case "drop":
                queue.drop(gang.key)
                there.pop(gang.key, None)
            case _:
                queue.had([gang.key])
        looked_at = {each.key for each in queue.first()}
        assert looked_at <= there.keys()
        assert len(looked_at) == len(there) or len(looked_at) >= min(most, len(there)) - len(counts)
        assert len(queue) == len(there)


def test_the_most_urgent_come_first() -> None:
    queue = SchedulingQueue(6)
    for gang in _gangs([40], [0, 1, 2]):
        queue.put(gang)
    assert [gang.priority for gang in queue.first()] == [2] * 6


@given(
    counts=sizes,
    most=st.integers(130, 200),
    decided=st.lists(st.one_of(st.none(), st.integers(0, 100)), max_size=12),
)
def test_a_cycle_that_decides_few_is_followed_by_one_that_looks_at_few_and_nobody_is_passed_over(
    counts: list[int], most: int, decided: list[int | None]
) -> None:
    gangs = _gangs([count * 4 for count in counts], [0, 1])
    queue = SchedulingQueue(most)
    for gang in gangs:
        queue.put(gang)
    for number in decided:
        queue.pace(number)
        assert len(queue.first()) <= (most if number is None else max(LOOKS_MIN, 2 * number))
    seen: set[GangKey] = set()
    for _ in range(len(gangs) // len(queue.first()) * len(counts) + len(counts)):
        looked_at = [gang.key for gang in queue.first()]
        seen.update(looked_at)
        queue.had(looked_at)
    assert seen == {gang.key for gang in gangs}

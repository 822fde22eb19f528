"""Shares of several sizes, whole devices and linked sets in one gang: as many as trying everything finds."""

from __future__ import annotations

from itertools import combinations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Infeasible, Optimal
from binpacking.choice import MILLI, Ask, Devices
from binpacking.device_model import DeviceDemand, arrange
from binpacking.greedy import Packing
from binpacking.problem import Gang, Nodes, Role
from binpacking.score import PACK
from binpacking.solve import solve_gang

SEEDS = st.integers(0, 2**32 - 1)
#: One pod: what it asks, and the node and devices it is given.
Placed = tuple[Ask, int, tuple[int, ...]]


def random_devices(rng: np.random.Generator) -> Devices:
    """Few devices, some of them shared or held already, some linked, not all of one size."""
    nodes, width = int(rng.integers(1, 3)), int(rng.integers(1, 5))
    size = MILLI * rng.choice([0, 7, 24, 24, 80], (nodes, width)).astype(np.int64)
    left = rng.choice([1000, 1000, 1000, 600, 300, 0], (nodes, width)).astype(np.int64)
    room = np.where(left == MILLI, size, size // MILLI * left)
    return Devices(
        room=room,
        size=size,
        island=rng.integers(-1, 2, (nodes, width)).astype(np.int32),
        most=rng.integers(0, width + 1, (nodes,)).astype(np.int64),
    )


def random_asks(rng: np.random.Generator) -> list[Ask]:
    kinds = [
        Ask(milli=int(rng.choice([200, 333, 334, 500, 700]))),
        Ask(milli=int(rng.choice([250, 400, 600]))),
        Ask(units=int(rng.integers(1, 30))),
        Ask(whole=int(rng.integers(1, 3))),
        Ask(whole=2, linked=True),
    ]
    rng.shuffle(kinds)
    return list(dict.fromkeys(kinds[: int(rng.integers(2, 4))]))


def packed(devices: Devices, asks: list[Ask]) -> tuple[Packing, list[np.ndarray]]:
    """As a scheduler has it: devices in all, and a column for each kind that numbers do not say."""
    columns = [np.maximum(devices.most, 0)]
    requests = []
    for ask in asks:
        request = np.zeros(1 + len(asks), dtype=np.int64)
        request[0] = ask.whole
        if ask.is_share or ask.linked:
            columns.append(devices.slots(ask))
            request[len(columns) - 1] = 1
        requests.append(request)
    free = np.stack(columns, axis=1)
    wide = np.zeros((len(devices), 1 + len(asks)), dtype=np.int64)
    wide[:, : free.shape[1]] = free
    return Packing(Nodes(free=wide, total=wide), score=PACK), requests


def spots(devices: Devices, node: int, ask: Ask) -> list[tuple[int, ...]]:
    """Every set of devices that one such pod may be given, by what the words mean."""
    room, size, island = devices.room[node], devices.size[node], devices.island[node]
    if ask.is_share:
        return [
            (d,)
            for d in range(len(room))
            if size[d] and room[d] >= (ask.units * MILLI or ask.milli * (size[d] // MILLI))
        ]
    empty = [d for d in range(len(room)) if size[d] and room[d] == size[d]]
    return [
        chosen
        for chosen in combinations(empty, ask.whole)
        if not ask.linked or (len({int(island[d]) for d in chosen}) == 1 and island[chosen[0]] >= 0)
    ]


def most_pods(devices: Devices, pods: list[Ask]) -> int:
    """The most of these pods that stand together, by trying everything."""
    if not pods:
        return 0
    ask, rest = pods[0], pods[1:]
    best = most_pods(devices, rest)
    for node in range(len(devices)):
        for chosen in spots(devices, node, ask):
            fresh = sum(int(devices.room[node, d] == devices.size[node, d]) for d in chosen)
            if fresh > devices.most[node]:
                continue
            mark = devices.mark()
            devices.take(node, ask, chosen)
            best = max(best, 1 + most_pods(devices, rest))
            devices.rewind(mark)
            if best == len(pods):
                return best
    return best


@given(seed=SEEDS)
@settings(max_examples=80, deadline=None)
def test_the_model_places_as_many_as_trying_everything(seed: int) -> None:
    rng = np.random.default_rng(seed)
    devices, asks = random_devices(rng), random_asks(rng)
    packing, requests = packed(devices, asks)
    counts = [int(rng.integers(1, 3)) for _ in asks]
    roles = tuple(
        Role(name=str(i), count=count, minimum=0, request=request)
        for i, (count, request) in enumerate(zip(counts, requests, strict=True))
    )
    pods = [ask for ask, count in zip(asks, counts, strict=True) for _ in range(count)]
    best = most_pods(devices, pods)
    known = np.ones(len(devices), dtype=np.bool_)
    demand = DeviceDemand(devices=devices, asks=tuple(asks), is_known=known)
    least = int(rng.integers(1, len(pods) + 1))
    gang = Gang(name="g", roles=roles, minimum=least)
    answer = solve_gang(packing, gang, budget=5.0, seed=0, demand=demand)
    if answer.placement is None:
        assert isinstance(answer.certificate, Infeasible)
        assert answer.certificate.core
        assert best < least
        return
    assert answer.certificate == Optimal(float(best))
    held: dict[int, list[Ask]] = {}
    for ask, where in zip(asks, answer.placement, strict=True):
        for node, count in zip(where.nodes.tolist(), where.counts.tolist(), strict=True):
            held.setdefault(node, []).extend([ask] * count)
    for node, together in held.items():
        found = arrange(devices, node, together)
        assert found is not None
        for ask, chosen in zip(together, found, strict=True):
            assert chosen in spots(devices, node, ask)
            devices.take(node, ask, chosen)


@given(seed=SEEDS)
@settings(max_examples=150, deadline=None)
def test_a_node_is_arranged_exactly_where_some_way_exists(seed: int) -> None:
    rng = np.random.default_rng(seed)
    devices, asks = random_devices(rng), random_asks(rng)
    pods = [asks[int(rng.integers(len(asks)))] for _ in range(int(rng.integers(1, 6)))]
    alone = Devices(
        room=devices.room[:1].copy(),
        size=devices.size[:1],
        island=devices.island[:1],
        most=devices.most[:1].copy(),
    )
    before = alone.room.copy()
    found = arrange(alone, 0, pods)
    assert (found is not None) == (most_pods(alone, list(pods)) == len(pods))
    assert (alone.room == before).all()
    for ask, chosen in zip(pods, found or (), strict=bool(found)):
        assert chosen in spots(alone, 0, ask)
        alone.take(0, ask, chosen)


def linked_and(*others: Ask) -> tuple[Devices, list[Ask]]:
    """An island of two large devices, two small ones that are linked to nothing; and a set of two."""
    size = MILLI * np.array([[80, 80, 7, 7]], dtype=np.int64)
    devices = Devices(
        room=size.copy(),
        size=size,
        island=np.array([[0, 0, -1, -1]], dtype=np.int32),
        most=np.array([4], dtype=np.int64),
    )
    return devices, [Ask(whole=2, linked=True), *others]


def test_an_island_holds_no_set_beside_what_opens_one_of_its_devices() -> None:
    """Devices are enough, but the share fits on none of the small ones, and the set only on the island."""
    devices, asks = linked_and(Ask(units=30))
    assert arrange(devices, 0, asks) is None
    beside, both = linked_and(Ask(units=5))
    found = arrange(beside, 0, both)
    assert found is not None
    assert found[0] == (0, 1)
    packing, requests = packed(devices, asks)
    roles = tuple(
        Role(name=str(i), count=1, minimum=0, request=request) for i, request in enumerate(requests)
    )
    demand = DeviceDemand(devices=devices, asks=tuple(asks), is_known=np.ones(1, dtype=np.bool_))
    gang = Gang(name="g", roles=roles, minimum=2)
    answer = solve_gang(packing, gang, budget=5.0, seed=0, demand=demand)
    assert answer.placement is None
    assert isinstance(answer.certificate, Infeasible)


def test_on_nodes_whose_devices_are_not_known_only_whole_ones_are_counted() -> None:
    devices = Devices(
        room=np.zeros((2, 0), dtype=np.int64),
        size=np.zeros((2, 0), dtype=np.int64),
        island=np.zeros((2, 0), dtype=np.int32),
        most=np.zeros(2, dtype=np.int64),
    )
    free = np.array([[2, 9], [2, 9]], dtype=np.int64)
    roles = (
        Role(name="whole", count=4, minimum=0, request=np.array([1, 0])),
        Role(name="share", count=4, minimum=0, request=np.array([0, 1])),
    )
    asks = (Ask(whole=1), Ask(milli=500))
    demand = DeviceDemand(devices=devices, asks=asks, is_known=np.zeros(2, dtype=np.bool_))
    gang = Gang(name="g", roles=roles, minimum=1)
    packing = Packing(Nodes(free=free, total=free), score=PACK)
    answer = solve_gang(packing, gang, budget=1.0, seed=0, demand=demand)
    assert answer.placement is not None
    assert [int(where.counts.sum()) for where in answer.placement] == [4, 0]

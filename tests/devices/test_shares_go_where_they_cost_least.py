"""Shares of devices are placed by what they take of a device's worth to the others, not by best fit alone."""

from __future__ import annotations

from dataclasses import replace
from random import Random

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from binpacking.choice import Ask, Devices
from scheduler.devices.worth import share_worth
from scheduler.model.devices import DEVICES, WHOLE_GPU, DeviceAsk, Inventory, Slot
from scheduler.model.objects import Pod
from scheduler.model.plan import Policy, Prices
from scheduler.model.platforms import HOSTNAME
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import pod, shape
from tests.teams.worlds import BUDGET, START_S, cluster

GIB = 2**30
WHOLE = 1_000_000


def devices(nodes: int, worth: NDArray[np.float64] | None) -> Devices:
    """Empty ones, eight a node."""
    size = np.full((nodes, 8), WHOLE, dtype=np.int64)
    no_links, most = np.full((nodes, 8), -1, dtype=np.int32), np.full(nodes, 8, dtype=np.int64)
    return Devices(room=size.copy(), size=size, island=no_links, most=most, worth=worth)


def given_out(sizes: list[int], found: Devices) -> int:
    """Thousandths, when shares come in this order, go to the fullest of the cheapest nodes, and stay."""
    total = 0
    for milli in sizes:
        ask = Ask(milli=milli)
        price = found.price(ask)
        node = int(np.lexsort((found.room.sum(axis=1), price))[0])
        chosen = found.choose(node, ask)
        if chosen is not None:
            found.take(node, ask, chosen)
            total += milli
    return total


def test_more_is_given_out_by_prices_than_by_best_fit() -> None:
    """Sizes as often as in the published trace of which all pods share, up to all of 96 GPUs."""
    often = {810: 2436, 470: 1723, 320: 800, 650: 572, 230: 337, 460: 304, 590: 180, 160: 154, 550: 143}
    priced = plain = 0
    for seed in range(6):
        sizes = Random(seed).choices(list(often), list(often.values()), k=200)
        total = np.cumsum(sizes)
        sizes = sizes[: int((total <= 96_000).sum())]
        priced += given_out(sizes, devices(12, share_worth(often)))
        plain += given_out(sizes, devices(12, None))
    assert priced > plain


def holder(name: str, milli: int, node: str) -> Pod:
    of = replace(shape(), ask=DeviceAsk(milli=milli))
    return replace(pod(name, of=of), node_name=node, phase="Running", annotations=((DEVICES, f"{node}-gpu"),))


def crowded(first: int, second: int) -> ClusterState:
    """So many thousandths held on the only two nodes with a device to give; a tenth waits."""
    state = cluster([1] * 8, [])
    state.at(START_S)
    for number in range(8):
        slot = Slot(uuid=f"n{number}-gpu", resource=WHOLE_GPU, memory_bytes=80 * GIB, is_usable=number < 2)
        state.set_inventory(Inventory(node=f"n{number}", is_ready=True, probed_s=START_S, slots=(slot,)))
    thirds = [(f"n{number}", 300) for number in range(2, 8) for _ in range(3)]
    for index, (node, milli) in enumerate([("n0", first), ("n1", second), *thirds]):
        state.set_pod(holder(f"held{index}", milli, node))
    state.set_pod(pod("small", of=replace(shape(), ask=DeviceAsk(milli=100))))
    return state


def goes_to(state: ClusterState, *prices: Prices) -> list[str]:
    found = plan(state.snapshot(START_S), Policy(prices=prices), BUDGET)
    return [a.node for place in found.places for a in place.assignments]


def test_a_small_share_leaves_the_room_that_larger_ones_fill() -> None:
    """Of 300 and 400 thousandths free, a tenth takes what no other three tenths would miss."""
    assert goes_to(crowded(700, 600)) == ["n1"]
    assert goes_to(crowded(600, 700)) == ["n0"]


def test_what_a_share_takes_counts_before_what_its_node_costs() -> None:
    for dear, cheap in (("n0", "n1"), ("n1", "n0")):
        prices = Prices(label=HOSTNAME, values=((cheap, 1.0), (dear, 50.0)))
        assert goes_to(crowded(700, 600), prices) == ["n1"]
        assert goes_to(crowded(700, 700), prices) == [cheap]


@settings(max_examples=25)
@given(
    held=st.dictionaries(st.integers(1, 1000), st.integers(1, 2**40), max_size=60),
    room=st.lists(st.integers(0, 1000), min_size=8, max_size=8),
    asked=st.integers(1, 1000),
)
def test_whatever_tenants_ask_a_price_is_part_of_a_device(
    held: dict[int, int], room: list[int], asked: int
) -> None:
    worth = share_worth(held)
    if worth is not None:
        assert (worth[0], worth[1000]) == (0, 1)
        assert (np.diff(worth) >= -1e-9).all()
    found = devices(1, worth)
    found.room[:] = np.array([room]) * 1000
    found.most[:] = (found.room == WHOLE).sum(axis=1)
    ask = Ask(milli=asked)
    price, chosen = float(found.price(ask)[0]), found.choose(0, ask)
    assert (chosen is None) == (price == float("inf"))
    if chosen is not None:
        assert 0 <= price <= 1
        found.take(0, ask, chosen)

"""Loopback addresses under any order of taking, keeping and giving back."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.nodes.addresses import Addresses
from deploy.local.nodes.instructions import MarkRunning
from deploy.local.nodes.kubelet import Kubelets
from tests.nodes import manifests

steps = st.lists(st.one_of(st.none(), st.integers(0, 40)), max_size=60)


@given(st.lists(st.integers(1, 30), unique=True), steps)
def test_no_two_hold_the_same_address(kept: list[int], moves: list[int | None]) -> None:
    addresses = Addresses()
    held = [f"127.1.0.{number}" for number in kept]
    assert [addresses.keep(address) for address in held] == held
    for move in moves:
        if move is None:
            taken = addresses.take()
            assert taken not in held
            assert IPv4Address(taken) in IPv4Network("127.0.0.0/8")
            assert addresses.keep(taken) is None
            held.append(taken)
        elif move < len(held):
            addresses.give_back(held.pop(move))


@given(st.one_of(st.text(max_size=20), st.ip_addresses(v=4).map(str)))
def test_only_an_address_of_ours_is_kept(text: str) -> None:
    kept = Addresses().keep(text)
    assert kept is None or IPv4Address(kept) in IPv4Network("127.0.0.0/8")


def test_a_pod_gives_its_address_back_once() -> None:
    """An ended pod that goes away later must not free the address for whoever has it by then."""
    kubelets = Kubelets([manifests.node("n")], {})
    first = manifests.pod("first", "n", phase="Running", pod_ip="127.1.0.1")
    kubelets.seen(first, 0.0)
    kubelets.seen(manifests.in_phase(first, "Failed"), 1.0)
    kubelets.seen(manifests.pod("second", "n", phase="Running", pod_ip="127.1.0.1"), 2.0)
    kubelets.gone("first")
    (running,) = kubelets.seen(manifests.pod("third", "n"), 3.0)
    assert isinstance(running, MarkRunning)
    assert running.ip != "127.1.0.1"

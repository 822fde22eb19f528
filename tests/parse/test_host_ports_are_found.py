"""Which ports of a pod are taken on its node."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.selection import HostPort
from scheduler.parse.shape import parse_ports
from scheduler.predicates.host_ports import conflicts


def holding(*ports: wire.Port, restart: str | None = None) -> wire.Container:
    return wire.Container(name="c", ports=ports, restart_policy=restart)


WEB = wire.Port(container_port=80, host_port=8080)
INNER = wire.Port(container_port=9000)


def numbers(found: tuple[HostPort, ...]) -> list[int]:
    return [port.port for port in found]


def test_a_port_inside_the_pod_takes_nothing() -> None:
    assert parse_ports([holding(INNER)], [], False) == ()


def test_on_the_nodes_network_every_port_is_the_nodes() -> None:
    assert numbers(parse_ports([holding(INNER, WEB)], [], True)) == [8080, 9000]


def test_sidecars_hold_their_ports_and_init_containers_do_not() -> None:
    sidecar = holding(WEB, restart="Always")
    starter = holding(wire.Port(container_port=1, host_port=1))
    assert numbers(parse_ports([], [sidecar, starter], False)) == [8080]


def test_protocol_and_address_have_the_api_servers_defaults() -> None:
    bare = wire.Port(container_port=80, host_port=80, protocol="")
    assert parse_ports([holding(bare)], [], False) == (HostPort(protocol="TCP", host_ip="0.0.0.0", port=80),)


ports = st.lists(
    st.builds(
        HostPort,
        protocol=st.sampled_from(["TCP", "UDP"]),
        host_ip=st.sampled_from(["0.0.0.0", "10.0.0.1", "10.0.0.2"]),
        port=st.sampled_from([80, 81]),
    ),
    max_size=3,
)


@settings(max_examples=60, deadline=None)
@given(ports, ports)
def test_conflicts_are_mutual_and_a_pod_conflicts_with_its_like(
    one: list[HostPort], two: list[HostPort]
) -> None:
    assert conflicts(one, two) == conflicts(two, one)
    assert conflicts(one, one) == bool(one)


@pytest.mark.parametrize(
    ("other", "is_conflict"),
    [
        (HostPort(protocol="TCP", host_ip="10.0.0.2", port=80), False),
        (HostPort(protocol="TCP", host_ip="0.0.0.0", port=80), True),
        (HostPort(protocol="UDP", host_ip="10.0.0.1", port=80), False),
        (HostPort(protocol="TCP", host_ip="10.0.0.1", port=81), False),
    ],
)
def test_the_wildcard_address_takes_the_port_everywhere(other: HostPort, is_conflict: bool) -> None:
    mine = HostPort(protocol="TCP", host_ip="10.0.0.1", port=80)
    assert conflicts([mine], [other]) == is_conflict

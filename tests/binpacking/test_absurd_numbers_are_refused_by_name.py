"""No impossible problem is built: the message names the field, and nothing is silently wrapped or rounded."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.devices import DeviceNodes, Mix, Shape
from binpacking.greedy import Packing, place_greedy
from binpacking.problem import (
    AMOUNT_MAX,
    COUNT_MAX,
    DomainLimit,
    Gang,
    InvalidProblem,
    Nodes,
    Role,
    Skew,
    Topology,
)
from binpacking.score import PACK
from binpacking.victims import Part

ABSURD = st.one_of(st.integers(-(2**63), -1), st.integers(AMOUNT_MAX + 1, 2**63 - 1))
ROW = np.ones((1, 1), dtype=np.int64)
ZERO = np.zeros(1, dtype=np.int32)


def array(value: int) -> Any:  # one value in the shape and type that each builder wants
    return np.array([value], dtype=np.int64)


BUILDERS: dict[str, Callable[[int], object]] = {
    "nodes.total": lambda v: Nodes(free=ROW, total=array(v)[:, None]),
    "role.request": lambda v: Role(name="", count=1, minimum=0, request=array(v)),
    "role.count": lambda v: Role(name="", count=v, minimum=0, request=array(0)),
    "role.minimum": lambda v: Role(name="", count=1, minimum=v, request=array(0)),
    "limit.most": lambda v: DomainLimit(domain_of=ZERO, most=array(v)),
    "skew.have": lambda v: Skew(domain_of=ZERO, have=array(v), max_skew=1),
    "skew.max_skew": lambda v: Skew(domain_of=ZERO, have=array(0), max_skew=v),
    "victim.cost": lambda v: Part(cost=v, nodes=array(0), amounts=ROW),
    "victim.amounts": lambda v: Part(cost=0, nodes=array(0), amounts=array(v)[:, None]),
    "shape.cpu": lambda v: Shape(cpu=v, memory=0, gpus=0, milli=0),
    "shape.memory": lambda v: Shape(cpu=0, memory=v, gpus=0, milli=0),
    "shape.gpus": lambda v: Shape(cpu=0, memory=0, gpus=v, milli=1000),
    "shape.milli": lambda v: Shape(cpu=0, memory=0, gpus=1, milli=v),
    "devices.cpu": lambda v: DeviceNodes(cpu=array(v), memory=array(0), gpus=array(1), model=ZERO),
    "devices.gpus": lambda v: DeviceNodes(cpu=array(0), memory=array(0), gpus=array(v), model=ZERO),
}


@pytest.mark.parametrize("field", sorted(BUILDERS))
@given(value=ABSURD)
@settings(max_examples=30, deadline=None)
def test_a_value_beyond_all_bounds_is_refused_with_its_field(field: str, value: int) -> None:
    with pytest.raises(InvalidProblem, match=field.replace(".", r"\.")):
        BUILDERS[field](value)


@pytest.mark.parametrize("kind", [np.float64, np.int32, np.uint64, np.object_])
def test_amounts_of_another_type_are_refused_so_no_nan_can_come_in(kind: type) -> None:
    with pytest.raises(InvalidProblem, match=r"nodes\.free must be int64"):
        Nodes(free=np.ones((1, 1), dtype=kind), total=ROW)


def test_amounts_whose_sum_could_overflow_are_refused() -> None:
    many = np.full((1024, 1), AMOUNT_MAX, dtype=np.int64)
    with pytest.raises(InvalidProblem, match=r"nodes\.(free|total) sums to more"):
        Nodes(free=many, total=many)


def test_a_mix_with_a_weight_that_is_no_number_is_refused() -> None:
    shape = Shape(cpu=0, memory=0, gpus=0, milli=0)
    for weight in (float("nan"), float("inf"), -1.0):
        with pytest.raises(InvalidProblem, match=r"mix\.weights"):
            Mix(shapes=(shape,), weights=(weight,))


def test_a_gang_beyond_the_count_or_without_roles_is_refused() -> None:
    role = Role(name="", count=COUNT_MAX, minimum=0, request=array(0))
    with pytest.raises(InvalidProblem, match=r"gang\.roles"):
        Gang(name="", roles=(role, role), minimum=0)
    with pytest.raises(InvalidProblem, match=r"gang\.roles"):
        Gang(name="", roles=(), minimum=0)


@pytest.mark.parametrize(
    ("gang", "field"),
    [
        ({"request": np.zeros(2, dtype=np.int64)}, "role.request"),
        ({"allowed": np.ones(2, dtype=np.bool_)}, "role.allowed"),
        ({"limits": (DomainLimit(domain_of=np.zeros(2, dtype=np.int32), most=array(1)),)}, "domain_of"),
        ({"topology": (Topology(level=1, is_required=True),)}, "topology.level"),
    ],
)
def test_a_gang_that_speaks_of_other_nodes_is_refused(gang: dict[str, Any], field: str) -> None:
    rules = {key: value for key, value in gang.items() if key != "topology"}
    role = Role(**{"name": "", "count": 1, "minimum": 0, "request": array(0), **rules})
    packing = Packing(Nodes(free=ROW, total=ROW, domains=(ZERO,)), score=PACK)
    with pytest.raises(InvalidProblem, match=field):
        place_greedy(packing, Gang(name="", roles=(role,), minimum=0, topology=gang.get("topology", ())))

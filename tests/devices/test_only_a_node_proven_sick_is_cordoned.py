"""Repeated outages and cordons: the decision alone, for any record, clock and labels."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from scheduler.devices.cordon import CORDONED, FORGIVEN, CordonStep, cordon_steps
from scheduler.inventory.times import written
from scheduler.kube.wire.base import Metadata
from scheduler.kube.wire.inventory import GPUDevice, GPUNode, GPUNodeStatus, GPUSign
from scheduler.model.devices import PROBE_AGE_S_MAX, WHOLE_GPU, CordonPolicy, Inventory, Slot
from scheduler.model.objects import Node
from scheduler.parse.devices import parse_inventory
from tests.builders import node as built

NOW_S = 1_000_000.0
HOUR_S = 3600.0
POLICY = CordonPolicy(offences=3, window_s=24 * HOUR_S, lift_s=2 * HOUR_S, nodes_max_percent=100)
AGES_S = st.lists(st.floats(-100, 30 * HOUR_S), max_size=6)


def _node(name: str = "n", *, is_unschedulable: bool = False, **stamps: float | str) -> Node:
    keys = {"cordoned": CORDONED, "forgiven": FORGIVEN}
    labels = {
        keys[key]: stamp if isinstance(stamp, str) else str(int(stamp)) for key, stamp in stamps.items()
    }
    return built(name, labels=labels, is_unschedulable=is_unschedulable)


def _inventory(
    name: str = "n",
    *ages_s: float,
    is_sick: bool = True,
    is_ready: bool = True,
    probe_age_s: float = 1.0,
) -> Inventory:
    fatal_s = NOW_S - 60 if is_sick else None
    sick = Slot(uuid="a", resource=WHOLE_GPU, memory_bytes=1, is_usable=not is_sick, fatal_s=fatal_s)
    return Inventory(
        node=name,
        is_ready=is_ready,
        probed_s=NOW_S - probe_age_s,
        slots=(sick, Slot(uuid="b", resource=WHOLE_GPU, memory_bytes=1, is_usable=True)),
        offences_s=tuple(NOW_S - age_s for age_s in ages_s),
    )


def _steps(node: Node, inventory: Inventory | None, policy: CordonPolicy = POLICY) -> list[CordonStep]:
    return cordon_steps([node], {} if inventory is None else {node.name: inventory}, policy, NOW_S)


def _moves(node: Node, inventory: Inventory | None, policy: CordonPolicy = POLICY) -> list[str]:
    return [step.move for step in _steps(node, inventory, policy)]


@given(
    ages_s=AGES_S,
    is_sick=st.booleans(),
    is_ready=st.booleans(),
    probe_age_s=st.floats(-60, 60),
    forgiven_age_s=st.none() | st.integers(0, 40 * 3600),
    is_unschedulable=st.booleans(),
    offences=st.integers(2, 5),
)
def test_a_cordon_needs_every_proof(
    ages_s: list[float],
    is_sick: bool,
    is_ready: bool,
    probe_age_s: float,
    forgiven_age_s: int | None,
    is_unschedulable: bool,
    offences: int,
) -> None:
    inventory = _inventory("n", *ages_s, is_sick=is_sick, is_ready=is_ready, probe_age_s=probe_age_s)
    node = _node(is_unschedulable=is_unschedulable)
    if forgiven_age_s is not None:
        node = _node(is_unschedulable=is_unschedulable, forgiven=NOW_S - forgiven_age_s)
    horizon_s = 24 * HOUR_S if forgiven_age_s is None else min(24 * HOUR_S, forgiven_age_s)
    counted = sum(-30 <= age_s < horizon_s for age_s in ages_s)
    is_proven = (
        is_sick and is_ready and abs(probe_age_s) <= PROBE_AGE_S_MAX and counted >= offences
    ) and not is_unschedulable
    assert _moves(node, inventory, replace(POLICY, offences=offences)) == ["cordon"] * is_proven


def test_without_a_report_nothing_is_known() -> None:
    assert _moves(_node(), None) == []
    assert _moves(_node(is_unschedulable=True, cordoned=NOW_S - 9 * HOUR_S), None) == []


def test_who_uncordons_a_node_forgives_what_was() -> None:
    node, sick = _node(cordoned=NOW_S - 600), _inventory("n", 300, 200, 100)
    assert _moves(node, sick) == ["forgive"]
    forgiven = _node(forgiven=NOW_S)
    assert _moves(forgiven, sick) == []
    assert _moves(forgiven, replace(sick, offences_s=tuple(NOW_S + at_s for at_s in (1, 2)))) == []
    assert _moves(forgiven, replace(sick, offences_s=tuple(NOW_S + at_s for at_s in (1, 2, 3)))) == ["cordon"]


@given(
    ages_s=st.lists(st.floats(0, 30 * HOUR_S), max_size=4),
    cordoned_age_s=st.integers(0, 40 * 3600),
    is_sick=st.booleans(),
    probe_age_s=st.floats(-60, 60),
    lift_s=st.sampled_from([0.0, HOUR_S, 5 * HOUR_S]),
)
def test_a_cordon_of_ours_is_lifted_after_a_clean_period_and_only_then(
    ages_s: list[float], cordoned_age_s: int, is_sick: bool, probe_age_s: float, lift_s: float
) -> None:
    node = _node(is_unschedulable=True, cordoned=NOW_S - cordoned_age_s)
    inventory = _inventory("n", *ages_s, is_sick=is_sick, probe_age_s=probe_age_s)
    is_clean = (
        lift_s > 0
        and not is_sick
        and abs(probe_age_s) <= PROBE_AGE_S_MAX
        and min((cordoned_age_s, *ages_s)) >= lift_s
    )
    assert _moves(node, inventory, replace(POLICY, lift_s=lift_s)) == ["lift"] * is_clean


def test_an_admins_own_cordon_is_never_touched() -> None:
    well = _inventory("n", is_sick=False)
    for node in (
        _node(is_unschedulable=True),
        _node(is_unschedulable=True, forgiven=5),
        _node(is_unschedulable=True, cordoned="maintenance"),
        _node(is_unschedulable=True, cordoned="9" * 40),
    ):
        assert _moves(node, well) == []


@given(count=st.integers(0, 30), already=st.integers(0, 5), percent=st.integers(1, 100))
def test_one_cause_on_many_nodes_cordons_few_of_them(count: int, already: int, percent: int) -> None:
    """The worst first, and never more at a time than the policy allows, whatever else is cordoned."""
    names = [f"n{i:02}" for i in range(count)]
    nodes = [_node(name) for name in names]
    nodes += [_node(f"old{i}", is_unschedulable=True, cordoned=NOW_S) for i in range(already)]
    found = {name: _inventory(name, *range(60, 360 + i)[:: 60 + i]) for i, name in enumerate(names)}
    found |= {f"old{i}": _inventory(f"old{i}", 5) for i in range(already)}
    steps = cordon_steps(nodes, found, replace(POLICY, nodes_max_percent=percent), NOW_S)
    allowed = max(1, (count + already) * percent // 100) - already
    proven = {name for name in names if len(found[name].offences_s) >= 3}
    chosen = [len(found[step.node.name].offences_s) for step in steps]
    assert {step.node.name for step in steps} <= proven
    assert len(steps) == max(0, min(allowed, len(proven)))
    assert chosen == sorted((len(found[name].offences_s) for name in proven), reverse=True)[: len(steps)]


def _sign(kind: str, age_s: float, mended_age_s: float | None = None) -> GPUSign:
    at, mended = written(NOW_S - age_s), None if mended_age_s is None else written(NOW_S - mended_age_s)
    assert at is not None
    return GPUSign(kind=kind, first=at, last=at, mended=mended)


def _offences(*signs: GPUSign) -> tuple[float, ...]:
    device = GPUDevice(uuid="a", state="Fatal", signs=signs)
    status = GPUNodeStatus(state="Ready", last_probe=written(NOW_S), devices=(device,))
    found = parse_inventory(GPUNode(metadata=Metadata(name="n"), status=status))
    assert isinstance(found, Inventory)
    return found.offences_s


def test_an_outage_counts_once_whatever_signs_it_shows() -> None:
    first = (_sign("xid-48", 9000, 8900), _sign("xid-95", 8950, 8900), _sign("remap-pending", 8990))
    assert _offences(*first) == (NOW_S - 9000,)
    assert _offences(*first, _sign("xid-79", 100), _sign("lost", 99)) == (NOW_S - 9000, NOW_S - 100)


def test_errors_of_applications_and_what_tools_disagree_about_prove_nothing() -> None:
    assert _offences(_sign("xid-31", 9000), _sign("xid-109", 5000), _sign("xid-9999", 100)) == ()

"""Quantities, request arithmetic and the refusal, against slower definitions of the same."""

from __future__ import annotations

import math
from contextlib import suppress
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deploy.local.nodes.admission import BadQuantity, Ledger, amount, denial, pod_requests
from deploy.local.nodes.wire import Container, Metadata, NodePod, Resources, Spec
from tests.nodes import manifests

SCALE: dict[str, Fraction | int] = {
    "": 1,
    "m": Fraction(1, 1000),
    "u": Fraction(1, 10**6),
    "n": Fraction(1, 10**9),
}
SCALE |= {letter: 1000**power for power, letter in enumerate("kMGTPE", 1)}
SCALE |= {f"{letter}i": 1024**power for power, letter in enumerate("KMGTPE", 1)}
SCALE |= {f"{e}{power}": Fraction(10) ** power for e in "eE" for power in (-9, -3, 0, 3, 9)}

resource = st.sampled_from(["cpu", "memory", "nvidia.com/gpu", "example.com/widget"])


@given(st.integers(0, 10**12), st.integers(0, 10**9), st.sampled_from(sorted(SCALE)), resource)
def test_quantity_is_the_exact_value_rounded_up(whole: int, tail: int, suffix: str, name: str) -> None:
    digits = f"{tail:09d}"
    exact = (
        (whole + Fraction(int(digits), 10 ** len(digits))) * SCALE[suffix] * (1000 if name == "cpu" else 1)
    )
    assert amount(f"{whole}.{digits}{suffix}", name) == math.ceil(exact)


@given(st.integers(0, 2**63), resource)
def test_json_numbers_count_like_their_text(value: int, name: str) -> None:
    assert amount(value, name) == amount(str(value), name)


@given(
    st.one_of(st.text(max_size=80), st.from_regex(r"[0-9.eE+\-kMGiInfnaN_ ]{0,80}"), st.floats()), resource
)
def test_anything_else_is_a_bad_quantity_and_never_a_huge_number(text: str | float, name: str) -> None:
    with suppress(BadQuantity):
        assert abs(amount(text, name)) < 10**41


@pytest.mark.parametrize(
    "text",
    ["1e9999", "1e999", "9" * 60, "1K", "1 Gi", "0x10", "1_000", "１", "", "+", ".", "NaN", "Infinity"],
)
def test_absurd_quantities_are_refused(text: str) -> None:
    with pytest.raises(BadQuantity):
        amount(text, "memory")


containers = st.lists(manifests.requests, max_size=4)


@given(containers, st.lists(st.tuples(st.booleans(), manifests.requests), max_size=4), manifests.requests)
def test_a_pod_asks_for_the_most_it_holds_at_any_time(
    main: list[dict[str, str | int | float]],
    init: list[tuple[bool, dict[str, str | int | float]]],
    overhead: dict[str, str | int | float],
) -> None:
    pod = NodePod(
        metadata=Metadata(name="p", uid="p"),
        spec=Spec(
            node_name="n",
            containers=tuple(
                Container(name=f"c{i}", resources=Resources(requests=r)) for i, r in enumerate(main)
            ),
            init_containers=tuple(
                Container(
                    name=f"i{i}", resources=Resources(requests=r), restart_policy="Always" if stays else ""
                )
                for i, (stays, r) in enumerate(init)
            ),
            overhead=overhead,
        ),
    )
    assert pod_requests(pod) == _peak(main, init, overhead)


def _peak(
    main: list[dict[str, str | int | float]],
    init: list[tuple[bool, dict[str, str | int | float]]],
    overhead: dict[str, str | int | float],
) -> dict[str, int]:
    """Play the pod's life moment by moment and keep the highest water mark of each resource."""
    peak = {"pods": 1}
    for name in ("cpu", "memory", manifests.GPU):
        staying, marks = 0, [0]
        for stays, asked in init:
            size = amount(asked.get(name, 0), name)
            marks.append(staying + size)
            staying += size if stays else 0
        marks.append(staying + sum(amount(asked.get(name, 0), name) for asked in main))
        highest = max(marks) + amount(overhead.get(name, 0), name)
        if highest:
            peak[name] = highest
    return peak


def test_pod_level_requests_replace_the_sum_of_their_resource() -> None:
    inner = Container(name="c", resources=Resources(requests={"cpu": "4", "memory": "1Gi"}))
    spec = Spec(containers=(inner,), resources=Resources(requests={"cpu": "1500m"}), overhead={"cpu": "100m"})
    assert pod_requests(NodePod(metadata=Metadata(name="p"), spec=spec)) == {
        "cpu": 1600,
        "memory": 1 << 30,
        "pods": 1,
    }


amounts = st.dictionaries(
    st.sampled_from(["pods", "cpu", "memory", manifests.GPU, "example.com/x"]), st.integers(0, 9)
)


@given(amounts, amounts, amounts)
def test_denied_names_a_resource_that_is_short_and_nothing_short_is_admitted(
    allocatable: dict[str, int], used: dict[str, int], asked: dict[str, int]
) -> None:
    short = {r for r, n in asked.items() if n > 0 and n + used.get(r, 0) > allocatable.get(r, 0)}
    denied = denial(allocatable, used, asked)
    assert (denied is not None) == bool(short)
    if denied is not None:
        name = denied.reason.removeprefix("OutOf")
        assert name in short
        assert name == min(short, key=lambda r: (r not in ("pods", "cpu", "memory"), r != "pods", r))
        amounts = f"requested: {asked[name]}, used: {used.get(name, 0)}, capacity: {allocatable.get(name, 0)}"
        assert denied.message.endswith(f"{name}, {amounts}")


@given(amounts, st.lists(st.tuples(st.sampled_from("abcd"), st.booleans(), amounts), max_size=30))
def test_ledger_holds_what_it_admitted_and_never_more_than_there_is(
    allocatable: dict[str, int], steps: list[tuple[str, bool, dict[str, int]]]
) -> None:
    ledger, held = Ledger(allocatable), dict[str, dict[str, int]]()
    for uid, comes, asked in steps:
        if comes and uid not in held:
            if ledger.admit(uid, asked) is None:
                held[uid] = asked
        elif comes:
            assert ledger.admit(uid, asked) is None
        else:
            ledger.release(uid)
            held.pop(uid, None)
        total = {r: sum(a.get(r, 0) for a in held.values()) for r in ledger.used}
        assert ledger.used == total
        assert all(n == 0 or n <= allocatable.get(r, 0) for r, n in total.items())
        assert len(ledger) == len(held)

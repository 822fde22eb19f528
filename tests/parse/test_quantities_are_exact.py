"""Quantities against exact fractions, and against every odd text."""

from __future__ import annotations

from fractions import Fraction
from math import ceil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.model.objects import Rejected
from scheduler.parse.quantity import AMOUNT_MAX, Scale, parse_quantity

FACTORS = {
    "": Fraction(1),
    **{s: Fraction(10) ** e for s, e in zip("num", (-9, -6, -3), strict=True)},
    **{s: Fraction(10) ** e for s, e in zip("kMGTPE", range(3, 21, 3), strict=True)},
    **{f"{s}i": Fraction(2) ** e for s, e in zip("KMGTPE", range(10, 70, 10), strict=True)},
    **{f"{c}{e}": Fraction(10) ** e for c in "eE" for e in range(-12, 13)},
    "e+3": Fraction(1000),
}
SCALES: dict[Scale, int] = {"milli": 1000, "unit": 1}
NANO = Fraction(1, 10**9)
numbers = st.tuples(st.text("0123456789", min_size=1, max_size=12), st.text("0123456789", max_size=9))


@given(st.sampled_from(["", "+"]), numbers, st.sampled_from(sorted(FACTORS)), st.sampled_from(sorted(SCALES)))
@settings(max_examples=150, deadline=None)
def test_amounts_are_the_exact_value_rounded_up(
    sign: str, parts: tuple[str, str], suffix: str, scale: Scale
) -> None:
    whole, fraction = parts
    number = f"{whole}.{fraction}" if fraction else whole
    exact = Fraction(number) * FACTORS[suffix]
    rounded = ceil(ceil(exact / NANO) * NANO * SCALES[scale])
    found = parse_quantity(sign + number + suffix, scale=scale)
    if rounded > AMOUNT_MAX:
        assert isinstance(found, Rejected)
        assert "ask for less" in found.reason
    else:
        assert found == rounded


@given(numbers, st.sampled_from(sorted(FACTORS)))
@settings(max_examples=100, deadline=None)
def test_whole_takes_exactly_what_is_whole(parts: tuple[str, str], suffix: str) -> None:
    number = f"{parts[0]}.{parts[1]}" if parts[1] else parts[0]
    exact = ceil(Fraction(number) * FACTORS[suffix] / NANO) * NANO
    found = parse_quantity(number + suffix, scale="whole")
    assert isinstance(found, Rejected) == (exact.denominator != 1 or exact > AMOUNT_MAX)


@given(
    st.one_of(st.text(max_size=80), st.integers(), st.floats(), st.from_regex(r"[-+0-9.eEinumkKMGTP]{0,70}"))
)
@settings(max_examples=200, deadline=None)
def test_anything_gives_a_bounded_amount_or_a_printable_reason(value: str | int | float) -> None:
    for scale in ("milli", "unit", "whole"):
        found = parse_quantity(value, scale=scale)
        if isinstance(found, Rejected):
            assert len(found.reason) <= 512
            assert found.reason.isprintable()
            assert found.reason.isascii()
        else:
            assert 0 <= found <= AMOUNT_MAX


@pytest.mark.parametrize(
    "text",
    [
        "",
        ".",
        "m",
        "-",
        "1 ",
        " 1",
        "1_0",
        "0x1",
        "\u0661",
        "1K",
        "1kk",
        "1e",
        "NaN",
        "inf",
        "1.5.5",
        "9" * 5000,
    ],
)
def test_what_is_no_quantity_is_refused(text: str) -> None:
    found = parse_quantity(text, scale="unit")
    assert isinstance(found, Rejected)
    assert "is not a quantity" in found.reason


@pytest.mark.parametrize("value", ["-1", "-0.5Gi", -1, -0.5, "-1e-30"])
def test_negative_amounts_are_refused(value: str | float) -> None:
    found = parse_quantity(value, scale="milli")
    assert isinstance(found, Rejected)
    assert "negative" in found.reason


@pytest.mark.parametrize(
    ("text", "milli"), [("1e-9", 1), ("0.1m", 1), ("1e-400", 1), ("0e999", 0), ("1.0005", 1001)]
)
def test_a_trace_of_cpu_is_a_thousandth(text: str, milli: int) -> None:
    assert parse_quantity(text, scale="milli") == milli


@pytest.mark.parametrize(("text", "amount"), [("1.5Gi", 3 * 2**29), ("0.5Ki", 512), ("0.0001Ki", 1)])
def test_a_fraction_of_a_binary_unit_is_exact(text: str, amount: int) -> None:
    assert parse_quantity(text, scale="unit") == amount


def test_numbers_are_read_like_their_texts() -> None:
    assert parse_quantity(2, scale="milli") == 2000
    assert parse_quantity(0.25, scale="milli") == 250
    assert parse_quantity(1e3, scale="unit") == 1000

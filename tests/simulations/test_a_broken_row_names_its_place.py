"""Whoever wrote a trace learns file, line, column and what was expected; nothing else is ever raised."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simulations.loads.files import BadTrace
from simulations.loads.formats import read

GOOD = {"name": "a", "submit_s": "0", "duration_s": "10", "gpus": "8", "pods": "2", "team": "red"}
BAD = [
    ("submit_s", "soon", "seconds between 0"),
    ("submit_s", "-1", "seconds between 0"),
    ("submit_s", "", "seconds between 0"),
    ("duration_s", "nan", "seconds between 0"),
    ("duration_s", "inf", "seconds between 0"),
    ("duration_s", "1e99", "seconds between 0"),
    ("gpus", "1.5", "a whole number from 0 to 64"),
    ("gpus", "65", "a whole number from 0 to 64"),
    ("pods", "0", "a whole number from 1 to 10,000"),
    ("pods", "10001", "a whole number from 1 to 10,000"),
    ("team", "no spaces", "a namespace"),
    ("team", "-", "a namespace"),
]


def _write(path: Path, rows: list[dict[str, str]]) -> Path:
    lines = [",".join(GOOD), *(",".join(row.values()) for row in rows)]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize(("column", "value", "expected"), BAD)
def test_the_message_names_file_line_column_and_what_was_expected(
    tmp_path: Path, column: str, value: str, expected: str
) -> None:
    path = _write(tmp_path / "t.csv", [GOOD, {**GOOD, "name": "b"} | {column: value}])
    with pytest.raises(BadTrace) as caught:
        read(path)
    assert str(caught.value).startswith(f"{path}:3: column {column}: expected {expected}")


def _fault(path: Path) -> str:
    """What is wrong with the file, or nothing where it is read."""
    try:
        found = read(path)
    except BadTrace as error:
        return str(error)
    return "" if all(job.submit_s >= 0 and job.duration_s >= 0 for job in found.jobs) else "negative"


def test_a_row_of_another_length_and_a_name_used_twice(tmp_path: Path) -> None:
    path = _write(tmp_path / "t.csv", [GOOD, {**GOOD, "team": "red,extra"}])
    with pytest.raises(BadTrace, match=r":3: column team: expected 6 cells in the row, found 7"):
        read(path)
    path = _write(tmp_path / "u.csv", [GOOD, GOOD])
    with pytest.raises(BadTrace, match=r":3: column name: expected a name of its own, found 'a' again"):
        read(path)


def test_a_header_nobody_knows(tmp_path: Path) -> None:
    path = tmp_path / "t.csv"
    path.write_text("when,what\n1,2\n")
    with pytest.raises(
        BadTrace, match=r":1: no known format has the columns found, when, what; the nearest is "
    ):
        read(path)


@pytest.mark.parametrize("name", ["t.csv", "t.csv.gz", "t.swf", "t.swf.gz"])
@settings(deadline=None)
@given(data=st.binary(max_size=200))
def test_no_bytes_raise_anything_else(
    tmp_path_factory: pytest.TempPathFactory, name: str, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / name
    path.write_bytes(gzip.compress(data) if len(data) % 2 and name.endswith("gz") else data)
    fault = _fault(path)
    assert not fault or fault.startswith(str(path))


@settings(deadline=None)
@given(
    cells=st.lists(
        st.sampled_from(["", "1", "-1", "x", "1e400", "8.0", "\x00", "é", "9" * 400]), min_size=6, max_size=6
    )
)
def test_no_cells_raise_anything_else(tmp_path_factory: pytest.TempPathFactory, cells: list[str]) -> None:
    path = tmp_path_factory.mktemp("cells") / "t.csv"
    path.write_text(",".join(GOOD) + "\n" + ",".join(cells) + "\n")
    fault = _fault(path)
    assert not fault or fault.startswith(f"{path}:2")

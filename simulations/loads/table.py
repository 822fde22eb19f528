"""Rows of a CSV file with typed cells; whatever is wrong names file, line, column and what was expected."""

from __future__ import annotations

import csv
import gzip
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from simulations.workload import GPUS_MAX, JOBS_MAX, PODS_MAX, SECONDS_MAX

FILE_BYTES_MAX = 1 << 30
_SHOWN_MAX = 40


class BadTrace(ValueError):
    """A trace that cannot be read; the message is for whoever wrote it."""


class Row:
    """One line of the file. Getters raise BadTrace; with a default, an absent or empty cell is that."""

    __slots__ = ("_cells", "line", "path")

    def __init__(self, path: Path, line: int, cells: Mapping[str, str]) -> None:
        self.path = path
        self.line = line
        self._cells = cells

    def fault(self, column: str, expected: str) -> BadTrace:
        """What to raise for a cell."""
        text = self._cells.get(column, "")
        shown = ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")
        return BadTrace(f"{self.path}:{self.line}: column {column}: expected {expected}, found {shown}")

    def text(self, column: str, default: str | None = None) -> str:
        value = self._cells.get(column, "")
        if value:
            return value
        if default is None:
            raise self.fault(column, "a value")
        return default

    def seconds(self, column: str, default: float | None = None, *, unit_s: float = 1.0) -> float:
        """Finite and not negative; ``unit_s`` is what one unit of the file means in seconds."""
        value = self._cells.get(column, "")
        if not value and default is not None:
            return default
        try:
            found = float(value) * unit_s
        except ValueError:
            found = math.nan
        if not 0.0 <= found <= SECONDS_MAX:
            what = "seconds" if unit_s == 1.0 else f"a time in units of {unit_s:g} s"
            raise self.fault(column, f"{what} between 0 and {SECONDS_MAX:,.0f}")
        return found

    def optional_seconds(self, column: str) -> float | None:
        return self.seconds(column) if self._cells.get(column, "") else None

    def positive(self, column: str) -> float:
        try:
            found = float(self._cells.get(column, ""))
        except ValueError:
            found = math.nan
        if not 0.0 < found < math.inf:
            raise self.fault(column, "a number above 0")
        return found

    def whole(self, column: str, default: int | None = None, *, least: int = 0, most: int) -> int:
        """A whole number within bounds; ``8.0`` is whole, ``8.5`` is not."""
        value = self._cells.get(column, "")
        if not value and default is not None:
            return default
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not (least <= found <= most and found == int(found)):
            raise self.fault(column, f"a whole number from {least:,} to {most:,}")
        return int(found)

    def pods(self, column: str, default: int | None = None) -> int:
        return self.whole(column, default, least=1, most=PODS_MAX)

    def gpus(self, column: str, default: int | None = None) -> int:
        return self.whole(column, default, most=GPUS_MAX)


def open_text(path: Path) -> io.TextIOBase:
    """The file as text, unpacked where it ends in ``.gz``. Raises: BadTrace."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadTrace(f"{path}: larger than {FILE_BYTES_MAX:,} bytes; is this the right file?")
        if path.suffix == ".gz":
            return io.TextIOWrapper(gzip.open(path), encoding="utf-8-sig", newline="")
        return path.open(encoding="utf-8-sig", newline="")
    except OSError as error:
        raise BadTrace(f"{path}: {error.strerror}; give a readable file") from error


def header(path: Path) -> tuple[str, ...]:
    """The column names of a CSV file. Raises: BadTrace."""
    with open_text(path) as file:
        try:
            first = next(csv.reader(file), [])
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise BadTrace(f"{path}:1: expected CSV text: {error}") from error
    return tuple(name.strip() for name in first)


def rows(path: Path, *, needs: Sequence[str] = ()) -> Iterator[Row]:
    """Every row below the header; blank lines are passed over. Raises: BadTrace."""
    columns = header(path)
    for name in needs:
        if name not in columns:
            raise BadTrace(
                f"{path}:1: column {name}: expected in the header, found {', '.join(columns)[:200]}"
            )
    twice = {name for name in columns if columns.count(name) > 1}
    if twice:
        raise BadTrace(f"{path}:1: column {sorted(twice)[0]}: expected once in the header, found twice")
    with open_text(path) as file:
        reader = csv.reader(file, strict=True)
        try:
            next(reader, None)
            for count, cells in enumerate(reader):
                if count >= JOBS_MAX:
                    raise BadTrace(
                        f"{path}:{reader.line_num}: expected at most {JOBS_MAX:,} rows, found more"
                    )
                if cells:
                    yield _row(path, reader.line_num, columns, cells)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise BadTrace(f"{path}:{reader.line_num + 1}: expected CSV text: {error}") from error


def _row(path: Path, line: int, columns: tuple[str, ...], cells: list[str]) -> Row:
    if len(cells) != len(columns):
        missing = columns[len(cells)] if len(cells) < len(columns) else columns[-1] if columns else "1"
        raise BadTrace(
            f"{path}:{line}: column {missing}: expected {len(columns)} cells in the row, found {len(cells)}"
        )
    return Row(path, line, {name: cell.strip() for name, cell in zip(columns, cells, strict=True)})

"""Rows of a table with typed cells; whatever is wrong names file, line, column and what was expected."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from simulations.loads.files import PARQUET, BadTrace, magic, open_text
from simulations.workload import GPUS_MAX, JOBS_MAX, PODS_MAX, SECONDS_MAX

GPUS_TOTAL_MAX = PODS_MAX * GPUS_MAX
_SHOWN_MAX = 40
_HEADER_CHARS_MAX = 1 << 16
#: What logs write where there is no time.
_NO_TIME = frozenset({"", "None", "Unknown", "N/A", "null", "nan", "NaT"})


class BadRow(BadTrace):
    """One row that cannot be read; the rows below it can."""

    def __init__(self, message: str, *, line: int) -> None:
        super().__init__(message)
        self.line = line


class Row:
    """One line of the file. Getters raise BadRow; with a default, an absent or empty cell is that."""

    __slots__ = ("_cells", "line", "path")

    def __init__(self, path: Path, line: int, cells: Mapping[str, str]) -> None:
        self.path = path
        self.line = line
        self._cells = cells

    def fault(self, column: str, expected: str) -> BadRow:
        """What to raise for a cell."""
        shown = _shown(self._cells.get(column, ""))
        return BadRow(
            f"{self.path}:{self.line}: column {column}: expected {expected}, found {shown}", line=self.line
        )

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
        return None if self._cells.get(column, "") in _NO_TIME else self.seconds(column)

    def optional_date(self, column: str) -> float | None:
        """Seconds since 1970 of a date and time; one without a zone is taken for UTC. None where none is."""
        value = self._cells.get(column, "")
        if value in _NO_TIME:
            return None
        found = seconds_of(value)
        if found is None:
            raise self.fault(column, "a date and time such as 2026-01-31 13:45:00")
        return found

    def date(self, column: str) -> float:
        found = self.optional_date(column)
        if found is None:
            raise self.fault(column, "a date and time such as 2026-01-31 13:45:00")
        return found

    def positive(self, column: str) -> float:
        try:
            found = float(self._cells.get(column, ""))
        except ValueError:
            found = math.nan
        if not 0.0 < found < math.inf:
            raise self.fault(column, "a number above 0")
        return found

    def amount(self, column: str, *, most: float) -> float:
        """A number from 0 to ``most``; an empty cell is 0."""
        try:
            found = float(self._cells.get(column, "") or 0.0)
        except ValueError:
            found = math.nan
        if not 0.0 <= found <= most:
            raise self.fault(column, f"a number from 0 to {most:,.0f}")
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


def seconds_of(text: str) -> float | None:
    """Seconds since 1970 of an ISO date and time, without a zone in UTC; None of another text."""
    try:
        at = datetime.fromisoformat(text)
        found = (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return None
    return found if 0.0 <= found <= SECONDS_MAX else None


def header(path: Path) -> tuple[str, ...]:
    """The first row of a table. Raises: BadTrace."""
    for _, cells in _lines(path):
        return tuple(name.strip() for name in cells)
    return ()


def rows(path: Path, *, needs: Sequence[str] = ()) -> Iterator[Row]:
    """Every row of a table that must be right. Raises: BadTrace."""
    for found in records(path, needs=needs):
        if isinstance(found, BadRow):
            raise found
        yield found


def records(path: Path, *, needs: Sequence[str] = (), columns: Sequence[str] = ()) -> Iterator[Row | BadRow]:
    """Every row below the header, or what is wrong with it; blank lines are passed over.

    columns: those of a file without a header. Raises: BadTrace where the file as a whole cannot be read.
    """
    names = tuple(columns) or header(path)
    for name in needs:
        if name not in names:
            raise BadTrace(f"{path}:1: column {name}: expected in the header, found {listed(names)}")
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise BadTrace(f"{path}:1: column {sorted(twice)[0]}: expected once in the header, found twice")
    for count, (line, cells) in enumerate(_lines(path)):
        if count == 0 and not columns:
            continue
        if count > JOBS_MAX:
            raise BadTrace(f"{path}:{line}: expected at most {JOBS_MAX:,} rows, found more")
        if cells:
            yield _row(path, line, names, cells)


def listed(names: Sequence[str]) -> str:
    """Columns as a message shows them."""
    return ascii(", ".join(names))[1:-1][:200] or "nothing"


def _shown(text: str) -> str:
    return ascii(text if len(text) <= _SHOWN_MAX else text[:_SHOWN_MAX] + "...")


def _lines(path: Path) -> Iterator[tuple[int, list[str]]]:
    """Line number and cells, the header among them: of Parquet, or of text cut at ``,``, ``|`` or tabs."""
    if magic(path).startswith(PARQUET):
        yield from _parquet(path)
        return
    with open_text(path) as file:
        first = file.readline(_HEADER_CHARS_MAX)
        if "\x00" in first:
            raise BadTrace(f"{path}:1: expected a table as text, found binary data")
        cut = max(",|\t", key=first.count)
        lines = chain([first], file)
        if cut == "|":  # Slurm quotes nothing
            reader = csv.reader(lines, delimiter=cut, quoting=csv.QUOTE_NONE, strict=True)
        else:
            reader = csv.reader(lines, delimiter=cut, strict=True)
        try:
            for cells in reader:
                yield reader.line_num, cells
        except csv.Error as error:
            raise BadTrace(f"{path}:{reader.line_num + 1}: expected CSV text: {error}") from error


def _parquet(path: Path) -> Iterator[tuple[int, list[str]]]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError as error:
        text = "Parquet is read by pyarrow: install stowplan[scheduler,simulate], or write it as CSV"
        raise BadTrace(f"{path}: {text}") from error
    try:
        file = parquet.ParquetFile(path)
        yield 1, list(file.schema_arrow.names)
        line = 1
        for batch in file.iter_batches():
            for record in batch.to_pylist():
                line += 1
                yield line, [_cell(value) for value in record.values()]
    except (ArrowException, OSError, ValueError) as error:
        raise BadTrace(f"{path}: expected Parquet: {' '.join(str(error).split())[:200]}") from error


def _cell(value: object) -> str:
    if value is None or value != value:
        return ""
    return value.isoformat(sep=" ") if isinstance(value, datetime) else str(value)


def _row(path: Path, line: int, columns: Sequence[str], cells: list[str]) -> Row | BadRow:
    if len(cells) != len(columns):
        missing = columns[len(cells)] if len(cells) < len(columns) else columns[-1] if columns else "1"
        return BadRow(
            f"{path}:{line}: column {missing}: expected {len(columns)} cells in the row, found {len(cells)}",
            line=line,
        )
    return Row(path, line, {name: cell.strip() for name, cell in zip(columns, cells, strict=True)})

"""What a trace format is, what its reader is given, and how every record of a file is accounted for."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar

from simulations.loads.files import BadTrace
from simulations.loads.table import GPUS_TOTAL_MAX, BadRow, Row, records
from simulations.workload import PODS_MAX, Account, Counted, Job, split

NO_END: Final = "no end: it ran on when the file was written"
NEVER_STARTED: Final = "never started"
NO_GPUS: Final = "no GPUs"
UNPARSED: Final = "failed to parse"
DUPLICATE: Final = "duplicate id"
ENDS_EARLY: Final = "ends before it starts"
TOO_LARGE: Final = f"more than {PODS_MAX:,} pods, each on one of the largest nodes"
SHARE: Final = "a share of a GPU that could not be asked for as one counts as a whole GPU"
#: A file of which more cannot be parsed is another file, or broken.
UNPARSED_SHARE_MAX: Final = 0.1
_LINES_MAX: Final = 5
Record = TypeVar("Record")


class Left(Exception):
    """Raised by a reader for a record that is no job here; says why."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class Folded(Left):
    """Raised for a record that is part of a job which another record stands for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """A file, and the cluster that its jobs are for.

    per_node: GPUs of the largest node, which decides how many pods a job becomes that is known by its GPUs
    alone. models: GPU models of the cluster, as ``nvidia.com/gpu.product`` spells them.
    columns: of a file that has no header.
    """

    path: Path
    per_node: int = 8
    models: tuple[str, ...] = ()
    columns: tuple[str, ...] = ()


@dataclass(slots=True)
class _Lines:
    count: int = 0
    first: list[int] = field(default_factory=list)

    def add(self, line: int) -> None:
        self.count += 1
        if self.count <= _LINES_MAX:
            self.first.append(line)


_Counts = dict[str, _Lines]


@dataclass(slots=True)
class Tally:
    """Counts records by what became of them, with the first lines of each reason."""

    path: Path
    is_strict: bool = False
    records: int = 0
    _left: _Counts = field(default_factory=dict)
    _folded: _Counts = field(default_factory=dict)
    _noted: _Counts = field(default_factory=dict)
    _first_fault: BadTrace | None = None
    _teams: dict[str, str] = field(default_factory=dict)
    _taken: set[str] = field(default_factory=set)
    #: The last number given to a name that several teams would have.
    _numbers: dict[str, int] = field(default_factory=dict)

    def left(self, reason: str, line: int) -> None:
        self._left.setdefault(reason, _Lines()).add(line)

    def folded(self, reason: str, line: int) -> None:
        """A record that is part of a job which another record stands for."""
        self._folded.setdefault(reason, _Lines()).add(line)

    def noted(self, reason: str, line: int) -> None:
        """A job that is taken otherwise than it is written."""
        self._noted.setdefault(reason, _Lines()).add(line)

    def fault(self, error: BadTrace, line: int) -> None:
        """A record that cannot be parsed. Raises: BadTrace where every record must be right."""
        if self.is_strict:
            raise error
        self._first_fault = self._first_fault or error
        self.left(UNPARSED, line)

    def team(self, name: str) -> str:
        """The namespace of a team as its trace spells it: no two of them share one."""
        known = self._teams.get(name)
        if known is None:
            letters = (c if c.isascii() and c.isalnum() else "-" for c in name.lower())
            plain = "".join(letters).strip("-")[:55].strip("-") or "default"
            known = plain
            while known in self._taken:
                self._numbers[plain] = self._numbers.get(plain, 1) + 1
                known = f"{plain}-{self._numbers[plain]}"
            self._teams[name] = known
            self._taken.add(known)
        return known

    def account(self, form: Format, jobs: int) -> Account:
        """The whole. Raises: BadTrace where too much could not be parsed, or nothing is left."""
        unparsed = self._left[UNPARSED].count if UNPARSED in self._left else 0
        if self._first_fault is not None and unparsed > UNPARSED_SHARE_MAX * self.records:
            more = f"; {unparsed:,} of {self.records:,} records fail so" if unparsed > 1 else ""
            raise BadTrace(f"{self._first_fault}{more}")
        if not jobs:
            why = ", ".join(f"{lines.count:,} {reason}" for reason, lines in self._left.items())
            raise BadTrace(f"{self.path}: no job to simulate, read as {form.name}: {why or 'no records'}")
        return Account(
            form=form.name,
            units=form.units,
            counts=form.counts,
            records=self.records,
            jobs=jobs,
            left_out=_counted(self._left),
            folded=_counted(self._folded),
            noted=_counted(self._noted),
        )


def _counted(found: _Counts) -> tuple[Counted, ...]:
    most = sorted(found.items(), key=lambda item: (-item[1].count, item[0]))
    return tuple(
        Counted(reason=reason, count=lines.count, lines=tuple(lines.first)) for reason, lines in most
    )


#: Gives each job with the line it stands in.
Reader = Callable[[Source, Tally], Iterator[tuple[int, Job]]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A kind of file. A table is known by its columns: all of ``needs``, and none but those of ``may``.

    origin: whose format it is. units: of its times and sizes, in words. ending: of the file's name, which
    alone makes it this format. recognises: whether a document that begins so is of this format.
    is_strict: a broken record ends the reading; of what machines recorded it is counted and left out.
    is_dated: times are dates; the first submission becomes 0. is_headless: such files come without a header.
    counts: what a record's number is the number of.
    """

    name: str
    origin: str
    units: str
    read: Reader
    needs: tuple[str, ...] = ()
    may: frozenset[str] = frozenset()
    ending: str = ""
    recognises: Callable[[str], bool] | None = None
    is_strict: bool = False
    is_dated: bool = False
    is_headless: bool = False
    counts: str = "line"

    def distance(self, columns: Sequence[str]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The columns that are missing, and those that do not belong: none of either where it is this."""
        found = set(columns)
        missing = tuple(name for name in self.needs if name not in found)
        return missing, tuple(name for name in columns if name not in self.needs and name not in self.may)


def by_row(job: Callable[[Row, Source, Tally], Job]) -> Reader:
    """A reader of tables in which each row is a job, or raises Left."""

    def read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
        return row_by_row(source, tally, lambda row: job(row, source, tally))

    return read


def row_by_row(source: Source, tally: Tally, job: Callable[[Row], Job]) -> Iterator[tuple[int, Job]]:
    """The jobs of a table's rows, as ``each``."""
    return each(((row.line, row) for row in good_rows(source, tally)), tally, lambda _, row: job(row))


def each(
    records: Iterable[tuple[int, Record]], tally: Tally, job: Callable[[int, Record], Job]
) -> Iterator[tuple[int, Job]]:
    """The jobs of records, each with its line. What is no job, or is broken, is counted and passed over.

    job: makes one of a record, by its line and what it holds; raises Left, Folded or BadRow.
    """
    for line, record in records:
        try:
            yield line, job(line, record)
        except Folded as why:
            tally.folded(why.reason, line)
        except Left as why:
            tally.left(why.reason, line)
        except BadRow as error:
            tally.fault(error, line)


def good_rows(source: Source, tally: Tally) -> Iterator[Row]:
    """The rows that are rows; all are counted."""
    for row in records(source.path, columns=source.columns):
        tally.records += 1
        if isinstance(row, BadRow):
            tally.fault(row, row.line)
        else:
            yield row


def of_gpus(
    gpus: int, source: Source, *, name: str, submit_s: float, duration_s: float, estimate_s: float | None,
    team: str = "default", kind: str = "",
) -> Job:  # fmt: skip
    """A job that the trace knows by its GPUs alone. Raises: Left where it has none."""
    if not gpus:
        raise Left(NO_GPUS)
    pods, each, last = split(gpus, source.per_node)
    if pods > PODS_MAX:
        raise Left(TOO_LARGE)
    return Job(
        name=name,
        submit_s=submit_s,
        duration_s=duration_s,
        estimate_s=estimate_s,
        gpus=each,
        pods=pods,
        min_pods=pods,
        last_gpus=last,
        team=team,
        kind=kind,
    )


def columns(*lines: str) -> tuple[str, ...]:
    """The names of columns, as many to a line as fit."""
    return tuple(" ".join(lines).split())


def gpus_of(row: Row, column: str) -> int:
    return row.whole(column, most=GPUS_TOTAL_MAX)


def between(start_s: float | None, end_s: float | None) -> float:
    """The run time of a job. Raises: Left where it did not start, did not end, or ends before it starts."""
    if start_s is None:
        raise Left(NEVER_STARTED)
    if end_s is None:
        raise Left(NO_END)
    if end_s < start_s:
        raise Left(ENDS_EARLY)
    return end_s - start_s

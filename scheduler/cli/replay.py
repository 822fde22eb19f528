"""``stowplan replay``: decisions of a record made again, and whether they come out the same."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scheduler.cli.failure import Failure
from scheduler.cli.output import Output, emit, table
from scheduler.record import UnreadableRecord, replay

EXIT_DIFFERENT = 1


class Replayed(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """One line of the file."""

    line: int
    is_same: bool
    places: int
    waiting: int
    #: Who was evicted for whom: the rule, then victims and beneficiary.
    evictions: list[str]


def show(file: Path, *, output: Output) -> int:
    """The exit code: 1 when a decision comes out otherwise. Raises: Failure for what is no record."""
    found = list(read(file))
    if output == "table":
        rows = [
            [
                str(r.line),
                "same" if r.is_same else "DIFFERENT",
                str(r.places),
                str(r.waiting),
                "; ".join(r.evictions),
            ]
            for r in found
        ]
        table(["line", "decision", "places", "waiting", "evictions"], rows)
    else:
        emit(found, output)
    return 0 if all(r.is_same for r in found) else EXIT_DIFFERENT


def read(file: Path) -> list[Replayed]:
    """Every decision of the file, made again."""
    found: list[Replayed] = []
    try:
        with file.open("rb") as lines:
            for number, line in enumerate(lines, start=1):
                before, _, is_same = replay(line)
                told = [
                    f"{c.rule}: {len(c.victims)} gangs for {c.beneficiaries[0].key} of team {c.team}"
                    for c in before.clearings
                ]
                found.append(
                    Replayed(
                        line=number,
                        is_same=is_same,
                        places=len(before.places),
                        waiting=len(before.verdicts),
                        evictions=told,
                    )
                )
    except OSError as error:
        raise Failure(f"{file}: {error.strerror}; give a file that `record.path` named") from error
    except UnreadableRecord as error:
        raise Failure(f"{file}, line {len(found) + 1}: {error}") from error
    if not found:
        raise Failure(f"{file}: holds no decision")
    return found

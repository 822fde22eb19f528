"""All trace formats; a new one is one file in ``readers`` and one line here. How a file is recognised."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from simulations.loads.files import PARQUET, BadTrace, bare, magic, open_text
from simulations.loads.readers import (
    acme,
    alea,
    audit,
    chronus,
    gavel,
    generators,
    helios,
    itp,
    kubernetes,
    muri,
    openb,
    own,
    pai,
    philly,
    pollux,
    sia,
    slurm,
    swf,
    tiresias,
)
from simulations.loads.table import header, listed
from simulations.loads.trace import Format

FORMATS: Final[tuple[Format, ...]] = (
    own.FORMAT,
    muri.FORMAT,
    tiresias.FORMAT,
    itp.FORMAT,
    itp.ELASTICFLOW,
    gavel.FORMAT,
    gavel.PHYSICAL,
    openb.FORMAT,
    helios.FORMAT,
    acme.SEREN,
    acme.KALOS,
    pai.FORMAT,
    chronus.FORMAT,
    pollux.FORMAT,
    sia.FORMAT,
    alea.FORMAT,
    swf.FORMAT,
    slurm.FORMAT,
    philly.FORMAT,
    audit.FORMAT,
    kubernetes.FORMAT,
    generators.KUEUE,
    generators.KAI,
)
BY_NAME: Final = {form.name: form for form in FORMATS}
_HEAD_CHARS: Final = 1 << 16


def named(name: str) -> Format:
    """Raises: BadTrace."""
    found = BY_NAME.get(name)
    if found is None:
        raise BadTrace(f"format {ascii(name)[:40]}: expected one of {', '.join(BY_NAME)}")
    return found


def recognise(path: Path) -> Format:
    """The format of a file: by how a document begins, by its name's ending, or by all of a table's columns.

    Raises: BadTrace naming the columns that are there, and the nearest format.
    """
    ending = bare(path).suffix.lower()
    named_so = next((form for form in FORMATS if form.ending and form.ending == ending), None)
    if not magic(path).startswith(PARQUET):
        with open_text(path) as file:
            text = file.read(_HEAD_CHARS)
        for form in FORMATS:
            if form.recognises is not None and form.recognises(text):
                return form
    if named_so is not None:
        return named_so
    columns = header(path)
    for form in FORMATS:
        if form.needs and form.distance(columns) == ((), ()):
            return form
    raise BadTrace(_unknown(path, columns))


def check(form: Format, path: Path) -> tuple[str, ...]:
    """The columns of a table that is said to be of this format, where the file has no header.

    Raises: BadTrace where it has another.
    """
    if not form.needs:
        return ()
    columns = header(path)
    missing, foreign = form.distance(columns)
    if not missing and not foreign:
        return ()
    if form.is_headless and len(columns) == len(form.needs):
        return form.needs
    raise BadTrace(f"{path}:1: expected the columns of {form.name}: {_differs(missing, foreign)}")


def _unknown(path: Path, columns: tuple[str, ...]) -> str:
    tables = [form for form in FORMATS if form.needs]
    nearest = max(tables, key=lambda form: _likeness(form, columns))
    missing, foreign = nearest.distance(columns)
    headless = [form.name for form in tables if form.is_headless and len(form.needs) == len(columns)]
    hint = f"; where it has no header, say --format {headless[0]}" if headless else ""
    return (
        f"{path}:1: no known format has the columns found, {listed(columns)}; the nearest is {nearest.name}: "
        f"{_differs(missing, foreign)}; known are {', '.join(BY_NAME)}{hint}"
    )


def _likeness(form: Format, columns: tuple[str, ...]) -> float:
    """Columns in common over columns of either (Jaccard); those that may be there count where they are."""
    missing, foreign = form.distance(columns)
    common = len(columns) - len(foreign)
    return common / max(1, len(columns) + len(missing))


def _differs(missing: tuple[str, ...], foreign: tuple[str, ...]) -> str:
    parts = [f"{word} {listed(names)}" for word, names in (("lacks", missing), ("has not", foreign)) if names]
    return ", ".join(f"it {part}" if part.startswith("has") else f"the file {part}" for part in parts)

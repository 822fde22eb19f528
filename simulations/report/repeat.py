"""What it takes to make a run again: the command as it was given, and the files that it read."""

from __future__ import annotations

import hashlib
import shlex
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True, kw_only=True)
class Input:
    """A file by its name, without the folders of whoever ran it, and the SHA-256 of its bytes."""

    name: str
    sha256: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Repeat:
    command: str
    inputs: tuple[Input, ...]


def repeat(words: Sequence[str], files: Iterable[Path | None]) -> Repeat:
    """``words``: of the command line, without the program. Raises: OSError."""
    found = []
    for path in files:
        if path is not None:
            with path.open("rb") as file:
                found.append(Input(name=path.name, sha256=hashlib.file_digest(file, "sha256").hexdigest()))
    return Repeat(command=shlex.join(["stowplan", *words]), inputs=tuple(found))

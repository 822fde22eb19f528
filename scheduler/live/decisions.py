"""Writes decision records to a file, one line each, for ``stowplan replay``."""

from __future__ import annotations

from pathlib import Path

from scheduler.live.logs import logger

log = logger("decisions")

MIB = 1 << 20


class Decisions:
    """Appends; at its limit the file becomes FILE.1, so that twice the limit is kept. Never raises."""

    def __init__(self, path: Path, *, mebibytes_max: int) -> None:
        self._path = path
        self._bytes_max = mebibytes_max * MIB

    def write(self, line: bytes) -> None:
        """A file that cannot be written costs the record, never the decision."""
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            if self._path.exists() and self._path.stat().st_size + len(line) > self._bytes_max:
                self._path.replace(self._path.with_name(f"{self._path.name}.1"))
            with self._path.open("ab") as file:
                file.write(line + b"\n")
        except OSError as error:
            log.warning("decision not recorded", path=str(self._path), error=error.strerror)

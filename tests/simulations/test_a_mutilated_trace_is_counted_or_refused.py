"""Samples of every format, damaged by a seed: one line and exit code 2, or read with every record counted."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

import pytest

from tests.simulations.test_each_public_format_is_read_as_what_it_is import accounted, said, stowplan
from tests.simulations.traces import ALL, SAMPLES

VALUES: Final = (
    "-1", "nan", "NaN", "inf", "-inf", "1e400", "9" * 400, "99999999999", "", "\x00", "é", "None", "null",
    "[]", "{}", '"', "2026-13-45 99:99:99", "0001-01-01", "'", "\t", "8.5", "true", "1_000",
)  # fmt: skip


def _cut(data: bytes, rng: random.Random) -> bytes:
    return data[: rng.randrange(len(data))]


def _swapped(data: bytes, rng: random.Random) -> bytes:
    """Two cells of every row below the header change places."""
    first, *lines = data.decode().splitlines()
    cut = max(",|", key=first.count)
    one, two = (rng.randrange(max(1, first.count(cut) + 1)) for _ in range(2))
    found = [first]
    for line in lines:
        cells = line.split(cut)
        if max(one, two) < len(cells):
            cells[one], cells[two] = cells[two], cells[one]
        found.append(cut.join(cells))
    return "\n".join(found).encode()


def _encoded(data: bytes, rng: random.Random) -> bytes:
    text = data.decode() + "ä"
    return text.encode(rng.choice(["latin-1", "utf-16-le", "utf-16-be", "utf-32", "utf-7", "cp037"]))


def _replaced(data: bytes, rng: random.Random) -> bytes:
    """Some words become values that are not what they should be."""
    text = data.decode()
    for _ in range(rng.choice([1, 1, 3, 10])):
        at = [i for i, c in enumerate(text) if c.isdigit()]
        if at:
            begin = end = rng.choice(at)
            while end < len(text) and (text[end].isalnum() or text[end] in ".-:"):
                end += 1
            text = text[:begin] + rng.choice(VALUES) + text[end:]
    return text.encode()


def _doubled(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    for _ in range(rng.choice([1, 5])):
        lines.insert(rng.randrange(len(lines) + 1), rng.choice(lines))
    return b"".join(lines)


def _flipped(data: bytes, rng: random.Random) -> bytes:
    found = bytearray(data)
    for _ in range(rng.choice([1, 4, 40])):
        found[rng.randrange(len(found))] = rng.randrange(256)
    return bytes(found)


def _dropped(data: bytes, rng: random.Random) -> bytes:
    lines = data.splitlines(keepends=True)
    del lines[rng.randrange(len(lines))]
    return b"".join(lines)


DAMAGES: Final[tuple[Callable[[bytes, random.Random], bytes], ...]] = (
    _cut, _swapped, _encoded, _replaced, _replaced, _doubled, _flipped, _dropped,
)  # fmt: skip


@pytest.mark.parametrize("seed", range(440))
def test_it_never_ends_in_a_traceback(capsys: pytest.CaptureFixture[str], tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    one = ALL[seed % len(ALL)]
    for name in ("isolated_throughputs.csv", "run_times.csv", "pai_job_table.csv"):
        shutil.copy(SAMPLES / name, tmp_path / name)
    path = tmp_path / one.file
    path.write_bytes(rng.choice(DAMAGES)((SAMPLES / one.file).read_bytes(), rng))
    code, out, err = stowplan(capsys, "trace", "check", str(path), *said(one), "-o", "json")
    if code:
        assert (code, out, err.count("\n")) == (2, "", 1), err
        assert err.startswith(f"error: {path}"), err
    else:
        account = json.loads(out)["account"]
        assert account["jobs"] > 0
        accounted(account)

"""Documents of JSON and YAML as plain values, with getters that name what is wrong."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import msgspec
import yaml

from simulations.loads.files import BadTrace, open_text, whole_text
from simulations.loads.table import BadRow, seconds_of
from simulations.workload import JOBS_MAX

Object = Mapping[str, object]
NOTHING: Object = {}
_YAML_CHARS_MAX = 16 << 20
_LINE_CHARS_MAX = 16 << 20


def json_document(path: Path) -> object:
    """Raises: BadTrace."""
    try:
        return msgspec.json.decode(whole_text(path).encode())
    except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
        raise BadTrace(f"{path}: expected JSON: {error}") from error


def json_lines(path: Path) -> Iterator[tuple[int, object | BadRow]]:
    """Each line's value with its number, or what is wrong with it; blank lines are passed over."""
    with open_text(path) as file:
        line = 0
        while text := file.readline(_LINE_CHARS_MAX):
            line += 1
            if line > JOBS_MAX * 10:
                raise BadTrace(f"{path}:{line}: expected at most {JOBS_MAX * 10:,} lines, found more")
            if text.strip():
                try:
                    yield line, msgspec.json.decode(text.encode())
                except (msgspec.DecodeError, RecursionError, UnicodeEncodeError) as error:
                    yield line, BadRow(f"{path}:{line}: expected JSON: {error}", line=line)


def yaml_document(path: Path) -> Object:
    """A file of one mapping. Raises: BadTrace."""
    text = whole_text(path)
    if len(text) > _YAML_CHARS_MAX:
        raise BadTrace(f"{path}: more than {_YAML_CHARS_MAX:,} characters; is this the right file?")
    try:
        found = yaml.safe_load(text)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        raise BadTrace(f"{path}: expected YAML: {' '.join(str(error).split())[:200]}") from error
    if not isinstance(found, dict):
        raise BadTrace(f"{path}: expected a mapping, found {ascii(found)[:40]}")
    return cast(Object, found)


def part(found: object, *keys: str) -> Object:
    """The object under these keys; an empty one where there is none."""
    for key in keys:
        found = found.get(key) if isinstance(found, Mapping) else None
    return found if isinstance(found, Mapping) else NOTHING


def items(found: object) -> list[object]:
    return found if isinstance(found, list) else []


def text_of(found: Object, key: str) -> str:
    value = found.get(key)
    return value if isinstance(value, str) else ""


def time_of(found: Object, key: str) -> float | None:
    """Seconds since 1970; None where there is no date and time."""
    value = found.get(key)
    return seconds_of(value) if isinstance(value, str) else None

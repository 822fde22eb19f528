"""Files as text, however they are packed: the first bytes decide, not the name."""

from __future__ import annotations

import codecs
import gzip
import io
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

FILE_BYTES_MAX = 1 << 30
#: What a packed document may unpack to.
DOCUMENT_CHARS_MAX = 1 << 30
PARQUET = b"PAR1"
#: Both of these can show their first bytes without passing over them.
Packed = io.BufferedReader | gzip.GzipFile
_INSTALL = "install stowplan[scheduler,simulate]"


class BadTrace(ValueError):
    """A trace that cannot be read; the message is for whoever wrote it."""


def _zstd(path: Path) -> Packed:
    try:
        import pyarrow
    except ImportError as error:
        raise BadTrace(
            f"{path}: Zstandard is read by pyarrow: {_INSTALL}, or unpack it by zstd -d"
        ) from error
    try:
        return io.BufferedReader(pyarrow.CompressedInputStream(pyarrow.OSFile(str(path)), "zstd"))
    except pyarrow.ArrowException as error:
        raise BadTrace(f"{path}: expected Zstandard data: {_one_line(error)}") from error


#: First bytes -> what opens such a file.
_OPENERS: tuple[tuple[bytes, Callable[[Path], Packed]], ...] = (
    (b"\x1f\x8b", lambda path: gzip.GzipFile(path)),
    (b"\x28\xb5\x2f\xfd", _zstd),
)
#: First bytes -> what it is and what to do.
_REFUSED: tuple[tuple[bytes, str], ...] = (
    (b"\xfd7zXZ\x00", "packed by xz: unpack it by xz -d"),
    (b"BZh", "packed by bzip2: unpack it by bunzip2"),
    (b"PK\x03\x04", "a ZIP archive: unpack it and give the file inside"),
    (b"SQLite format 3", "an SQLite database: export the table as CSV"),
    (b"\x80\x04", "a Python pickle, which is never read: write it as CSV or Parquet"),
    (PARQUET, "Parquet: this format is read from text; write it as JSON, YAML or text"),
)
_ENCODINGS: tuple[tuple[bytes, str], ...] = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def magic(path: Path) -> bytes:
    """The first bytes of the file. Raises: BadTrace where it cannot be read or is too large."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadTrace(f"{path}: larger than {FILE_BYTES_MAX:,} bytes; is this the right file?")
        with path.open("rb") as file:
            return file.read(16)
    except OSError as error:
        raise BadTrace(f"{path}: {error.strerror}; give a readable file") from error
    except ValueError as error:
        raise BadTrace(f"{str(path)!a}: {error}; give a readable file") from error


def bare(path: Path) -> Path:
    """The name without the ending that says how it is packed."""
    return path.with_suffix("") if path.suffix.lower() in (".gz", ".zst") else path


@contextmanager
def open_text(path: Path) -> Iterator[io.TextIOWrapper]:
    """The file as text. Raises: BadTrace, inside of the block too, for whatever is wrong with its bytes."""
    first = magic(path)
    for start, remedy in _REFUSED:
        if first.startswith(start):
            raise BadTrace(f"{path}: {remedy}")
    try:
        with _opened(path, first) as binary, _decoded(binary) as text:
            yield text
    except UnicodeError as error:
        raise BadTrace(f"{path}: expected UTF-8 text: {error}; convert it by iconv -t utf-8") from error
    except (OSError, EOFError, zlib.error) as error:
        raise BadTrace(f"{path}: expected a whole file: {_one_line(error)}; fetch it again") from error


def whole_text(path: Path) -> str:
    """All of it, for documents. Raises: BadTrace."""
    with open_text(path) as file:
        text = file.read(DOCUMENT_CHARS_MAX + 1)
    if len(text) > DOCUMENT_CHARS_MAX:
        raise BadTrace(f"{path}: more than {DOCUMENT_CHARS_MAX:,} characters; is this the right file?")
    return text


def _opened(path: Path, first: bytes) -> Packed:
    for start, opener in _OPENERS:
        if first.startswith(start):
            return opener(path)
    if path.suffix.lower() == ".gz" and first:
        raise BadTrace(f"{path}: expected gzip data, found {first[:4]!a}; take .gz off its name")
    return path.open("rb")


def _decoded(binary: Packed) -> io.TextIOWrapper:
    start = binary.peek(4)[:4]
    encoding = next((name for bom, name in _ENCODINGS if start.startswith(bom)), "utf-8-sig")
    return io.TextIOWrapper(binary, encoding=encoding, newline="")


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:200]

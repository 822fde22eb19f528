"""Builds the fake ``libnvidia-ml.so.1``: ``python -m deploy.local.nvml.build``.

Takes about a third of a second with gcc and is kept by content hash in the cache of ``deploy.local``.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from deploy.local.directories import cache_root, content_name
from deploy.local.errors import LocalError
from deploy.local.locks import locked
from deploy.local.nvml.errors import NvmlBuildFailed
from deploy.local.nvml.generate import SOURCE, header, stubs

SONAME: Final = "libnvidia-ml.so.1"
#: Old entries of the header are marked deprecated and have parameters that nobody uses.
FLAGS: Final = (
    "-std=gnu11",
    "-O1",
    "-fPIC",
    "-shared",
    "-Wall",
    "-Wextra",
    "-Werror",
    "-Wno-unused-parameter",
    "-Wno-deprecated-declarations",
    "-pthread",
    f"-Wl,-soname,{SONAME}",
)
COMPILE_TIMEOUT_S: Final = 120.0


def ensure_library(without: Iterable[str] = ()) -> Path:
    """The library, built now unless it was before. ``without``: functions it lacks, as an older driver's.

    Raises: NvmlBuildFailed without a C compiler or the header, or with what the compiler said.
    """
    lacking = frozenset(without)
    place = cache_root() / "nvml" / _content_hash(lacking)
    library = place / SONAME
    if not library.exists():
        with locked(place.with_suffix(".lock")):
            if not library.exists():
                _build(library, lacking)
    return library


def _content_hash(lacking: frozenset[str]) -> str:
    parts = [header().read_bytes(), SOURCE.read_bytes(), Path(__file__).read_bytes()]
    parts += [part.encode() for part in (*FLAGS, platform.machine(), *sorted(lacking))]
    return content_name(parts)


def _build(library: Path, lacking: frozenset[str]) -> None:
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise NvmlBuildFailed("no C compiler: install gcc to build the fake libnvidia-ml.so.1")
    found = header()
    library.parent.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=library.parent.parent) as folder:
        stub_file, hidden = Path(folder, "stubs.c"), Path(folder, "hidden.map")
        stub_file.write_text(stubs(found.read_text(encoding="utf-8"), SOURCE.read_text(encoding="utf-8")))
        hidden.write_text("{ local: " + " ".join(f"{name};" for name in (*sorted(lacking), "none")) + " };\n")
        made = Path(folder, SONAME)
        command = [compiler, *FLAGS, f"-Wl,--version-script={hidden}", f"-I{found.parent}"]
        _compile([*command, "-o", str(made), str(SOURCE), str(stub_file)])
        library.parent.mkdir(exist_ok=True)
        os.replace(made, library)


def _compile(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=COMPILE_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise NvmlBuildFailed(f"gcc refused the fake libnvidia-ml.so.1:\n{done.stderr.strip()[-2000:]}")


def main() -> int:
    """Build; print the library's path."""
    try:
        print(ensure_library())
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The base images as build arguments: ``python -m deploy.image.bases`` refuses one that is not pinned.

For a build that is not released, ``--unpinned`` lets tags through. Prints the arguments for ``docker build``.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

FILE: Final = Path(__file__).with_name("bases.env")
PINNED: Final = re.compile(r"[a-z0-9][a-z0-9._/:-]*@sha256:[0-9a-f]{64}")


class BasesError(ValueError):
    """The file cannot be used; the message names the line and the remedy."""


def read(text: str) -> dict[str, str]:
    """Image by argument. Raises: BasesError for a line that is neither NAME=IMAGE nor a comment."""
    found: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.startswith("#"):
            continue
        name, equals, image = line.partition("=")
        if not equals or not re.fullmatch(r"[A-Z][A-Z_]*", name) or not image or image != image.strip():
            raise BasesError(f"line {number}: {line!r}: write NAME=IMAGE")
        if name in found:
            raise BasesError(f"line {number}: {name} is given twice")
        found[name] = image
    return found


def unpinned(bases: dict[str, str]) -> list[str]:
    """The arguments whose image a registry could change."""
    return [name for name, image in bases.items() if not PINNED.fullmatch(image)]


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the build arguments, one a line; 1 and the remedy where a release would not be repeatable."""
    parser = argparse.ArgumentParser(prog="python -m deploy.image.bases", description=__doc__)
    parser.add_argument("--unpinned", action="store_true", help="for a build that is not released")
    parser.add_argument("--file", type=Path, default=FILE)
    given = parser.parse_args(arguments)
    try:
        bases = read(given.file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, BasesError) as error:
        print(f"error: {given.file.name}: {error}", file=sys.stderr)
        return 1
    loose = [] if given.unpinned else unpinned(bases)
    for name in loose:
        print(f"error: {name}={bases[name]} is no digest; add @sha256:... for a release", file=sys.stderr)
    if loose:
        return 1
    for name, image in bases.items():
        print(f"--build-arg={name}={image}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The files that the gates look at: what the repository holds, or would hold."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ("scheduler", "binpacking", "quotas", "simulations", "deploy")
TESTS = "tests"
#: A fixture larger than this is data, not text somebody wrote.
TEXT_BYTES_MAX = 4 << 20


@dataclass(frozen=True)
class Text:
    """One file; ``path`` is relative to the root of the repository, with forward slashes."""

    path: str
    content: str

    @cached_property
    def lines(self) -> list[str]:
        return self.content.splitlines()

    @cached_property
    def tree(self) -> ast.Module:
        return ast.parse(self.content, self.path)

    @property
    def is_python(self) -> bool:
        return self.path.endswith(".py")

    @property
    def is_source(self) -> bool:
        return self.is_python and self.path.split("/")[0] in SOURCE

    @property
    def is_test(self) -> bool:
        return self.is_python and self.path.startswith(f"{TESTS}/")


def texts(root: Path = ROOT) -> Iterator[Text]:
    """Every text file that is tracked or could be: not ignored by git."""
    for path in paths(root):
        file = root / path
        if not file.is_file() or file.stat().st_size > TEXT_BYTES_MAX:
            continue
        try:
            yield Text(path, file.read_text(encoding="utf-8"))
        except UnicodeDecodeError:
            continue


def paths(root: Path = ROOT) -> list[str]:
    """Raises: CalledProcessError where ``root`` is no git checkout."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=root,
        check=True,
        capture_output=True,
        text=True,
    )
    return sorted(set(filter(None, listed.stdout.split("\0"))))

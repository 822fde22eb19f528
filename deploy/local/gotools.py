"""Command-line tools of other projects, built from locked Go modules and kept outside the checkout.

A tool's folder holds ``go.mod`` and ``go.sum`` alone; the package to build comes from the module they name.
What decides what comes out (locks, compiler, tags, package) names the folder it is kept in.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local import toolchain
from deploy.local.directories import cache_root, content_name
from deploy.local.errors import BuildFailed
from deploy.local.locks import locked

BUILD_S_MAX: Final = 1_800.0
ERROR_CHARACTERS_MAX: Final = 4_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GoTool:
    """One command. ``module``: the folder of its go.mod; ``package``: the import path of its main package.

    oldest: the Go that its go.mod asks for.
    """

    name: str
    module: Path
    package: str
    tags: tuple[str, ...] = ()
    oldest: tuple[int, int, int] = toolchain.OLDEST

    def ensure(self) -> Path:
        """The command, built now unless it was before. Raises: BuildFailed."""
        chosen = toolchain.choose(self.oldest)
        binary = cache_root() / self.name / self._content_hash(chosen.version) / self.name
        with locked(binary.parent.with_suffix(".lock")):
            if not binary.exists():
                self._build(toolchain.install(chosen), binary)
        return binary

    def run(
        self, arguments: Sequence[str], *, given: str, timeout_s: float
    ) -> subprocess.CompletedProcess[str]:
        """One command, with its input as text; its outputs and exit code as they are.

        Raises: BuildFailed, subprocess.TimeoutExpired.
        """
        return subprocess.run(
            [self.ensure(), *arguments],
            input=given,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def _content_hash(self, go_version: str) -> str:
        parts = [(self.module / name).read_bytes() for name in ("go.mod", "go.sum")]
        parts += [word.encode() for word in (go_version, self.package, *self.tags)]
        return content_name(parts)

    def _build(self, go: Path, binary: Path) -> None:
        partial = binary.parent.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        flags = ["-trimpath", "-ldflags", "-s -w", f"-tags={','.join(self.tags)}"]
        done = subprocess.run(
            [go, "build", *flags, "-o", partial / binary.name, self.package],
            cwd=self.module,
            env=toolchain.environment(),
            capture_output=True,
            text=True,
            timeout=BUILD_S_MAX,
            check=False,
        )
        if done.returncode != 0:
            raise BuildFailed(f"go build {self.package} failed:\n{done.stderr[-ERROR_CHARACTERS_MAX:]}")
        shutil.rmtree(binary.parent, ignore_errors=True)
        partial.rename(binary.parent)

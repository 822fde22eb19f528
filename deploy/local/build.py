"""Builds the control plane's one binary from Go modules: ``python -m deploy.local.build``.

Cold this takes about five minutes on two cores; the result is kept by content hash outside the checkout,
so a fresh clone or a second cluster pays nothing. Concurrent builders wait for the first.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, Protocol

from deploy.local import toolchain
from deploy.local.directories import cache_root, content_name
from deploy.local.errors import BuildFailed, LocalError
from deploy.local.locks import locked

MODULE: Final = Path(__file__).with_name("controlplane")
KUBERNETES_VERSION: Final = "v1.37.2"
_VERSION_PACKAGE: Final = "k8s.io/component-base/version"
_MAJOR, _MINOR, _PATCH = KUBERNETES_VERSION.removeprefix("v").split(".")
#: Without the version the API server calls itself v0.0.0 and refuses its own feature gates.
LINKER_FLAGS: Final = " ".join(
    (
        "-s -w",
        f"-X {_VERSION_PACKAGE}.gitVersion={KUBERNETES_VERSION}",
        f"-X {_VERSION_PACKAGE}.gitMajor={_MAJOR}",
        f"-X {_VERSION_PACKAGE}.gitMinor={_MINOR}",
    )
)
BUILD_FLAGS: Final = ("-trimpath", "-ldflags", LINKER_FLAGS)
ERROR_LINES_MAX: Final = 30


class Watcher(Protocol):
    """Is told how a build goes."""

    def stage(self, name: str, total: int | None = None) -> None:
        """A stage begins; ``total`` counts its steps where that is known."""

    def step(self) -> None:
        """One step of the stage is done: a module fetched, a package compiled."""


class Silent:
    """A Watcher that shows nothing."""

    def stage(self, name: str, total: int | None = None) -> None:
        pass

    def step(self) -> None:
        pass


def cached_binary() -> Path | None:
    """The binary of this source, if it was built before."""
    binary = _place(toolchain.choose())
    return binary if binary.exists() else None


def ensure_binary(watcher: Watcher | None = None) -> Path:
    """The binary of this source, built now unless it was before.

    Raises: BuildFailed with the compiler's last lines.
    """
    watcher = watcher or Silent()
    chosen = toolchain.choose()
    binary = _place(chosen)
    if binary.exists():
        return binary
    lock = binary.parent.with_suffix(".lock")
    with locked(lock, on_wait=lambda: watcher.stage("waiting for another build")):
        if not binary.exists():
            if chosen.go is None:
                watcher.stage("installing the Go toolchain")
            _build(toolchain.install(chosen), binary, watcher)
    return binary


def content_hash(module: Path, go_version: str) -> str:
    """Of all that decides what the binary does: source, locked dependencies, compiler, flags, platform."""
    parts = [(module / name).read_bytes() for name in ("go.mod", "go.sum", "main.go")]
    parts += [part.encode() for part in (go_version, *BUILD_FLAGS, platform.system(), platform.machine())]
    return content_name(parts)


def _place(chosen: toolchain.Toolchain) -> Path:
    return cache_root() / "controlplane" / content_hash(MODULE, chosen.version) / "controlplane"


def _build(go: Path, binary: Path, watcher: Watcher) -> None:
    environment = toolchain.environment()
    watcher.stage("fetching Go modules")
    packages = _packages(go, environment, watcher)
    watcher.stage("compiling", packages)
    # A directory per process: a builder that was killed leaves no half binary under the final name.
    partial = binary.parent.with_name(f"{binary.parent.name}.{os.getpid()}.partial")
    partial.mkdir(parents=True, exist_ok=True)
    try:
        for _ in _told([go, "build", "-v", *BUILD_FLAGS, "-o", partial / binary.name, "."], environment):
            watcher.step()
        binary.parent.mkdir(exist_ok=True)
        (partial / binary.name).rename(binary)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def _packages(go: Path, environment: Mapping[str, str], watcher: Watcher) -> int:
    """How many packages a cold build compiles; fetches the modules on the way."""
    for _ in _told([go, "mod", "download", "-x"], environment):
        watcher.step()
    listed = subprocess.run(
        [go, "list", "-deps", "."], cwd=MODULE, env=environment, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        raise BuildFailed(f"go list failed: {listed.stderr.strip()[-2000:]}")
    return len(listed.stdout.splitlines())


def _told(command: Sequence[str | Path], environment: Mapping[str, str]) -> Iterator[str]:
    """Lines of the command's standard error as they come. Raises: BuildFailed when it fails."""
    last: list[str] = []
    with subprocess.Popen(
        command, cwd=MODULE, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            for line in process.stderr or ():
                last = [*last[1 - ERROR_LINES_MAX :], line]
                yield line
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        raise BuildFailed(f"{' '.join(map(str, command[1:3]))} failed:\n{''.join(last)}")


def main() -> int:
    """Build with progress shown; print the binary's path."""
    from deploy.local.progress import shown

    started_s = time.monotonic()
    try:
        with shown() as watcher:
            binary = ensure_binary(watcher)
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(f"{binary} ({time.monotonic() - started_s:.1f} s)")
    return 0


if __name__ == "__main__":
    sys.exit(main())

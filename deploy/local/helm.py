"""Helm itself, built from Go modules and kept outside the checkout: ``python -m deploy.local.helm``.

Cold this takes about two minutes on two cores. The chart is rendered by what an admin will render it with.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local import toolchain
from deploy.local.directories import cache_root, content_name
from deploy.local.errors import BuildFailed, LocalError
from deploy.local.locks import locked

MODULE: Final = Path(__file__).with_name("helmmodule")
CHART: Final = Path(__file__).resolve().parents[1] / "chart"
PACKAGE: Final = "helm.sh/helm/v4/cmd/helm"
BUILD_FLAGS: Final = ("-trimpath", "-ldflags", "-s -w")
BUILD_S_MAX: Final = 900.0
COMMAND_S_MAX: Final = 60.0
ERROR_CHARACTERS_MAX: Final = 4_000


class HelmRefused(LocalError):
    """Helm said no; the message is what it said."""


def ensure_helm() -> Path:
    """The ``helm`` command, built now unless it was before. Raises: BuildFailed."""
    chosen = toolchain.choose()
    binary = cache_root() / "helm" / _content_hash(chosen.version) / "helm"
    with locked(binary.parent.with_suffix(".lock")):
        if not binary.exists():
            _build(toolchain.install(chosen), binary)
    return binary


def template(values: Mapping[str, object] | None = None, *, namespace: str = "stowplan-system") -> str:
    """The chart's manifests, CRDs included, as ``helm template`` renders them.

    Raises: BuildFailed, HelmRefused with Helm's words, for example for values that break the schema.
    """
    return run(
        ["template", "stowplan", str(CHART), "--namespace", namespace, "--include-crds", "--values", "-"],
        given=json.dumps(values or {}),
    )


def run(arguments: Sequence[str], *, given: str = "") -> str:
    """Standard output of one Helm command. Raises: BuildFailed, HelmRefused."""
    done = subprocess.run(
        [ensure_helm(), *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=COMMAND_S_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise HelmRefused((done.stderr + done.stdout)[-ERROR_CHARACTERS_MAX:])
    return done.stdout


def _content_hash(go_version: str) -> str:
    locked_modules = [(MODULE / name).read_bytes() for name in ("go.mod", "go.sum")]
    return content_name([*locked_modules, go_version.encode()])


def _build(go: Path, binary: Path) -> None:
    partial = binary.parent.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    done = subprocess.run(
        [go, "build", *BUILD_FLAGS, "-o", partial / binary.name, PACKAGE],
        cwd=MODULE,
        env=toolchain.environment(),
        capture_output=True,
        text=True,
        timeout=BUILD_S_MAX,
        check=False,
    )
    if done.returncode != 0:
        raise BuildFailed(f"go build {PACKAGE} failed:\n{done.stderr[-ERROR_CHARACTERS_MAX:]}")
    shutil.rmtree(binary.parent, ignore_errors=True)
    partial.rename(binary.parent)


if __name__ == "__main__":
    try:
        print(ensure_helm())
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

"""Pages of docs/ as their reader follows them: each block of shell, in order, against a real API server."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.local import helm

ROOT: Final = Path(__file__).parents[1]
BLOCK_S_MAX: Final = 60.0


def blocks(page: str) -> list[str]:
    """The shell blocks of a page, named as below docs/."""
    text = (ROOT / "docs" / page).read_text(encoding="utf-8")
    return re.findall(r"^```sh\n(.*?)^```$", text, re.M | re.S)


def run(kubeconfig: Path, block: str, *, given: str = "") -> str:
    """What a block prints, with ``kubectl``, ``helm`` and ``stowplan`` at hand, in the root of the checkout.

    Raises: AssertionError when one of its commands fails, subprocess.TimeoutExpired after ``BLOCK_S_MAX``.
    """
    path = [str(Path(sys.executable).parent), str(helm.HELM.ensure().parent), os.environ["PATH"]]
    homes = str(kubeconfig.with_name("helm"))
    environment = {
        **os.environ,
        "PATH": ":".join(path),
        "KUBECONFIG": str(kubeconfig),
        **{f"HELM_{what}_HOME": homes for what in ("CACHE", "CONFIG", "DATA")},
    }
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", block],
        cwd=ROOT, env=environment, input=given, capture_output=True, text=True, timeout=BLOCK_S_MAX,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, f"{block}\n{done.stdout}\n{done.stderr}"
    return done.stdout

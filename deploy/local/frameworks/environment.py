"""The environment that the pods' programs run in: TensorFlow and PyTorch, apart from the project's own.

5 GB that nothing else needs, so it lies in the cache, by the hash of what is in it; a fresh clone finds it.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

from deploy.local.directories import cache_root
from deploy.local.errors import BuildFailed
from deploy.local.locks import locked

REQUIREMENTS: Final = ("tensorflow-cpu==2.21.0", "torch==2.15.0", "scikit-learn>=1.5,<2")
INSTALL_TIMEOUT_S: Final = 1_800


def ensure_environment() -> Path:
    """The environment's Python, installed now unless it was before. Raises: BuildFailed."""
    digest = hashlib.sha256("\n".join((*REQUIREMENTS, sys.version)).encode()).hexdigest()[:20]
    place = cache_root() / "frameworks" / digest
    python = place / "bin" / "python"
    with locked(place.with_suffix(".lock")):
        # The marker comes last: an installation that was broken off is begun anew.
        if not (place / "installed").exists():
            shutil.rmtree(place, ignore_errors=True)
            _run([sys.executable, "-m", "venv", "--without-pip", str(place)])
            uv = str(Path(sys.executable).with_name("uv"))
            _run([uv, "pip", "install", "--quiet", "--python", str(python), *REQUIREMENTS])
            (place / "installed").touch()
    return python


def _run(command: list[str]) -> None:
    done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_TIMEOUT_S, check=False)
    if done.returncode != 0:
        raise BuildFailed(f"{' '.join(command[:3])} failed: {done.stderr[-2000:]}")

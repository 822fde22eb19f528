"""Where built binaries and the state of local clusters live: outside the checkout."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path


def cache_root() -> Path:
    """What can be made again: $STOWPLAN_CACHE, else $XDG_CACHE_HOME/stowplan, else ~/.cache/stowplan."""
    return _root("STOWPLAN_CACHE", "XDG_CACHE_HOME", Path(".cache"))


def state_root() -> Path:
    """Named clusters: $STOWPLAN_STATE, else $XDG_STATE_HOME/stowplan, else ~/.local/state/stowplan."""
    return _root("STOWPLAN_STATE", "XDG_STATE_HOME", Path(".local/state"))


def content_name(parts: Iterable[bytes]) -> str:
    """The folder of what is built from these parts; the same bytes cut elsewhere have another name."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(len(part).to_bytes(8, "big"))
        digest.update(part)
    return digest.hexdigest()[:20]


def _root(own: str, standard: str, below_home: Path) -> Path:
    if named := os.environ.get(own):
        return Path(named).absolute()
    if named := os.environ.get(standard):
        return Path(named).absolute() / "stowplan"
    return Path.home() / below_home / "stowplan"

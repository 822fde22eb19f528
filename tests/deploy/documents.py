"""Manifests as they are rendered, and what tests ask of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from deploy.local.cluster import Cluster

Json = dict[str, Any]
KUBECTL = Path(sys.executable).with_name("kubectl")


def parsed(text: str) -> list[Json]:
    return [document for document in yaml.safe_load_all(text) if document is not None]


def named(documents: list[Json], kind: str, name: str) -> Json:
    """The one object of this kind and name."""
    (found,) = (d for d in documents if d["kind"] == kind and d["metadata"]["name"] == name)
    return found


def of_kind(documents: list[Json], *kinds: str) -> list[Json]:
    return [document for document in documents if document["kind"] in kinds]


def kubectl(cluster: Cluster, *words: str, given: str = "") -> str:
    """As the administrator. Raises: AssertionError with what kubectl says."""
    command = [str(KUBECTL), "--kubeconfig", str(cluster.admin_kubeconfig), *words]
    done = subprocess.run(command, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{' '.join(words)}: {done.stderr[-3000:]}"
    return done.stdout

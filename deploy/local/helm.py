"""Helm itself, built from Go modules and kept outside the checkout: ``python -m deploy.local.helm``.

Cold this takes about two minutes on two cores. The chart is rendered by what an admin will render it with.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

from deploy.local.errors import LocalError
from deploy.local.gotools import GoTool

CHART: Final = Path(__file__).resolve().parents[1] / "chart"
HELM: Final = GoTool(
    name="helm", module=Path(__file__).with_name("helmmodule"), package="helm.sh/helm/v4/cmd/helm"
)
COMMAND_S_MAX: Final = 60.0
ERROR_CHARACTERS_MAX: Final = 4_000


class HelmRefused(LocalError):
    """Helm said no; the message is what it said."""


def template(
    values: Mapping[str, object] | None = None,
    *,
    namespace: str = "stowplan-system",
    kube_version: str | None = None,
) -> str:
    """The chart's manifests, CRDs included, as ``helm template`` renders them for a Kubernetes version.

    Raises: BuildFailed, HelmRefused with Helm's words, for example for values that break the schema.
    """
    words = ["template", "stowplan", str(CHART), "--namespace", namespace, "--include-crds", "--values", "-"]
    words += [] if kube_version is None else ["--kube-version", kube_version]
    return run(words, given=json.dumps(values or {}))


def run(arguments: Sequence[str], *, given: str = "") -> str:
    """Standard output of one Helm command. Raises: BuildFailed, HelmRefused."""
    done = HELM.run(arguments, given=given, timeout_s=COMMAND_S_MAX)
    if done.returncode != 0:
        raise HelmRefused((done.stderr + done.stdout)[-ERROR_CHARACTERS_MAX:])
    return done.stdout


if __name__ == "__main__":
    try:
        print(HELM.ensure())
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

"""Kubeflow's training-operator, unmodified, beside a local cluster.

Built once from its Go module and kept outside the checkout, with the CRDs of the same module. Outside a
cluster it wants what its own manifests would have given it: its namespace, a Secret that it fills with
certificates, a webhook configuration to put them into, and the Secret's files where a pod would mount it.
"""

from __future__ import annotations

import asyncio
import base64
import os
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import msgspec

from deploy.local import manifests, processes, toolchain
from deploy.local.cluster import Cluster
from deploy.local.directories import cache_root
from deploy.local.errors import BuildFailed, LocalError
from deploy.local.locks import locked
from deploy.local.private_mounts import ENTER
from scheduler.kube.transport import AlreadyExists, Transport

MODULE: Final = "github.com/kubeflow/training-operator"
VERSION: Final = "v1.8.1"
BUILD_TIMEOUT_S: Final = 1_500
READY_TIMEOUT_S: Final = 120.0
POLL_S: Final = 0.1
KINDS: Final = ("tfjob", "pytorchjob")
#: Where the operator looks for its certificates, whatever TMPDIR says (pkg/cert/cert.go).
MOUNTED: Final = Path("/", "tmp", "k8s-webhook-server")
_LAUNCH: Final = f"""{ENTER}
import sys
failed = enter(0, [(sys.argv[1], sys.argv[2])])
if failed:
    sys.exit("cannot mount the operator's certificates: " + failed)
os.execv(sys.argv[3], sys.argv[3:])
"""
_SECRET: Final = "/api/v1/namespaces/kubeflow/secrets/training-operator-webhook-cert"
_CERTIFICATES: Final = ("ca.crt", "ca.key", "tls.crt", "tls.key")


class _Module(msgspec.Struct):
    directory: str = msgspec.field(name="Dir", default="")
    error: str = msgspec.field(name="Error", default="")


class _Secret(msgspec.Struct):
    data: dict[str, str] | None = None


def ensure_operator() -> Path:
    """A folder with the binary ``training-operator`` and ``crds/``, built now unless it was before.

    Raises: BuildFailed with the end of what the compiler said.
    """
    place = cache_root() / "training-operator" / VERSION
    with locked(place.with_name(f"{VERSION}.lock")):
        if not place.exists():
            partial = place.with_name(f"{VERSION}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir(parents=True)
            _build(toolchain.install(toolchain.choose()), partial)
            partial.rename(place)
    return place


def _build(go: Path, into: Path) -> None:
    environment = {**os.environ, "CGO_ENABLED": "0", "GOBIN": str(into), "GOTOOLCHAIN": "local"}
    _run([go, "install", "-trimpath", f"{MODULE}/cmd/training-operator.v1@{VERSION}"], environment)
    (into / "training-operator.v1").rename(into / "training-operator")
    told = _run([go, "mod", "download", "-json", f"{MODULE}@{VERSION}"], environment)
    module = msgspec.json.decode(told, type=_Module)
    shutil.copytree(Path(module.directory) / "manifests" / "base" / "crds", into / "crds")
    (into / "crds" / "kustomization.yaml").unlink()


def _run(command: Sequence[str | Path], environment: dict[str, str]) -> bytes:
    done = subprocess.run(
        command, env=environment, cwd="/", capture_output=True, timeout=BUILD_TIMEOUT_S, check=False
    )
    if done.returncode != 0:
        raise BuildFailed(f"{command[1]} of {MODULE} failed: {done.stderr.decode()[-2000:]}")
    return done.stdout


@asynccontextmanager
async def running_operator(
    cluster: Cluster, admin: Transport, ports: tuple[int, int, int]
) -> AsyncIterator[Path]:
    """The operator until the block is left; gives the path of its log.

    ports: for metrics, health and webhooks.
    """
    built = await asyncio.to_thread(ensure_operator)
    await manifests.apply(admin, sorted((built / "crds").glob("*.yaml")))
    await _surroundings(admin)
    folder = cluster.directory / "training-operator"
    certificates = folder / "k8s-webhook-server" / "serving-certs"
    certificates.mkdir(parents=True, exist_ok=True)
    metrics, health, webhooks = ports
    MOUNTED.mkdir(parents=True, exist_ok=True)
    command: list[str | Path] = [sys.executable, "-I", "-S", "-c", _LAUNCH, certificates.parent, str(MOUNTED)]
    command += [built / "training-operator"]
    command += ["--kubeconfig", cluster.admin_kubeconfig, "--webhook-server-port", str(webhooks)]
    command += ["--metrics-bind-address", f"127.0.0.1:{metrics}"]
    command += ["--health-probe-bind-address", f"127.0.0.1:{health}"]
    for kind in KINDS:
        command += ["--enable-scheme", kind]
    log = folder / "operator.log"
    process = processes.spawn(command, directory=folder, log=log, is_tethered=False)
    try:
        try:
            async with asyncio.timeout(READY_TIMEOUT_S):
                await _certificates(admin, certificates)
        except TimeoutError as error:
            raise LocalError(
                f"the training-operator is not ready; its log ends with:\n{tail(log)}"
            ) from error
        yield log
    finally:
        await asyncio.to_thread(processes.end, process)


def tail(log: Path) -> str:
    return processes.log_tail(log)


async def _surroundings(admin: Transport) -> None:
    """What the operator's own manifests would have made: all but a Deployment."""
    webhook = "validator.training-operator.kubeflow.org"
    objects = (
        ("/api/v1/namespaces", {"metadata": {"name": "kubeflow"}}),
        (_SECRET.rpartition("/")[0], {"metadata": {"name": _SECRET.rpartition("/")[2]}}),
        (
            "/apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
            {"metadata": {"name": webhook}, "webhooks": []},
        ),
    )
    for path, body in objects:
        try:
            await admin.request("POST", path, body=msgspec.json.encode(body))
        except AlreadyExists:
            continue
    await manifests.until_served(
        admin, (f"/apis/kubeflow.org/v1/{plural}" for plural in ("tfjobs", "pytorchjobs"))
    )


async def _certificates(admin: Transport, folder: Path) -> None:
    """Put the files in place that a pod would have mounted, once the operator has made them."""
    while True:
        secret = await admin.get(_SECRET, _Secret)
        data = secret.data or {}
        if all(data.get(name) for name in _CERTIFICATES):
            break
        await asyncio.sleep(POLL_S)
    for name in _CERTIFICATES:
        (folder / name).write_bytes(base64.b64decode(data[name]))

"""A container of a rendered pod template as a process: what a kubelet would do with it, as far as Linux goes.

It runs the template's own command, arguments and environment, with a token that the API server issued to the
pod's service account and the ConfigMaps it mounts, in a mount namespace whose root is read-only.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import msgspec
from yarl import URL

from deploy.local.cluster import Cluster
from deploy.local.nvml.build import ensure_library
from deploy.local.nvml.library import TABLE_VARIABLE, FakeNode
from scheduler.kube.transport import NotFound, Transport
from tests.deploy.documents import Json, named

END_S: Final = 20.0
SERVICE_ACCOUNT: Final = "/run/secrets/kubernetes.io/serviceaccount"
#: An own /run and an own /etc to mount into; then nothing outside of them can be written.
_CONFINE: Final = """
set -e
scratch=$1; shift
mount -t tmpfs none "$scratch"
mkdir "$scratch/upper" "$scratch/work"
mount -t overlay none -o "lowerdir=/etc,upperdir=$scratch/upper,workdir=$scratch/work" /etc
mount -t tmpfs none /run
while [ "$1" != -- ]; do
  mkdir -p "$2"
  mount --bind "$1" "$2"
  mount -o remount,bind,ro "$2"
  shift 2
done
shift
mount -o remount,bind,ro /
exec "$@"
"""


@dataclass(kw_only=True)
class Container:
    """One container. ``log`` takes both of its outputs."""

    process: asyncio.subprocess.Process
    log: Path
    url: URL

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-4000:]

    async def ended(self, timeout_s: float = END_S) -> int:
        async with asyncio.timeout(timeout_s):
            return await self.process.wait()

    async def stop(self) -> int:
        """SIGTERM as a kubelet sends it, SIGKILL after the grace period."""
        if self.process.returncode is None:
            self.process.terminate()
        try:
            return await self.ended()
        except TimeoutError:
            self.process.kill()
            return await self.ended()


@dataclass(kw_only=True)
class Kubelet:
    """Starts containers of the rendered ``documents``; they end with the block it was made in."""

    cluster: Cluster
    api: Transport
    folder: Path
    documents: list[Json]
    started: list[Container] = field(default_factory=list)

    async def start(
        self, kind: str, name: str, *, port: int, node: str = "", extra: Mapping[str, str] | None = None
    ) -> Container:
        """The first container of a workload. port: its metrics port here instead of the template's.

        node: the pod is one of that node, by its token as well. extra: more environment variables.
        """
        workload = named(self.documents, kind, name)
        spec: Json = workload["spec"]["template"]["spec"]
        namespace: str = workload["metadata"]["namespace"]
        number = len(self.started)
        place = self.folder / f"{name}-{number}"
        (place / "scratch").mkdir(parents=True)
        token = await self._token(namespace, spec, f"{name}-{number}", node)
        mounts = [(self._service_account(place, token, namespace), SERVICE_ACCOUNT)]
        container: Json = spec["containers"][0]
        mounts += self._config_maps(place, spec, container, port)
        words = [*container["command"], *container.get("args", [])]
        words = [str(port) if word == str(_port(container)) else word for word in words]
        flat = [text for source, target in mounts for text in (str(source), target)]
        unshare = ["unshare", "--mount", "--propagation", "private"]
        unshare += [] if os.getuid() == 0 else ["--map-root-user"]
        with (place / "log").open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *unshare, "bash", "-c", _CONFINE, "confine", str(place / "scratch"), *flat, "--", *words,
                env=self._environment(container, node) | dict(extra or {}),
                stdout=log, stderr=log, stdin=asyncio.subprocess.DEVNULL,
            )  # fmt: skip
        found = Container(process=process, log=place / "log", url=URL(f"http://127.0.0.1:{port}"))
        self.started.append(found)
        return found

    async def _token(self, namespace: str, spec: Json, pod: str, node: str) -> str:
        """From the API server's TokenRequest, bound to a pod that exists, as a kubelet asks for it."""
        account: str = spec["serviceAccountName"]
        request: Json = {"spec": {"audiences": [], "expirationSeconds": 3600}}
        if node:
            uid = await self._pod(namespace, pod, account, node)
            request["spec"]["boundObjectRef"] = {"apiVersion": "v1", "kind": "Pod", "name": pod, "uid": uid}
        path = f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token"
        answer = await self.api.request("POST", path, body=msgspec.json.encode(request))
        token: str = msgspec.json.decode(answer)["status"]["token"]
        return token

    async def _pod(self, namespace: str, name: str, account: str, node: str) -> str:
        """The UID of a pod object that is on the node."""
        path = f"/api/v1/namespaces/{namespace}/pods"
        with suppress(NotFound):
            await self.api.delete(f"{path}/{name}", grace_s=0)
        spec = {"serviceAccountName": account, "nodeName": node, "containers": [{"name": "c", "image": "i"}]}
        body = msgspec.json.encode({"metadata": {"name": name}, "spec": spec})
        made = msgspec.json.decode(await self.api.request("POST", path, body=body))
        uid: str = made["metadata"]["uid"]
        return uid

    def _service_account(self, place: Path, token: str, namespace: str) -> Path:
        folder = place / "serviceaccount"
        folder.mkdir()
        (folder / "token").write_text(token)
        (folder / "namespace").write_text(namespace)
        shutil.copy(self.cluster.directory / "pki" / "ca.crt", folder / "ca.crt")
        return folder

    def _config_maps(self, place: Path, spec: Json, container: Json, port: int) -> list[tuple[Path, str]]:
        mounts = []
        for volume in spec.get("volumes", []):
            folder = place / volume["name"]
            folder.mkdir()
            # A folder of the node is empty here: no kubelet serves a socket in it.
            name = volume.get("configMap", {}).get("name", "")
            data: Json = named(self.documents, "ConfigMap", name)["data"] if name else {}
            for key, text in data.items():
                # Containers of one machine cannot share a port as pods can.
                (folder / key).write_text(
                    text.replace("address: 0.0.0.0", f"address: 127.0.0.1\n  port: {port}")
                )
            where = next(m for m in container["volumeMounts"] if m["name"] == volume["name"])
            mounts.append((folder, str(where["mountPath"])))
        return mounts

    def _environment(self, container: Json, node: str) -> dict[str, str]:
        url = URL(self.cluster.url)
        found = {
            # As the image has it.
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "KUBERNETES_SERVICE_HOST": str(url.host),
            "KUBERNETES_SERVICE_PORT": str(url.port),
        }
        for variable in container.get("env", []):
            source: dict[str, Any] | None = variable.get("valueFrom")
            if source is not None:
                assert source == {"fieldRef": {"fieldPath": "spec.nodeName"}}, source
            found[variable["name"]] = node if source is not None else variable["value"]
        return found


def _port(container: Json) -> int:
    port: int = container["ports"][0]["containerPort"]
    return port


@asynccontextmanager
async def kubelet(
    cluster: Cluster, api: Transport, folder: Path, documents: list[Json]
) -> AsyncIterator[Kubelet]:
    made = Kubelet(cluster=cluster, api=api, folder=folder, documents=documents)
    try:
        yield made
    finally:
        for container in made.started:
            await container.stop()


def fake_driver(node: FakeNode) -> dict[str, str]:
    """The environment in which a container finds what its runtime would bring in: the driver's library."""
    return {
        "LD_LIBRARY_PATH": str(ensure_library().parent),
        TABLE_VARIABLE: str(node.table_file),
    }

"""``make bench-agent``: what the agent costs its node and the API server, on the fake library at rest.

Writes build/bench/agent.json: resident memory, CPU of a probe of eight devices, CPU and API writes a minute.
"""

from __future__ import annotations

import asyncio
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import msgspec
import pynvml

from deploy.local.cluster import Cluster, running_cluster
from deploy.local.manifests import DEPLOY, apply
from deploy.local.nvml.build import ensure_library
from deploy.local.nvml.library import TABLE_VARIABLE, FakeLibrary, FakeNode, shipped
from scheduler.inventory.probe import probe
from scheduler.inventory.publish import gpu_node
from scheduler.inventory.writer import PATH
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import ApiError, Transport
from scheduler.kube.wire.inventory import GPUNode

RESULT = Path("build") / "bench" / "agent.json"
PROBES = 500
WARM_UP_S = 15.0
REST_S = 120.0
NODES = 5_000
_AGENT = "import sys; from scheduler.cli.agent import main; sys.exit(main(sys.argv[1:]))"


@dataclass(frozen=True)
class _Usage:
    cpu_s: float
    writes: float
    probes: float


def main() -> int:
    """Print and keep the figures."""
    with tempfile.TemporaryDirectory() as folder, running_cluster() as cluster:
        node = FakeNode(Path(folder), "bench", shipped("h100-nvswitch"))
        asyncio.run(_install(cluster))
        figures = {**_one_probe(node), **_at_rest(cluster, node)}
    figures["machine"] = f"{platform.machine()}, {os.cpu_count()} cores, Python {platform.python_version()}"
    RESULT.parent.mkdir(parents=True, exist_ok=True)
    text = msgspec.json.format(msgspec.json.encode(figures)).decode()
    RESULT.write_text(f"{text}\n")
    print(text)
    return 0


def _one_probe(node: FakeNode) -> dict[str, object]:
    """Of eight devices, with the library's own time; a real driver adds its own."""
    FakeLibrary().use(node.table_file)
    probe(pynvml)
    begun_s = time.process_time()
    for _ in range(PROBES):
        report = probe(pynvml)
    used_s = time.process_time() - begun_s
    size = len(msgspec.json.encode(gpu_node(report, "bench", time.time())))
    return {"probe_cpu_ms": round(used_s / PROBES * 1_000, 3), "gpunode_bytes": size}


def _at_rest(cluster: Cluster, node: FakeNode) -> dict[str, object]:
    port = 18_000 + os.getpid() % 10_000
    environment = {
        **os.environ,
        "LD_LIBRARY_PATH": str(ensure_library().parent),
        TABLE_VARIABLE: str(node.table_file),
        "NODE_NAME": node.name,
        "KUBECONFIG": str(cluster.admin_kubeconfig),
    }
    agent = subprocess.Popen([sys.executable, "-c", _AGENT, "--metrics-port", str(port)], env=environment)
    try:
        _pass(agent, WARM_UP_S)
        before = _usage(agent.pid, port)
        _pass(agent, REST_S)
        after = _usage(agent.pid, port)
        memory = Path(f"/proc/{agent.pid}/status").read_text()
    finally:
        agent.terminate()
        agent.wait(10.0)
    minutes = REST_S / 60
    writes = (after.writes - before.writes) / minutes
    healthy = asyncio.run(_healthy(cluster, node.name))
    return {
        "rss_mib": round(_field(memory, "VmRSS") / 1_024, 1),
        "rss_peak_mib": round(_field(memory, "VmHWM") / 1_024, 1),
        "cpu_ms_per_minute": round((after.cpu_s - before.cpu_s) / minutes * 1_000, 1),
        "probes_per_minute": round((after.probes - before.probes) / minutes, 1),
        "writes_per_minute": round(writes, 2),
        "writes_per_second_at_5000_nodes": round(writes / 60 * NODES, 1),
        "healthy_devices_told": healthy,
        "exit_code": agent.returncode,
    }


def _pass(agent: subprocess.Popen[bytes], seconds: float) -> None:
    """Let time pass. Raises: RuntimeError when the agent ends meanwhile."""
    try:
        code = agent.wait(seconds)
    except subprocess.TimeoutExpired:
        return
    raise RuntimeError(f"the agent ended with {code}")


def _usage(pid: int, port: int) -> _Usage:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5.0) as answer:
        told = answer.read().decode()
    return _Usage(
        cpu_s=(int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"),
        writes=_sample(told, "stowplan_agent_writes_total"),
        probes=_sample(told, "stowplan_agent_probe_seconds_count"),
    )


def _sample(told: str, name: str) -> float:
    found = re.search(rf"^{name} (\S+)$", told, re.MULTILINE)
    return float(found[1]) if found else 0.0


def _field(status: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", status, re.MULTILINE)
    return int(found[1]) if found else 0


async def _install(cluster: Cluster) -> None:
    async with Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig)) as api:
        await apply(api, [DEPLOY / "crds" / "gpunodes.yaml"])
        async with asyncio.timeout(30.0):
            while True:
                try:
                    await api.request("GET", PATH)
                    return
                except ApiError:
                    await asyncio.sleep(0)


async def _healthy(cluster: Cluster, name: str) -> int | None:
    async with Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig)) as api:
        return (await api.get(f"{PATH}/{name}", GPUNode)).status.healthy


if __name__ == "__main__":
    sys.exit(main())

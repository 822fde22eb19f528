"""``stowplan agent``: the NVML agent of one node."""

from __future__ import annotations

import argparse
import asyncio
import os
import signal
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path

from scheduler.cli.connection import endpoint
from scheduler.cli.failure import EXIT_FAILED, EXIT_USAGE, Failure
from scheduler.inventory.agent import Agent, AgentSettings
from scheduler.inventory.nvml import Nvml
from scheduler.inventory.pod_resources import SOCKET, PodResources
from scheduler.inventory.processes import owner_by_cgroup
from scheduler.inventory.report import NodeState
from scheduler.inventory.serve import AgentServer
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import ClusterError, Transport
from scheduler.live import logs

#: No driver or no device here, and told so; not an error where a node has no GPUs.
EXIT_NO_DEVICES = 3
#: The driver was replaced: a new process loads its library.
EXIT_START_ANEW = 4
#: In the container the downward API sets it (spec.nodeName).
NODE_VARIABLE = "NODE_NAME"
HEARTBEAT_S_MAX = 24.0

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_EXITS: dict[NodeState, int] = {
    "NoDriver": EXIT_NO_DEVICES,
    "NoDevices": EXIT_NO_DEVICES,
    "DriverMismatch": EXIT_START_ANEW,
}


def main(words: Sequence[str]) -> int:
    """The command line after ``stowplan agent``; the exit code, as ``start`` says.

    Read with argparse: the agent's image has none of the scheduler's libraries, and its memory is counted.
    """
    parser = argparse.ArgumentParser(
        prog="stowplan agent", description="Write what NVML says about this node's GPUs."
    )
    parser.add_argument("--node-name", help=f"this node's name; else ${NODE_VARIABLE}")
    parser.add_argument("--kubeconfig", type=Path, help="else $KUBECONFIG, else the pod's service account")
    parser.add_argument("--context", help="of the kubeconfig")
    parser.add_argument("--once", action="store_true", help="probe, write and end")
    parser.add_argument(
        "--wait-for-driver", action="store_true", help="stay where there is no driver or no device"
    )
    parser.add_argument("--heartbeat", type=float, default=20.0, metavar="SECONDS", help="while at rest; 20")
    parser.add_argument("--metrics-address", default="0.0.0.0", help="every address of the pod unless given")
    parser.add_argument("--metrics-port", type=int, help="serve /metrics and /livez there")
    parser.add_argument("--pod-resources", type=Path, default=SOCKET, help=f"the kubelet's socket; {SOCKET}")
    parser.add_argument("--log-format", choices=("json", "console"), default="json")
    given = parser.parse_args(words)
    return start(
        given.kubeconfig,
        given.context,
        node_name=given.node_name,
        once=given.once,
        wait_for_driver=given.wait_for_driver,
        heartbeat_s=given.heartbeat,
        metrics_address=given.metrics_address,
        metrics_port=given.metrics_port,
        pod_resources=given.pod_resources,
        log_format=given.log_format,
    )


def start(
    kubeconfig: Path | None,
    context: str | None,
    *,
    node_name: str | None = None,
    once: bool = False,
    wait_for_driver: bool = False,
    heartbeat_s: float = 20.0,
    metrics_address: str = "0.0.0.0",
    metrics_port: int | None = None,
    pod_resources: Path = SOCKET,
    log_format: logs.Format = "json",
) -> int:
    """Run the agent until it is told to stop or has nothing to do; its exit code.

    0 told to stop (or ``once`` and devices), 1 the API server or the port, 2 wrong arguments, 3 no driver or
    no device, 4 the driver was replaced and the agent must start anew.
    Raises: Failure for a wrong argument or an endpoint that cannot be made out.
    """
    name = node_name or os.environ.get(NODE_VARIABLE, "")
    if not name:
        raise Failure(f"which node is this? give --node-name NAME or set {NODE_VARIABLE}", code=EXIT_USAGE)
    if not 1.0 <= heartbeat_s <= HEARTBEAT_S_MAX:
        raise Failure(
            f"--heartbeat {heartbeat_s:g}: give 1 to {HEARTBEAT_S_MAX:g} seconds; the scheduler trusts no "
            "probe older than 30 s",
            code=EXIT_USAGE,
        )
    logs.configure(log_format, "info")
    settings = AgentSettings(
        node_name=name,
        boot_id=_boot_id(),
        once=once,
        wait_for_driver=wait_for_driver,
        heartbeat_s=heartbeat_s,
    )
    where = endpoint(kubeconfig, context)
    try:
        return asyncio.run(_run(settings, where, metrics_address, metrics_port, pod_resources))
    except ClusterError as error:
        raise Failure(f"{where.base_url}: {error}", code=EXIT_FAILED) from error
    except OSError as error:
        raise Failure(f"metrics on {metrics_address}:{metrics_port}: {error}", code=EXIT_FAILED) from error


async def _run(
    settings: AgentSettings, where: Endpoint, address: str, port: int | None, pod_resources: Path
) -> int:
    # Imported here: without NVML's Python module the command still tells what is wrong with its arguments.
    import pynvml

    api: Nvml = pynvml
    async with Transport(where, user_agent="stowplan-agent", connections_max=2) as transport:
        kubelet = PodResources(pod_resources, clock=time.time)
        agent = Agent(api, transport, settings, owner=owner_by_cgroup(), grants=kubelet.grants)
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, agent.stop)
        async with AsyncExitStack() as stack:
            if port is not None:
                server = AgentServer(agent.metrics.registry, address=address, port=port)
                await stack.enter_async_context(server)
            state = await agent.run()
    return 0 if agent.is_stopping else _EXITS.get(state, 0)


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text().strip()
    except OSError:
        return ""

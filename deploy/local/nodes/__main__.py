"""``python -m deploy.local.nodes``: nodes for a local cluster, until SIGINT or SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import signal
import sys
import tempfile
from collections.abc import Coroutine
from pathlib import Path

from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.mischief import ControlFileError, read_control
from deploy.local.nodes.pools import NodeFileError, Pool, read_pools
from deploy.local.nvml.errors import ScenarioError
from deploy.local.nvml.library import read_scenario
from scheduler.kube.transport import ClusterError, Endpoint, Transport

_CONTROL_PERIOD_S = 0.5

log = logging.getLogger("deploy.local.nodes")


def main() -> int:
    """Exit codes: 0 told to stop, 1 the API server or the network, 2 a bad file."""
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    arguments = _parser().parse_args()
    try:
        pools = read_pools(arguments.nodes)
        asyncio.run(_play(arguments, pools))
    except (NodeFileError, ControlFileError) as error:
        print(error, file=sys.stderr)
        return 2
    except ClusterError as error:
        print(f"API server of {arguments.kubeconfig}: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m deploy.local.nodes", description=__doc__)
    parser.add_argument("--kubeconfig", type=Path, required=True)
    parser.add_argument("--nodes", type=Path, required=True, help="node file (docs/examples/clusters)")
    parser.add_argument("--report", type=Path, help="write counts here at the end and on SIGUSR1")
    parser.add_argument("--control", type=Path, help="mischief as JSON, read again whenever it changes")
    parser.add_argument("--scenarios", type=Path, help="folder of NODE.yaml: what a node's NVML says")
    parser.add_argument("--logs", type=Path, help="folder for the output of pods' commands")
    parser.add_argument(
        "--lease-interval", type=float, help="seconds; 10, or longer to stay below 50 writes/s"
    )
    return parser


async def _play(arguments: argparse.Namespace, pools: tuple[Pool, ...]) -> None:
    control: Path | None = arguments.control
    mischief = read_control(control) if control else {}
    logs: Path = arguments.logs or Path(tempfile.mkdtemp(prefix="stowplan-pods-"))
    settings = Settings(logs=logs, lease_interval_s=arguments.lease_interval)
    endpoint = Endpoint.from_kubeconfig(str(arguments.kubeconfig))
    transport = Transport(endpoint, user_agent="stowplan-nodes", connections_max=2 * settings.writes_at_once)
    async with transport, NodeActor(transport, pools, settings=settings, mischief=mischief) as actor:
        told = _told_to_stop()
        if arguments.report:
            asyncio.get_running_loop().add_signal_handler(
                signal.SIGUSR1, _write_report, actor, arguments.report
            )
        pace = actor.heartbeats.writes_per_s
        print(f"{len(actor.nodes)} nodes ready, {pace:.1f} lease writes/s, logs in {logs}", flush=True)
        try:
            await _until_first(
                told.wait(),
                actor.wait(),
                _follow(control, actor),
                _scenarios(arguments.scenarios, actor),
            )
        finally:
            if arguments.report:
                _write_report(actor, arguments.report)


def _told_to_stop() -> asyncio.Event:
    told = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    return told


async def _follow(control: Path | None, actor: NodeActor) -> None:
    """Pass the control file on whenever it changes; one that cannot be read is logged and changes nothing."""
    if control is None:
        await asyncio.get_running_loop().create_future()
        return
    known = read_control(control)
    while True:
        await asyncio.sleep(_CONTROL_PERIOD_S)
        try:
            wanted = read_control(control)
        except ControlFileError as error:
            log.warning("%s", error)
            continue
        if wanted != known:
            await actor.misbehave(wanted)
            known = wanted


async def _scenarios(folder: Path | None, actor: NodeActor) -> None:
    """Play each node's scenario whenever its file changes; one that cannot be read is logged."""
    if folder is None:
        await asyncio.get_running_loop().create_future()
        return
    known: dict[str, int] = {}
    while True:
        for node in actor.nodes:
            file = folder / f"{node.name}.yaml"
            changed_ns = file.stat().st_mtime_ns if file.is_file() else 0
            if changed_ns and known.get(node.name) != changed_ns:
                known[node.name] = changed_ns
                try:
                    actor.play(node.name, read_scenario(file))
                except (ScenarioError, LookupError) as error:
                    log.warning("%s", error)
        await asyncio.sleep(_CONTROL_PERIOD_S)


def _write_report(actor: NodeActor, path: Path) -> None:
    actor.report().write(path)


async def _until_first(*work: Coroutine[object, None, object]) -> None:
    """Run all until one ends, and raise what it raised."""
    tasks = [asyncio.ensure_future(part) for part in work]
    done, rest = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in rest:
        task.cancel()
    await asyncio.gather(*rest, return_exceptions=True)
    for task in done:
        task.result()


if __name__ == "__main__":
    sys.exit(main())

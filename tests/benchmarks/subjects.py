"""The schedulers under test, as processes: kube-scheduler and ``stowplan run``, started alike."""

from __future__ import annotations

import asyncio
import ctypes
import os
import signal
import sys
import time
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import yaml

from deploy.local import components
from deploy.local.build import ensure_binary
from deploy.local.cluster import Cluster
from tests.benchmarks.control import BenchmarkFailed

Name = Literal["kube-scheduler", "stowplan"]
NAMES: Final[tuple[Name, ...]] = ("kube-scheduler", "stowplan")
#: What a pod says in spec.schedulerName to be placed by it.
SCHEDULER_NAME: Final[dict[Name, str]] = {"kube-scheduler": "default-scheduler", "stowplan": "stowplan"}
#: High enough that kube-scheduler's own client never waits.
CLIENT_QPS: Final = 5_000
STOP_S: Final = 30.0
TAIL_BYTES: Final = 2_000
#: linux/prctl.h
PR_SET_PDEATHSIG: Final = 1
_MIB: Final = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Of one process until now, from /proc (proc(5)): rss_mib is its resident set, peak_mib the largest."""

    cpu_s: float
    rss_mib: float
    peak_mib: float


class Subject:
    """A started scheduler. ``started_s`` is ``time.monotonic`` right before it was executed."""

    def __init__(self, process: asyncio.subprocess.Process, started_s: float, log: Path) -> None:
        self._process = process
        self.started_s = started_s
        self.log = log

    def usage(self) -> Usage:
        """Raises BenchmarkFailed if it is gone."""
        folder = Path(f"/proc/{self._process.pid}")
        try:
            # The command, second, may hold spaces; user and system time are fields 14 and 15.
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
            rss, peak = (int(status[key].split()[0]) * 1024 / _MIB for key in ("VmRSS", "VmHWM"))
        except (FileNotFoundError, ProcessLookupError, KeyError) as error:
            raise BenchmarkFailed(f"the scheduler is gone; {self._last_words()}") from error
        ticks = int(fields[11]) + int(fields[12])
        return Usage(cpu_s=ticks / os.sysconf("SC_CLK_TCK"), rss_mib=rss, peak_mib=peak)

    async def while_alive(self, work: Coroutine[object, object, None]) -> None:
        """Do the work. Raises BenchmarkFailed when the process ends before it is done."""
        working = asyncio.ensure_future(work)
        ending = asyncio.ensure_future(self._process.wait())
        try:
            await asyncio.wait({working, ending}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise BenchmarkFailed(f"the scheduler ended with {ending.result()}; {self._last_words()}")
            working.result()
        finally:
            for task in (working, ending):
                task.cancel()
            await asyncio.gather(working, ending, return_exceptions=True)

    async def lives_on(self, seconds: float) -> None:
        """Time passes for it. Raises BenchmarkFailed when the process ends before."""
        try:
            async with asyncio.timeout(seconds):
                code = await self._process.wait()
        except TimeoutError:
            return
        raise BenchmarkFailed(f"the scheduler ended with {code}; {self._last_words()}")

    async def stop(self) -> int:
        """SIGTERM, SIGKILL when that is not enough; the exit code."""
        return await self._end(signal.SIGTERM)

    async def kill(self) -> int:
        """SIGKILL: nothing is released."""
        return await self._end(signal.SIGKILL)

    async def _end(self, number: signal.Signals) -> int:
        if self._process.returncode is None:
            self._process.send_signal(number)
        try:
            async with asyncio.timeout(STOP_S):
                return await self._process.wait()
        except TimeoutError:
            self._process.kill()
            return await self._process.wait()

    def _last_words(self) -> str:
        return f"{self.log} ends with:\n{self.log.read_bytes()[-TAIL_BYTES:].decode(errors='replace')}"


class Launcher:
    """Starts either scheduler; logs and configurations go to ``folder``."""

    def __init__(self, cluster: Cluster, folder: Path, *, packs: bool = False) -> None:
        """``packs``: kube-scheduler fills nodes (MostAllocated) rather than as shipped."""
        folder.mkdir(parents=True, exist_ok=True)
        self._folder = folder
        self._count = 0
        self._stowplan = folder / "stowplan.yaml"
        self._stowplan.write_text(_yaml(_stowplan()), encoding="utf-8")
        kube = folder / "kube-scheduler.yaml"
        settings = _kube_scheduler(cluster.kubeconfig("kube-scheduler")) | (_PACKING if packs else {})
        kube.write_text(_yaml(settings), encoding="utf-8")
        self._kube_command = [
            str(ensure_binary()),
            *components.kube_scheduler(cluster.kubeconfig("kube-scheduler")),
            f"--config={kube}",
        ]
        self._kubeconfig = cluster.kubeconfig("stowplan")

    @asynccontextmanager
    async def started(self, name: Name, *, python: Sequence[str] = ()) -> AsyncIterator[Subject]:
        """The scheduler until the block is left. ``python``: arguments between interpreter and module."""
        self._count += 1
        log = self._folder / f"{self._count:02}-{name}.log"
        command = self._kube_command if name == "kube-scheduler" else self._stowplan_command(python)
        with log.open("wb") as output:
            started_s = time.monotonic()
            process = await asyncio.create_subprocess_exec(
                *command,
                env=self._environment(),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
                preexec_fn=end_with_parent,
            )
        subject = Subject(process, started_s, log)
        try:
            yield subject
        finally:
            await subject.stop()

    def _stowplan_command(self, python: Sequence[str]) -> list[str]:
        options = ["--config", str(self._stowplan), "--kubeconfig", str(self._kubeconfig)]
        return [sys.executable, *python, "-m", "scheduler.cli", "run", *options]

    def _environment(self) -> dict[str, str]:
        """With a cache of compiled Python, as every installation has, also where this shell forbids one."""
        environment = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
        return environment | {"PYTHONPYCACHEPREFIX": str(self._folder.parent / "pycache")}


def _kube_scheduler(kubeconfig: Path) -> dict[str, object]:
    return {
        "apiVersion": "kubescheduler.config.k8s.io/v1",
        "kind": "KubeSchedulerConfiguration",
        "leaderElection": {"leaderElect": False},
        "clientConnection": {"kubeconfig": str(kubeconfig), "qps": CLIENT_QPS, "burst": CLIENT_QPS},
    }


#: Bin-packing as Kubernetes documents it, over what the benchmark's pods ask.
_PACKING: Final[dict[str, object]] = {
    "percentageOfNodesToScore": 100,
    "profiles": [
        {
            "schedulerName": SCHEDULER_NAME["kube-scheduler"],
            "pluginConfig": [
                {
                    "name": "NodeResourcesFit",
                    "args": {
                        "scoringStrategy": {
                            "type": "MostAllocated",
                            "resources": [
                                {"name": "nvidia.com/gpu", "weight": 1},
                                {"name": "cpu", "weight": 1},
                            ],
                        }
                    },
                }
            ],
        }
    ],
}


def _stowplan() -> dict[str, object]:
    """As shipped, lease and fence on; only the port of its health endpoint is any free one."""
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "SchedulerConfiguration",
        "health": {"port": 0},
    }


def _yaml(document: dict[str, object]) -> str:
    return str(yaml.safe_dump(document, sort_keys=False))


def end_with_parent() -> None:
    """Runs in the child: the kernel ends it when the benchmark ends, however that ends (prctl(2))."""
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)

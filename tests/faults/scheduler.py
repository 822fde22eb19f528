"""``stowplan run`` as a process that can be killed, stopped and continued, on its way through the proxy."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import yaml

from deploy.local.cluster import Cluster
from tests.faults.proxy import Proxy

READY_S: Final = 30.0
END_S: Final = 15.0
_READY = re.compile(r"stowplan ready health=(?P<url>\S+) pid=(?P<pid>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """Short leases: a takeover takes seconds. A write may leave until the deadline less its timeout."""

    lease_s: int = 3
    renew_deadline_s: float = 2.4
    retry_s: float = 0.2
    write_timeout_s: float = 0.6
    partial_s: float = 25.0
    stale_s: float = 5.0
    #: As the configuration's own ``policy``.
    policy: Mapping[str, object] = field(default_factory=dict)
    #: As the configuration's own; None asks no autoscaler.
    provisioning: Mapping[str, object] | None = None
    #: As the configuration's own ``volumes``.
    volumes: Mapping[str, object] = field(default_factory=dict)


class SchedulerProcess:
    """A running scheduler. ``log`` is its standard error: one JSON object a line."""

    def __init__(
        self, process: asyncio.subprocess.Process, log: Path, health_url: str, decisions: Path
    ) -> None:
        self._process = process
        self._decisions = decisions
        self.log = log
        self.health_url = health_url

    @property
    def exit_code(self) -> int | None:
        return self._process.returncode

    @property
    def is_alive(self) -> bool:
        return self._process.returncode is None

    def kill(self) -> None:
        """SIGKILL: nothing is released, nothing is finished."""
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        """SIGSTOP: as a virtual machine that is migrated, or a long collection of garbage."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    async def ended(self, timeout_s: float = END_S) -> int:
        """The exit code, negative for a signal. Raises: TimeoutError."""
        async with asyncio.timeout(timeout_s):
            return await self._process.wait()

    async def wait(self) -> None:
        """Return when it has ended."""
        await self._process.wait()

    async def stop(self) -> int:
        """SIGTERM; its exit code, once it is gone."""
        self._signal(signal.SIGCONT)
        self._signal(signal.SIGTERM)
        try:
            return await self.ended()
        except TimeoutError:
            self.kill()
            return await self.ended()

    def decisions(self) -> list[bytes]:
        """The decision records so far, of those that were started before it in the same folder as well."""
        if not self._decisions.exists():
            return []
        # What follows the last end of a line is being written.
        return self._decisions.read_bytes().split(b"\n")[:-1]

    def tail(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")[-2000:]

    def complaints(self) -> list[str]:
        """Lines of the log that no fault excuses: tracebacks and broken invariants."""
        lines = self.log.read_text(encoding="utf-8", errors="replace").splitlines()
        return [line[:2000] for line in lines if "Traceback" in line or "BrokenInvariant" in line]

    def _signal(self, number: int) -> None:
        # The process may have ended between the look and the signal.
        try:
            if self.is_alive:
                os.kill(self._process.pid, number)
        except ProcessLookupError:
            return


class Launcher:
    """Starts schedulers of one configuration; each has its own log in ``folder``."""

    def __init__(self, cluster: Cluster, proxy: Proxy, folder: Path, terms: Terms) -> None:
        self._folder = folder
        self._count = 0
        self._config = folder / "stowplan.yaml"
        self._kubeconfig = folder / "kubeconfig.yaml"
        self._decisions = folder / "decisions.jsonl"
        configuration = _configuration(terms) | {"record": {"path": str(self._decisions)}}
        self._config.write_text(yaml.safe_dump(configuration), encoding="utf-8")
        self._kubeconfig.write_text(_through(cluster.kubeconfig("stowplan"), proxy.url), encoding="utf-8")
        self.started: list[SchedulerProcess] = []

    async def start(self) -> SchedulerProcess:
        """Return when the process has said that it is ready; it need not lead yet."""
        self._count += 1
        log = self._folder / f"scheduler-{self._count}.log"
        command = ["-m", "scheduler.cli", "run", "--config", str(self._config)]
        with log.open("wb") as stderr:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *command,
                "--kubeconfig",
                str(self._kubeconfig),
                stdout=asyncio.subprocess.PIPE,
                stderr=stderr,
            )
        assert process.stdout is not None
        try:
            async with asyncio.timeout(READY_S):
                line = (await process.stdout.readline()).decode()
            said = _READY.search(line)
            assert said is not None, f"no ready line but {line!r}: {log.read_text(errors='replace')[-4000:]}"
        except BaseException:
            with suppress(ProcessLookupError):
                process.kill()
            raise
        found = SchedulerProcess(process, log, said["url"], self._decisions)
        self.started.append(found)
        return found

    async def stop(self) -> None:
        """End what still runs."""
        for process in self.started:
            if process.is_alive:
                await process.stop()

    async def died(self) -> None:
        """Return when the scheduler that was started last has ended."""
        if self.started:
            await self.started[-1].wait()
        else:
            await asyncio.Event().wait()

    def last_words(self) -> str:
        """How each scheduler is and how its log ends, for a test that failed."""
        return "\n".join(
            f"{process.log.name}, exit code {process.exit_code}:\n{process.tail()}"
            for process in self.started
        )

    def complaints(self) -> list[str]:
        return [line for process in self.started for line in process.complaints()]


@asynccontextmanager
async def launcher(cluster: Cluster, proxy: Proxy, folder: Path, terms: Terms) -> AsyncIterator[Launcher]:
    found = Launcher(cluster, proxy, folder, terms)
    try:
        yield found
    finally:
        await found.stop()


def _configuration(terms: Terms) -> dict[str, object]:
    return {
        "apiVersion": "stowplan.dev/v1alpha1",
        "kind": "SchedulerConfiguration",
        "leaderElection": {
            "leaseSeconds": terms.lease_s,
            "renewDeadlineSeconds": terms.renew_deadline_s,
            "retrySeconds": terms.retry_s,
        },
        # The proxy in between is slower than an API server: its queue must not outlast the short lease.
        "api": {"writeTimeoutSeconds": terms.write_timeout_s, "bindsInFlight": 32},
        "gangs": {"partialSeconds": terms.partial_s},
        "watch": {"staleSeconds": int(terms.stale_s)},
        "health": {"port": 0},
        "policy": dict(terms.policy),
        "volumes": dict(terms.volumes),
        "provisioning": None if terms.provisioning is None else dict(terms.provisioning),
    }


def _through(kubeconfig: Path, url: str) -> str:
    """A kubeconfig with the same identity and another way."""
    document = yaml.safe_load(kubeconfig.read_text(encoding="utf-8"))
    for entry in document["clusters"]:
        entry["cluster"] = {"server": url}
    return str(yaml.safe_dump(document))

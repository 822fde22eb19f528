"""A local cluster: etcd and kube-apiserver, and on demand the controllers and the default scheduler.

A cluster is a directory: its data, keys, logs, a kubeconfig for each identity, and ``cluster.json`` with
the processes that run on it. Whoever knows the directory can look at it, stop it and start it again.
"""

from __future__ import annotations

import asyncio
import datetime
import random
import secrets
import shutil
import socket
import tempfile
import time
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from deploy.local import components, manifests, processes
from deploy.local.build import Watcher, ensure_binary
from deploy.local.components import COMPONENTS, Component
from deploy.local.directories import state_root
from deploy.local.errors import ComponentDied, LocalError
from deploy.local.identities import (
    IDENTITIES,
    Identity,
    read_tokens,
    write_kubeconfig,
    write_tokens,
)
from deploy.local.locks import locked
from deploy.local.pki import write_pki
from deploy.local.processes import Process
from scheduler.kube.transport import Endpoint, Transport

T = TypeVar("T")

#: Below the range that the kernel gives to outgoing connections, so that a stopped API server's port
#: is still free when it starts again.
PORTS: Final = range(20_000, 32_000)
PORT_TRIES_MAX: Final = 5
READY_TIMEOUT_S: Final = 60.0
READY_POLL_S: Final = 0.03
TOKEN_BYTES: Final = 32
CLUSTER_NAME_DEFAULT: Final = "default"


class _State(msgspec.Struct, frozen=True):
    """cluster.json. ``processes`` holds the components that were started and not stopped since."""

    name: str
    port: int
    has_service_accounts: bool
    processes: dict[Component, Process]


class Cluster:
    """One local cluster. Made by ``up``, ``running_cluster`` or ``find``, never directly."""

    def __init__(self, directory: Path, state: _State, *, binary: Path | None, is_tethered: bool) -> None:
        self.directory = directory
        self._state = state
        self._binary = binary
        self._is_tethered = is_tethered

    @property
    def name(self) -> str:
        return self._state.name

    @property
    def url(self) -> str:
        return f"https://127.0.0.1:{self._state.port}"

    @property
    def admin_kubeconfig(self) -> Path:
        """For the harness and for kubectl; never for the scheduler."""
        return self.kubeconfig("admin")

    def kubeconfig(self, identity: Identity) -> Path:
        return self.directory / "kubeconfigs" / f"{identity}.yaml"

    @property
    def processes(self) -> Mapping[Component, Process]:
        """The components that were started, alive or not."""
        return self._state.processes

    @property
    def is_running(self) -> bool:
        """Whether every component that was started is alive."""
        return bool(self.processes) and all(p.is_alive for p in self.processes.values())

    def log(self, component: Component) -> Path:
        return self.directory / "logs" / f"{component}.log"

    def start_component(self, component: Component, extra_args: Sequence[str] = ()) -> Process:
        """Start the controllers or the default scheduler beside the API server, unless it runs."""
        running = self.processes.get(component)
        if running is not None and running.is_alive:
            return running
        process = self._spawn([*self._command(component), *extra_args])
        self._save(processes={**self.processes, component: process})
        return process

    def stop_component(self, component: Component, *, is_killed_at_once: bool = False) -> None:
        """End one component and forget it."""
        process = self.processes.get(component)
        if process is not None:
            processes.end(process, is_killed_at_once=is_killed_at_once)
            self._save(processes={c: p for c, p in self.processes.items() if c != component})

    def kill_apiserver(self) -> None:
        """SIGKILL: open requests and watches break where they are."""
        self.stop_component("kube-apiserver", is_killed_at_once=True)

    def start_apiserver(self) -> None:
        """On the same port and data as before; returns when it is ready. Raises: ComponentDied."""
        self.start_component("kube-apiserver")
        self.wait_ready()

    def wait_ready(self) -> None:
        """Raises: ComponentDied with the end of the log, LocalError after ``READY_TIMEOUT_S``."""
        _run(self._until_ready())

    def stop(self) -> None:
        """End every component, the API server before its etcd; the directory stays."""
        for component in reversed(COMPONENTS):
            self.stop_component(component)

    def boot(self, wanted: Sequence[Component], *, is_bare: bool = False) -> None:
        """Start what is not running and bring the manifests in force, unless the cluster is to stay bare."""
        if set(self.processes) >= {"etcd", "kube-apiserver"} and self.is_running:
            self.wait_ready()
        else:
            self.stop()
            try:
                self._start_core()
                if not is_bare:
                    _run(self._configure())
            except BaseException:
                self.stop()
                raise
        for component in wanted:
            self.start_component(component)

    def _start_core(self) -> None:
        for is_last in (*[False] * (PORT_TRIES_MAX - 1), True):
            self.start_component("etcd")
            try:
                self.start_apiserver()
            except ComponentDied as error:
                if is_last or "address already in use" not in str(error):
                    raise
                self._save(port=free_port())
                self._write_kubeconfigs()
            else:
                return

    async def _until_ready(self) -> None:
        deadline_s = time.monotonic() + READY_TIMEOUT_S
        async with self._transport("admin") as admin:
            while not await manifests.ready(admin):
                for component, process in self.processes.items():
                    if not process.is_alive:
                        tail = processes.log_tail(self.log(component))
                        raise ComponentDied(f"{component} ended; {self.log(component)} ends with:\n{tail}")
                if time.monotonic() > deadline_s:
                    raise LocalError(
                        f"no ready API server after {READY_TIMEOUT_S:.0f} s; see {self.log('kube-apiserver')}"
                    )
                await asyncio.sleep(READY_POLL_S)

    async def _configure(self) -> None:
        async with self._transport("admin") as admin, self._transport("stowplan") as scheduler:
            await manifests.apply(admin)
            await manifests.in_force(admin, scheduler)

    def _transport(self, identity: Identity) -> Transport:
        endpoint = Endpoint.from_kubeconfig(self.kubeconfig(identity))
        return Transport(endpoint, user_agent="stowplan-local", connections_max=16)

    def _command(self, component: Component) -> list[str]:
        if component == "etcd":
            return components.etcd()
        if component == "kube-apiserver":
            return components.kube_apiserver(
                port=self._state.port, has_service_accounts=self._state.has_service_accounts
            )
        if component == "kube-controller-manager":
            return components.kube_controller_manager(self.kubeconfig(component))
        return components.kube_scheduler(self.kubeconfig(component))

    def _spawn(self, command: Sequence[str]) -> Process:
        log = self.directory / "logs" / f"{command[0]}.log"
        # Looking at a cluster or stopping it needs no binary; only starting does.
        self._binary = self._binary or ensure_binary()
        return processes.spawn(
            [self._binary, *command], directory=self.directory, log=log, is_tethered=self._is_tethered
        )

    def _save(self, *, port: int | None = None, processes: dict[Component, Process] | None = None) -> None:
        self._state = msgspec.structs.replace(
            self._state,
            port=self._state.port if port is None else port,
            processes=self._state.processes if processes is None else processes,
        )
        _write_state(self.directory, self._state)

    def _write_kubeconfigs(self) -> None:
        tokens = read_tokens(self.directory / "tokens.csv")
        ca = (self.directory / "pki" / "ca.crt").read_bytes()
        (self.directory / "kubeconfigs").mkdir(exist_ok=True)
        name = f"stowplan-{self.name}"
        for identity in IDENTITIES:
            file = self.kubeconfig(identity)
            write_kubeconfig(file, name=name, url=self.url, ca=ca, user=identity, token=tokens[identity])


def named_directory(name: str) -> Path:
    """Where a named cluster lives."""
    return state_root() / "clusters" / name


def find(directory: Path) -> Cluster | None:
    """The cluster of a directory, running or not; None where there is none."""
    file = directory / "cluster.json"
    try:
        state = msgspec.json.decode(file.read_bytes(), type=_State)
    except FileNotFoundError:
        return None
    except msgspec.DecodeError as error:
        raise LocalError(f"{file}: {error}; remove {directory} to start anew") from error
    return Cluster(directory, state, binary=None, is_tethered=False)


def up(
    directory: Path,
    *,
    name: str = CLUSTER_NAME_DEFAULT,
    wanted: Sequence[Component] = (),
    is_tethered: bool = False,
    is_bare: bool = False,
    watcher: Watcher | None = None,
) -> Cluster:
    """A running cluster in ``directory``: made, started again on its data, or found as it is.

    wanted: components to run beside etcd and the API server.
    is_tethered: the components end with this process; else they run until ``stop``.
    is_bare: as Kubernetes comes, without any of the project's manifests.
    Raises: BuildFailed, ComponentDied, LocalError.
    """
    binary = ensure_binary(watcher)
    with locked(_lock(directory)):
        found = find(directory)
        if found is None:
            state = _State(
                name=name,
                port=free_port(),
                has_service_accounts="kube-controller-manager" in wanted,
                processes={},
            )
            _lay_out(directory)
            found = Cluster(directory, state, binary=binary, is_tethered=is_tethered)
            found._write_kubeconfigs()
            _write_state(directory, state)
        cluster = Cluster(directory, found._state, binary=binary, is_tethered=is_tethered)
        cluster.boot(wanted, is_bare=is_bare)
    return cluster


def down(directory: Path, *, keep_data: bool = False) -> Cluster | None:
    """Stop the cluster of a directory and delete what it held, or keep that for the next ``up``.

    Returns what was found, None where there was nothing.
    """
    with locked(_lock(directory)):
        found = find(directory)
        if found is not None:
            found.stop()
            if not keep_data:
                shutil.rmtree(directory)
    return found


@contextmanager
def running_cluster(
    *,
    wanted: Sequence[Component] = (),
    directory: Path | None = None,
    is_bare: bool = False,
    watcher: Watcher | None = None,
) -> Iterator[Cluster]:
    """A cluster for the length of a with-block; it ends with this process even when that is killed.

    directory: kept afterwards when given, else a temporary one.
    """
    place = directory or Path(tempfile.mkdtemp(prefix="stowplan-")) / "cluster"
    try:
        cluster = up(
            place, name=place.name, wanted=wanted, is_tethered=True, is_bare=is_bare, watcher=watcher
        )
        try:
            yield cluster
        finally:
            cluster.stop()
    finally:
        if directory is None:
            shutil.rmtree(place.parent)


@asynccontextmanager
async def running_cluster_async(
    *, wanted: Sequence[Component] = (), directory: Path | None = None, is_bare: bool = False
) -> AsyncIterator[Cluster]:
    """``running_cluster`` for a running event loop, which it does not block."""
    context = running_cluster(wanted=wanted, directory=directory, is_bare=is_bare)
    cluster = await asyncio.to_thread(context.__enter__)
    try:
        yield cluster
    finally:
        await asyncio.to_thread(context.__exit__, None, None, None)


def _lock(directory: Path) -> Path:
    return directory.with_name(f"{directory.name}.lock")


def _lay_out(directory: Path) -> None:
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    (directory / "logs").mkdir(exist_ok=True)
    write_pki(directory / "pki", now=datetime.datetime.now(datetime.UTC))
    write_tokens(directory / "tokens.csv", lambda: secrets.token_urlsafe(TOKEN_BYTES))


def _write_state(directory: Path, state: _State) -> None:
    partial = directory / "cluster.json.partial"
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(state)))
    partial.rename(directory / "cluster.json")


def free_port() -> int:
    """A port nobody listens on now; whoever starts there must be ready for it to be taken by then."""
    for port in random.sample(PORTS, k=64):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise LocalError(f"no free port on 127.0.0.1 between {PORTS.start} and {PORTS.stop}")


def _run(coroutine: Coroutine[object, object, T]) -> T:
    """In a thread and loop of its own, so that callers may have a running loop."""
    with ThreadPoolExecutor(max_workers=1) as pool:
        return pool.submit(asyncio.run, coroutine).result()

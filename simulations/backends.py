"""Where the runs of a sweep go: the cores here, or a Dask or Ray cluster that is there already.

joblib does the work by the backend that each project has for it. What is here connects, and refuses a cluster
that would answer wrongly, late or not at all: one that is not there, that runs another version of this
package, or that has a single thread, for which joblib would run the sweep here and say nothing.
"""

from __future__ import annotations

import asyncio
import importlib
import importlib.metadata
import socket
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from types import ModuleType
from typing import Final
from urllib.parse import urlsplit

from joblib import effective_n_jobs, parallel_config

KNOWN: Final = "dask:HOST:PORT of a scheduler or ray:HOST:PORT of a head"
DISTRIBUTION: Final = "stowplan"
VERSION: Final = importlib.metadata.version(DISTRIBUTION)
#: How long a cluster may take to answer, and a new worker to come.
CONNECT_S: Final = 20.0
#: The same for the command that asks a Ray head, which starts a process and imports Ray.
HEALTH_S: Final = 60.0
THREADS_MIN: Final = 2


class NoBackend(RuntimeError):
    """Runs cannot go there; the message names the address and the remedy."""


@contextmanager
def backend(said: str) -> Iterator[None]:
    """Sweeps inside go to ``dask:HOST:PORT``, a scheduler, or ``ray:HOST:PORT``, a head node.

    Raises: NoBackend, for what is unknown, not installed, not reached, too small, or of another version.
    """
    name, _, address = said.partition(":")
    match name:
        case "dask" if address:
            _reach("Dask scheduler", address)
            with _dask(address):
                _wide("Dask cluster", address)
                yield
        case "ray" if address:
            _reach("Ray head", address, plain=True)
            with _ray(address):
                _wide("Ray cluster", address)
                yield
        case _:
            raise NoBackend(f"no backend {said!r}; give {KNOWN}")


def _reach(what: str, address: str, *, plain: bool = False) -> None:
    """Somebody must listen there, for Ray alone waits for minutes; ``plain``: no scheme before the host."""
    parts = urlsplit(address if "://" in address else f"//{address}")
    try:
        host, port = parts.hostname, parts.port
    except ValueError:  # no number
        host, port = None, None
    if not host or not port or (plain and parts.scheme):
        raise NoBackend(f"no {what} at {address}: not an address; give HOST:PORT")
    try:
        socket.create_connection((host, port), CONNECT_S).close()
    except OSError as error:
        raise NoBackend(f"no {what} at {address}: {error.strerror or error}; give one that runs") from error


def _wide(what: str, address: str) -> None:
    """Raises: NoBackend where joblib would run all here, as it does for a single thread."""
    threads = effective_n_jobs(-1)
    if threads < THREADS_MIN:
        raise NoBackend(
            f"the {what} at {address} has {threads} thread, and joblib would run the sweep here: "
            "start another worker, or leave --backend out"
        )


def _module(name: str, *, package: str) -> ModuleType:
    try:
        return importlib.import_module(name)
    except ImportError as error:
        raise NoBackend(f"{error.name} is not installed; install {package}") from error


@contextmanager
def _dask(address: str) -> Iterator[None]:
    distributed = _module("distributed", package="stowplan[dask]")
    try:
        asyncio.run(_shaken(distributed, address))
        client = distributed.Client(address, timeout=CONNECT_S, set_as_default=False)
    except (OSError, ValueError) as error:
        raise NoBackend(f"no Dask scheduler at {address}: {error}; give one that runs") from error
    with client:
        try:
            # A cluster that grows when there is work may have no worker yet.
            client.submit(int).result(timeout=CONNECT_S)
        except TimeoutError as error:
            text = f"no Dask worker at {address} within {CONNECT_S:g} s; start one: dask worker {address}"
            raise NoBackend(text) from error
        _same(client.run(importlib.metadata.version, DISTRIBUTION, on_error="return"))
        with parallel_config(backend="dask", client=client, n_jobs=-1):
            yield


async def _shaken(distributed: ModuleType, address: str) -> None:
    """Raises: OSError where none shakes hands; Dask's client would wait for it for ever."""
    secrets = distributed.Security().get_connection_args("client")
    try:
        comm = await asyncio.wait_for(distributed.comm.connect(address, **secrets), CONNECT_S)
    except TimeoutError as error:
        raise OSError(f"no handshake within {CONNECT_S:g} s") from error
    await comm.close()


@contextmanager
def _ray(address: str) -> Iterator[None]:
    ray = _module("ray", package="ray")
    affinity = _module("ray.util.scheduling_strategies", package="ray").NodeAffinitySchedulingStrategy
    register = _module("ray.util.joblib", package="ray").register_ray
    _healthy(address)
    try:
        ray.init(address=address, log_to_driver=False, logging_level="warning")
    except (OSError, ValueError, RuntimeError) as error:  # the last of these: another Ray or Python
        raise NoBackend(f"no Ray head at {address}: {error}; give one that runs this Ray") from error
    try:
        version = ray.remote(num_cpus=0)(importlib.metadata.version)
        asked = {
            node["NodeManagerAddress"]: version.options(
                scheduling_strategy=affinity(node["NodeID"], soft=False)
            ).remote(DISTRIBUTION)
            for node in ray.nodes()
            if node["Alive"]
        }
        _same({node: _answer(ray, one) for node, one in asked.items()})
        register()
        with parallel_config(backend="ray", n_jobs=-1):
            yield
    finally:
        ray.shutdown()


def _healthy(address: str) -> None:
    """By Ray's own command, a process that can be ended: ``ray.init`` waits for minutes for a head."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "status", "--address", address]
    try:
        subprocess.run(command, check=True, capture_output=True, timeout=HEALTH_S)
    except subprocess.TimeoutExpired as error:
        text = f"no Ray head at {address}: no answer within {HEALTH_S:g} s; give one that runs"
        raise NoBackend(text) from error
    except subprocess.CalledProcessError as error:
        told = error.stderr.decode(errors="replace").strip().splitlines() or ["it is not healthy"]
        raise NoBackend(f"no Ray head at {address}: {told[-1]}; give one that runs this Ray") from error


def _answer(ray: ModuleType, asked: object) -> object:
    """The version, or the error of a node without one."""
    try:
        return ray.get(asked, timeout=CONNECT_S)
    except ray.exceptions.RayError as error:
        return error


def _same(there: Mapping[str, object]) -> None:
    """Raises: NoBackend where a worker has another version than this, or none."""
    for worker, found in there.items():
        if found != VERSION:
            told = f"{DISTRIBUTION} {found}" if isinstance(found, str) else f"no {DISTRIBUTION} ({found})"
            raise NoBackend(
                f"worker {worker} has {told}, here is {VERSION}: install "
                f"{DISTRIBUTION}[scheduler,simulate]=={VERSION} where it runs"
            )

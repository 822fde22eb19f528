"""``make test-ray``: ``stowplan compare --backend ray:...`` on a head that is a process of its own.

Not collected by ``make test``: Ray is not among the locked packages.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

BIN = Path(sys.executable).parent
POLICY = "apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n"
ENVIRONMENT = os.environ | {"RAY_USAGE_STATS_ENABLED": "0"}
STARTED = "Ray runtime started"


@contextmanager
def head(cpus: int) -> Iterator[tuple[str, Path]]:
    """Address and logs. The port is one that the kernel gives, above those of Ray's workers (10002-19999)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="ray-") as folder:  # a short path, for Ray's sockets
        command = [str(BIN / "ray"), "start", "--head", "--block", "--node-ip-address", "127.0.0.1"]
        command += ["--port", str(port), "--num-cpus", str(cpus), "--temp-dir", folder]
        command += ["--include-dashboard=false", "--object-store-memory", "100000000"]
        process = subprocess.Popen(
            command,
            cwd=folder,
            env=ENVIRONMENT,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        with process:
            assert process.stdout is not None
            try:
                assert any(STARTED in line for line in process.stdout), "ray start ended"
                yield f"127.0.0.1:{port}", Path(folder) / "session_latest/logs"
            finally:
                os.killpg(process.pid, signal.SIGTERM)
                process.stdout.read()


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """The user's folder: two policies, a cluster, a trace."""
    (tmp_path / "fifo.yaml").write_text(POLICY)
    (tmp_path / "short.yaml").write_text(POLICY + "policy: {order: shortest-service, displaces: true}\n")
    (tmp_path / "nodes.yaml").write_text("pools: [{name: a, count: 2, gpus: 8}]\n")
    rows = "".join(f"{i * 10},{100 + i % 7},{1 + i % 8},{100 + i % 7}\n" for i in range(30))
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus,estimate_s\n" + rows)
    return tmp_path


def compare(folder: Path, load: str, *more: str) -> subprocess.CompletedProcess[str]:
    files = ["fifo.yaml", "short.yaml", "--cluster", "nodes.yaml", "--seeds", "3", "-o", "json"]
    command = [str(BIN / "stowplan"), "compare", *files, "--load", load, *more]
    return subprocess.run(command, cwd=folder, env=ENVIRONMENT, capture_output=True, text=True, check=False)


def test_a_ray_cluster_answers_as_this_computer_does(here: Path) -> None:
    with head(2) as (address, logs):
        for load in ("jobs.csv", "poisson:jobs=30,load=1.4,largest=8"):
            alone = compare(here, load, "--processes", "1")
            there = compare(here, load, "--backend", f"ray:{address}")
            assert (there.returncode, there.stdout) == (0, alone.stdout), there.stderr
            assert '"avg_wait_s"' in there.stdout
        ran = [path for path in logs.glob("worker-*.out") if "PoolActor" in path.read_text()]
    assert len(ran) >= 2


def test_a_single_cpu_is_refused(here: Path) -> None:
    """joblib would run the sweep here instead, and say nothing."""
    with head(1) as (address, _):
        done = compare(here, "jobs.csv", "--backend", f"ray:{address}")
    assert done.returncode == 1
    assert f"the Ray cluster at {address} has 1 thread" in done.stderr


def test_somebody_who_is_no_ray_head_is_told(here: Path) -> None:
    """Ray alone waits for minutes; here it is at most one."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        done = compare(here, "jobs.csv", "--backend", f"ray:{address}")
    assert done.returncode == 1
    assert f"no Ray head at {address}: " in done.stderr
    assert "give one that runs" in done.stderr

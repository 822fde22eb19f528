"""Whatever ends the process that started a cluster, the cluster ends with it."""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from deploy.local.processes import Process, end, spawn

PATIENCE_S = 20.0
PARENT = """
import threading
from deploy.local.cluster import running_cluster

clusters = running_cluster()
# Started from a thread that ends: what dies with the parent must not die with one of its threads.
started = []
starter = threading.Thread(target=lambda: started.append(clusters.__enter__()))
starter.start()
starter.join()
try:
    cluster = started[0]
    cluster.start_component("kube-scheduler")
    cluster.wait_ready()
    print(cluster.directory, *(p.pid for p in cluster.processes.values()), flush=True)
    input()
finally:
    clusters.__exit__(None, None, None)
"""


def _gone(pids: Sequence[int], within_s: float) -> bool:
    """Whether all of them end in time; a pidfd tells without asking again and again."""
    descriptors = []
    for pid in pids:
        try:
            descriptors.append(os.pidfd_open(pid))
        except ProcessLookupError:
            continue
    try:
        for descriptor in descriptors:
            poll = select.poll()
            poll.register(descriptor, select.POLLIN)
            if not poll.poll(within_s * 1000):
                return False
    finally:
        for descriptor in descriptors:
            os.close(descriptor)
    return True


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT], ids=["killed", "interrupted"])
def test_no_process_is_left(ending: signal.Signals) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", PARENT],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as parent:
        assert parent.stdout is not None
        directory, *pids = parent.stdout.readline().split()
        components = [int(pid) for pid in pids]
        try:
            assert len(components) == 3
            assert not _gone(components[:1], 0.0)
        finally:
            parent.send_signal(ending)
        parent.wait(PATIENCE_S)
    assert _gone(components, PATIENCE_S)
    left = Path(directory).parent
    assert left.exists() is (ending is signal.SIGKILL)
    shutil.rmtree(left, ignore_errors=True)


def test_what_ignores_a_request_to_end_is_made_to(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.processes.TERMINATE_GRACE_S", 0.05)
    directory = tmp_path_factory.mktemp("stubborn")
    log = directory / "log"
    script = "trap '' TERM; echo ready; read forever < fifo"
    os.mkfifo(directory / "fifo")
    process = spawn(["sh", "-c", script], directory=directory, log=log, is_tethered=False)
    assert process.is_alive
    end(process)
    assert not process.is_alive


def test_a_process_of_the_same_id_is_not_the_same() -> None:
    """Ids are reused; whoever has it now is not ours to end."""
    me = os.getpid()
    stranger = Process(pid=me, started_ticks=1)
    assert not stranger.is_alive
    end(stranger)
    assert os.getpid() == me

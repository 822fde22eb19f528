"""Pods' processes have a host name and an /etc/hosts of their own, in which they find their peers."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from deploy.local.nodes.names import Names, names_of
from deploy.local.nodes.process import Processes
from deploy.local.nodes.wire import Container, Metadata, NodePod, Spec
from tests.nodes.test_commands_are_processes_of_their_own import Exits

LOOK_UP = "import socket; print(socket.gethostname(), *map(socket.gethostbyname, {names}))"


def pod(name: str, code: str = "", *, namespace: str = "ns", subdomain: str = "") -> NodePod:
    container = Container(name="main", command=(sys.executable, "-I", "-c", code))
    metadata = Metadata(name=name, namespace=namespace, uid=f"uid-{namespace}-{name}")
    return NodePod(metadata=metadata, spec=Spec(node_name="n", containers=(container,), subdomain=subdomain))


async def test_a_process_resolves_its_peers_and_nobody_elses(tmp_path: Path) -> None:
    exits = Exits()
    processes = Processes(tmp_path, exits)
    await processes.start(pod("ps-0", "input()", namespace="other"), "127.1.0.9")
    await exits.next()
    waits = "import time; time.sleep(60)"
    await processes.start(pod("ps-0", waits), "127.1.0.1")
    names = ["ps-0", "ps-0.ns.svc", "ps-0.ns", "worker-0.ns.svc.cluster.local", "localhost"]
    await processes.start(pod("worker-0", LOOK_UP.format(names=names)), "127.1.0.2")
    assert await exits.next() == 0
    log = (tmp_path / "ns_worker-0_uid-ns-worker-0" / "main.log").read_text()
    assert log.split() == ["worker-0", "127.1.0.1", "127.1.0.1", "127.1.0.1", "127.1.0.2", "127.0.0.1"]
    await processes.close()


def test_a_member_of_a_headless_service_answers_to_its_name_there() -> None:
    assert "web-0.web.ns.svc" in names_of(pod("web-0", subdomain="web"))


@given(st.lists(st.tuples(st.sampled_from("abcdef"), st.booleans()), max_size=20))
def test_the_file_shows_who_is_there_and_nobody_who_left(steps: list[tuple[str, bool]]) -> None:
    there: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        names = Names(Path(folder))
        file = names.add(pod("first"), "127.9.9.9")
        inode = file.stat().st_ino
        for i, (name, comes) in enumerate(steps):
            if comes:
                there[name] = f"127.2.0.{i}"
                names.add(pod(name), there[name])
            else:
                there.pop(name, None)
                names.remove("ns", f"uid-ns-{name}")
        lines = [line.split() for line in file.read_text().splitlines() if line]
        assert {line[1]: line[0] for line in lines[2:]} == there
        # A mounted file is the one that was there when it was mounted.
        assert file.stat().st_ino == inode

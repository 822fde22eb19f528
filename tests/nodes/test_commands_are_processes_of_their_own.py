"""Local processes standing in for containers: what they are given, and that none is left behind."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

import pytest

from deploy.local.nodes.process import CANNOT_CREATE, CANNOT_RUN, Processes, expand
from deploy.local.nodes.wire import Container, EnvSource, EnvVar, FieldRef, Metadata, NodePod, Spec
from tests.nodes.waiting import PATIENCE_S, appears, ends


class Exits:
    """Collects exit codes and lets a test wait for one."""

    def __init__(self) -> None:
        self._codes: asyncio.Queue[tuple[str, int]] = asyncio.Queue()

    def __call__(self, uid: str, code: int) -> None:
        self._codes.put_nowait((uid, code))

    async def next(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return (await self._codes.get())[1]


def pod_running(*command: str, env: tuple[EnvVar, ...] = ()) -> NodePod:
    container = Container(name="main", command=command[:1], args=command[1:], env=env)
    metadata = Metadata(name="p", namespace="ns", uid="u", labels={"a": "1"})
    return NodePod(metadata=metadata, spec=Spec(node_name="n", containers=(container,)))


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (("sh", "-c", "exit 7"), 7),
        (("sh", "-c", "kill -KILL $$$$"), 137),
        (("no-such-program",), CANNOT_RUN),
        ((), CANNOT_CREATE),
    ],
)
async def test_the_exit_code_is_what_a_kubelet_would_say(
    tmp_path: Path, command: tuple[str, ...], code: int
) -> None:
    exits = Exits()
    processes = Processes(tmp_path, exits)
    await processes.start(pod_running(*command), "127.1.0.1")
    assert await exits.next() == code
    await processes.close()


SOURCES = [EnvSource(), EnvSource(field_ref=FieldRef(field_path="spec.hostname"))]


@pytest.mark.parametrize("source", SOURCES)
async def test_an_environment_this_actor_cannot_give_is_said_in_the_log(
    tmp_path: Path, source: EnvSource
) -> None:
    exits = Exits()
    processes = Processes(tmp_path, exits)
    variable = EnvVar(name="SECRET", value_from=source)
    await processes.start(pod_running("true", env=(variable,)), "127.1.0.1")
    assert await exits.next() == CANNOT_CREATE
    assert "env[SECRET].valueFrom" in (tmp_path / "ns_p_u" / "main.log").read_text()
    await processes.close()


async def test_one_that_ignores_the_request_to_stop_is_killed_after_its_grace(tmp_path: Path) -> None:
    exits = Exits()
    processes = Processes(tmp_path, exits)
    ready = tmp_path / "ready"
    await processes.start(
        pod_running("sh", "-c", 'trap "" TERM; touch "$0"; while :; do :; done', str(ready)), ""
    )
    await appears(ready)
    processes.stop("u", 0.05)
    assert await exits.next() == 128 + signal.SIGKILL
    await processes.close()


async def test_what_a_command_leaves_in_its_group_ends_with_it(tmp_path: Path) -> None:
    exits = Exits()
    processes = Processes(tmp_path, exits)
    await processes.start(pod_running("sh", "-c", "sleep 1000 & echo $!"), "")
    assert await exits.next() == 0
    await ends(int((tmp_path / "ns_p_u" / "main.log").read_text()))
    await processes.close()


async def test_closing_ends_everything(tmp_path: Path) -> None:
    exits = Exits()
    processes = Processes(tmp_path, exits)
    await processes.start(pod_running("sleep", "1000"), "")
    await processes.close()
    assert await exits.next() == 128 + signal.SIGKILL


ACTOR = """
import asyncio, sys
from pathlib import Path
from deploy.local.nodes.process import Processes
from tests.nodes.test_commands_are_processes_of_their_own import pod_running

async def main() -> None:
    pod = pod_running("sh", "-c", "echo $$$$ > new; mv new pid; exec sleep 1000")
    await Processes(Path(sys.argv[1]), print).start(pod, "")
    await asyncio.Event().wait()

asyncio.run(main())
"""


async def test_an_actor_that_is_killed_leaves_no_process(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", ACTOR, str(tmp_path), cwd=Path(__file__).parents[2]
    )
    pid = tmp_path / "ns_p_u" / "pid"
    await appears(pid)
    parent.kill()
    await parent.wait()
    await ends(int(pid.read_text()))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$(A)", "1"),
        ("$$(A)", "$(A)"),
        ("$(B)", "$(B)"),
        ("$A $", "$A $"),
        ("x$(A)$(A)", "x11"),
        ("$$$(A)", "$1"),
    ],
)
def test_references_expand_as_in_a_container(text: str, expanded: str) -> None:
    assert expand(text, {"A": "1"}) == expanded

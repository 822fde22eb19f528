"""A container's command as a local process: its own process group, environment and log file."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine, Mapping
from pathlib import Path

from deploy.local.nodes.names import Names
from deploy.local.nodes.status import HOST_IP
from deploy.local.nodes.wire import Container, EnvVar, NodePod
from deploy.local.private_mounts import ENTER, OWN_HOST_NAME

#: What a shell answers for a command it cannot run; a kubelet says 128 for a container it cannot create.
CANNOT_RUN = 127
CANNOT_CREATE = 128
#: What the kernel takes as a host name, in bytes.
HOST_NAME_MAX = 63

# The process shall not outlive the actor, even when that is killed: the kernel is told to end it
# (PR_SET_PDEATHSIG), and a parent that died in between is noticed by its absence.
# Its host name and /etc/hosts are its own. Where the kernel allows none of that it runs all the same, and
# its log says what it lacks.
_LEASH = f"""{ENTER}
import signal, sys
parent, hosts, name, command = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
failed = enter({OWN_HOST_NAME}, [(hosts, "/etc/hosts")])
if failed:
    print("no names of other pods:", failed, file=sys.stderr)
else:
    libc.sethostname(name.encode(), len(name.encode()))
libc.prctl(1, signal.SIGKILL)
if os.getppid() != parent:
    os._exit({CANNOT_CREATE})
try:
    os.execvp(command[0], command)
except OSError as error:
    print(f"{{command[0]}}: {{error}}", file=sys.stderr)
    sys.exit({CANNOT_RUN})
"""
_REFERENCE = re.compile(r"\$\$|\$\(([-._A-Za-z][-._A-Za-z0-9]*)\)")
_KEYED_FIELD = re.compile(r"metadata\.(annotations|labels)\['([^']+)'\]")


class CannotCreate(ValueError):
    """The container asks for something this actor does not do; the message names the field."""


class Processes:
    """The processes of all pods. ``on_exit(uid, code)`` is called once for each ``start``."""

    def __init__(self, directory: Path, on_exit: Callable[[str, int], None]) -> None:
        self._directory = directory
        self._on_exit = on_exit
        self._names = Names(directory / "hosts")
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def start(self, pod: NodePod, ip: str) -> None:
        """Run the first container's command, its output appended to its log file."""
        container = pod.spec.containers[0]
        folder = self._directory / f"{pod.metadata.namespace}_{pod.metadata.name}_{pod.uid}"
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / f"{container.name}.log").open("ab") as log:
            try:
                process = await self._spawn(pod, container, ip, folder, log.fileno())
            except (CannotCreate, OSError) as error:
                log.write(f"cannot create container {container.name}: {error}\n".encode())
                self._on_exit(pod.uid, CANNOT_CREATE)
                return
        self._running[pod.uid] = process
        self._keep(self._watch(pod, process))

    def stop(self, uid: str, grace_s: float) -> None:
        """Ask the process group to end (SIGTERM), and end it after the grace. No process: nothing."""
        process = self._running.get(uid)
        if process is None:
            return
        if grace_s <= 0:
            _signal(process, signal.SIGKILL)
            return
        _signal(process, signal.SIGTERM)
        self._keep(_kill_after(process, grace_s))

    async def close(self) -> None:
        """End every process and wait for it."""
        for process in self._running.values():
            _signal(process, signal.SIGKILL)
        await asyncio.gather(*(process.wait() for process in list(self._running.values())))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _spawn(
        self, pod: NodePod, container: Container, ip: str, folder: Path, log: int
    ) -> asyncio.subprocess.Process:
        environment = container_environment(pod, container, ip)
        command = [expand(word, environment) for word in (*container.command, *container.args)]
        if not command:
            raise CannotCreate("command: there is no image here to take it from; give one")
        hosts = self._names.add(pod, ip)
        inherited = {name: os.environ[name] for name in ("PATH", "HOME", "LANG") if name in os.environ}
        return await asyncio.create_subprocess_exec(
            sys.executable,
            *("-I", "-S", "-c", _LEASH, str(os.getpid())),
            *(str(hosts), (pod.spec.hostname or pod.metadata.name)[:HOST_NAME_MAX]),
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=container.working_dir or folder,
            env=inherited | {"HOSTNAME": pod.metadata.name} | environment,
            start_new_session=True,
        )

    async def _watch(self, pod: NodePod, process: asyncio.subprocess.Process) -> None:
        code, uid = await process.wait(), pod.uid
        # What the command left behind in its group ends with it, as a container's processes do.
        _signal(process, signal.SIGKILL)
        if self._running.get(uid) is process:
            del self._running[uid]
            self._names.remove(pod.metadata.namespace, uid)
        self._on_exit(uid, code if code >= 0 else 128 - code)

    def _keep(self, work: Coroutine[object, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def container_environment(pod: NodePod, container: Container, ip: str) -> dict[str, str]:
    """The container's ``env``: values with ``$(NAME)`` expanded in order, and fields of the pod.

    Raises CannotCreate for any other source.
    """
    environment: dict[str, str] = {}
    for variable in container.env:
        environment[variable.name] = _value(pod, variable, environment, ip)
    return environment


def expand(text: str, environment: Mapping[str, str]) -> str:
    """``$(NAME)`` becomes the variable if there is one; ``$$`` is a plain dollar.

    As k8s.io/kubernetes/third_party/forked/golang/expansion.
    """

    def replace(match: re.Match[str]) -> str:
        name = match.group(1)
        return "$" if name is None else environment.get(name, match.group(0))

    return _REFERENCE.sub(replace, text)


def _value(pod: NodePod, variable: EnvVar, environment: Mapping[str, str], ip: str) -> str:
    source = variable.value_from
    if source is None:
        return expand(variable.value, environment)
    if source.field_ref is None:
        raise CannotCreate(f"env[{variable.name}].valueFrom: only fieldRef works here")
    path = source.field_ref.field_path
    fields = {
        "metadata.name": pod.metadata.name,
        "metadata.namespace": pod.metadata.namespace,
        "metadata.uid": pod.uid,
        "spec.nodeName": pod.spec.node_name,
        "status.podIP": ip,
        "status.hostIP": HOST_IP,
    }
    if keyed := _KEYED_FIELD.fullmatch(path):
        group, key = keyed.groups()
        return (pod.metadata.annotations if group == "annotations" else pod.metadata.labels).get(key, "")
    if path not in fields:
        raise CannotCreate(f"env[{variable.name}].valueFrom.fieldRef: {path!r} does not work here")
    return fields[path]


def _signal(process: asyncio.subprocess.Process, number: signal.Signals) -> None:
    """Signal the whole group; ``start_new_session`` made the process its leader."""
    try:
        os.killpg(process.pid, number)
    except ProcessLookupError:
        return


async def _kill_after(process: asyncio.subprocess.Process, grace_s: float) -> None:
    try:
        async with asyncio.timeout(grace_s):
            await process.wait()
    except TimeoutError:
        _signal(process, signal.SIGKILL)

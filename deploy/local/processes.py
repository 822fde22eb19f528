"""Processes of a local cluster: started, found again by another process, ended for certain."""

from __future__ import annotations

import os
import select
import signal
import subprocess
from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Final

import msgspec

from deploy.local.errors import LocalError

#: As in controlplane/main.go.
TETHER_ENV: Final = "STOWPLAN_TETHER_FD"
TERMINATE_GRACE_S: Final = 5.0
KILL_GRACE_S: Final = 10.0
LOG_TAIL_BYTES: Final = 4_000
#: Control plane, scheduler and work share the machine's few cores: trade memory for fewer collections.
COLLECTOR: Final = {"GOGC": "800", "GOMEMLIMIT": "6GiB"}

#: Children of this process are kept so that they can be reaped.
_children: dict[int, subprocess.Popen[bytes]] = {}


class Process(msgspec.Struct, frozen=True):
    """A process by more than its id: ids are reused, start times (clock ticks since boot) tell."""

    pid: int
    started_ticks: int

    @property
    def is_alive(self) -> bool:
        """Whether it runs; one that ended and waits to be reaped does not."""
        return not _is_gone(self, within_s=0.0)


def spawn(argv: Sequence[str | Path], *, directory: Path, log: Path, is_tethered: bool) -> Process:
    """Start a component in a session of its own, so that a terminal's Ctrl-C reaches only its parent.

    A tethered component ends with this process, however that ends; others outlive it.
    """
    environment = COLLECTOR | {k: v for k, v in os.environ.items() if k != TETHER_ENV}
    inherited: tuple[int, ...] = ()
    if is_tethered:
        inherited = (_tether(),)
        environment[TETHER_ENV] = str(inherited[0])
    with log.open("ab") as output:
        child = subprocess.Popen(
            argv,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=inherited,
        )
    _children[child.pid] = child
    return Process(pid=child.pid, started_ticks=_started_ticks(child.pid) or 0)


def end(process: Process, *, is_killed_at_once: bool = False) -> None:
    """Ask it to end, then make it; returns when it is gone, with its sockets. Raises: LocalError."""
    if not process.is_alive:
        return
    if not is_killed_at_once:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGTERM)
        if _is_gone(process, within_s=TERMINATE_GRACE_S):
            return
    with suppress(ProcessLookupError):
        os.kill(process.pid, signal.SIGKILL)
    if not _is_gone(process, within_s=KILL_GRACE_S):
        raise LocalError(f"process {process.pid} is still there {KILL_GRACE_S:.0f} s after SIGKILL")


def log_tail(log: Path) -> str:
    """The end of a log, for an error message."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL_BYTES))
        return file.read().decode(errors="replace")


@cache
def _tether() -> int:
    """The read end of a pipe whose write end only this process holds.

    Nothing is ever written: when this process ends the kernel closes the pipe, and its readers notice.
    """
    read_end, write_end = os.pipe()
    os.register_at_fork(after_in_child=lambda: os.close(write_end))
    return read_end


def _is_gone(process: Process, *, within_s: float) -> bool:
    """Whether every thread of it has ended by then; a child of ours is reaped.

    A process whose first thread has ended looks dead in /proc while others still hold its sockets; a pidfd
    becomes readable only after the last (pidfd_open(2)).
    """
    try:
        descriptor = os.pidfd_open(process.pid)
    except ProcessLookupError:
        return True
    try:
        if _started_ticks(process.pid) != process.started_ticks:
            return True
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        is_gone = bool(poll.poll(within_s * 1000))
    finally:
        os.close(descriptor)
    if is_gone and (child := _children.pop(process.pid, None)) is not None:
        child.wait()
    return is_gone


def _started_ticks(pid: int) -> int | None:
    """Field 22 of /proc/PID/stat (proc(5)); None for no process."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The second field is the command in parentheses and may itself hold spaces and parentheses.
    return int(text.rpartition(")")[2].split()[19])

"""What the kubelets want done; the actor does it."""

from __future__ import annotations

from dataclasses import dataclass

from deploy.local.nodes.wire import NodePod


@dataclass(frozen=True, slots=True, kw_only=True)
class Reject:
    """Write phase Failed: the pod never starts on this node."""

    pod: NodePod
    reason: str
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkRunning:
    pod: NodePod
    ip: str
    #: Seconds since the epoch.
    started_s: float
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class MarkFinished:
    """Write phase Succeeded for exit code 0, otherwise Failed."""

    pod: NodePod
    ip: str
    exit_code: int
    started_s: float
    finished_s: float
    restarts: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class StartProcess:
    """Run the first container's command; its end comes back through ``Kubelets.exited``."""

    pod: NodePod
    ip: str


@dataclass(frozen=True, slots=True, kw_only=True)
class StopProcess:
    """Ask the pod's process group to end, and end it after the grace."""

    uid: str
    grace_s: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Remove:
    """Finish the deletion: DELETE with grace 0 and the pod's UID as precondition."""

    pod: NodePod


Write = Reject | MarkRunning | MarkFinished | Remove
Instruction = Write | StartProcess | StopProcess

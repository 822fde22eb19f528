"""``stowplan demo``: see deploy/local/demo."""

from __future__ import annotations

from deploy.local.demo.play import play
from deploy.local.demo.scheduler import SchedulerEnded
from deploy.local.errors import LocalError
from scheduler.cli.failure import Failure
from scheduler.kube.transport import ClusterError


def show(*, keep: bool) -> int:
    """The exit code: 0 only if every gang was whole or wholly pending with a true reason."""
    try:
        return play(keep=keep)
    except (LocalError, ClusterError, SchedulerEnded) as error:
        raise Failure(f"demo: {error}") from error

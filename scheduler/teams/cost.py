"""What it costs to evict a pod, in GPU-seconds of work.

An eviction costs its own restart and what was done since the last checkpoint; both weigh more, the higher the
victim's priority and the later its team comes among those that may be taken from.
"""

from __future__ import annotations

from scheduler.model.objects import GPU, Pod
from scheduler.model.team import RunningGang
from scheduler.parse.pod import seconds_of
from scheduler.teams.measure import gauged

#: When the work was last saved, in RFC 3339; written by whoever runs the work.
CHECKPOINT = "stowplan.dev/checkpointed-at"
#: An eviction costs this much whatever is lost: stop, pull, load.
RESTART_S = 1_800
#: Beyond this a longer run makes a victim no dearer.
LOST_S_MAX = 30 * 86_400
MILLI = 1_000


def pod_cost(pod: Pod, *, at_s: float, rank: int) -> int:
    """GPU-seconds; rank: how many classes of better victims there are, 0 for the best."""
    gpus_milli = max(gauged(pod.shape).get(GPU, 0), MILLI)
    since_s = max([bound_s(pod), *_checkpoints(pod, at_s)])
    lost_s = int(min(max(0.0, at_s - since_s), LOST_S_MAX))
    return (RESTART_S + lost_s * gpus_milli // MILLI) * (1 + rank)


def started_s(gang: RunningGang) -> float:
    """When the gang began to run as a whole: its last member that it stands on."""
    return max((bound_s(pod) for pod in gang.pods[: gang.base]), default=0.0)


def bound_s(pod: Pod) -> float:
    """When the pod was bound; a pod of which nobody noted it counts as bound since the epoch."""
    return 0.0 if pod.started_s is None else pod.started_s


def _checkpoints(pod: Pod, at_s: float) -> list[float]:
    """A checkpoint in the future is none: it would make a victim of work that lost much."""
    told = (seconds_of(value) for key, value in pod.annotations if key == CHECKPOINT)
    return [when_s for when_s in told if when_s <= at_s]

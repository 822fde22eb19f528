"""How a node, a pool or a pod is told to misbehave."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import msgspec

#: Stands for every node where a node's name or ``pool/NAME`` could stand.
EVERYWHERE = "*"
ANNOTATION = "stowplan.dev/misbehave"


class ControlFileError(ValueError):
    """The control file is unreadable; the message names file and field."""


class Mischief(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="camel"):
    """What goes wrong. The default is a good node.

    ``reject_nth`` counts pods arriving at the target (node, pool or everywhere) from 1, as long as
    the actor lives. ``lost`` is a node nobody hears from: no admission, no status, no heartbeat, no
    deletion finished, until it is lifted. ``other_devices`` is a device plugin that knows nothing of
    annotations: who asks for whole devices gets others than those it names, as long as there are any.
    """

    reject_nth: tuple[int, ...] = ()
    delay_s: float = 0.0
    never_finish_deletion: bool = False
    stop_heartbeats: bool = False
    lost: bool = False
    other_devices: bool = False

    def joined(self, other: Mischief) -> Mischief:
        """Both at once, the longer delay of the two. ``reject_nth`` is left to each target's own count."""
        return Mischief(
            delay_s=max(self.delay_s, other.delay_s),
            never_finish_deletion=self.never_finish_deletion or other.never_finish_deletion,
            stop_heartbeats=self.stop_heartbeats or other.stop_heartbeats,
            lost=self.lost or other.lost,
            other_devices=self.other_devices or other.other_devices,
        )


GOOD = Mischief()


def of_annotation(text: str) -> tuple[Mischief, bool] | str:
    """A pod's own wish, ``never-finish-deletion, reject, delay=SECONDS``: mischief and whether to reject it.

    A wish that cannot be read is answered with a complaint.
    """
    never_finish, reject, delay_s = False, False, 0.0
    for word in filter(None, (part.strip() for part in text.split(","))):
        name, _, value = word.partition("=")
        if word == "never-finish-deletion":
            never_finish = True
        elif word == "reject":
            reject = True
        elif name == "delay" and (seconds := seconds_of(value)) is not None:
            delay_s = seconds
        else:
            return f"{ANNOTATION}: {word[:64]!r} is not never-finish-deletion, reject or delay=SECONDS"
    return Mischief(never_finish_deletion=never_finish, delay_s=delay_s), reject


def seconds_of(text: str) -> float | None:
    """A finite, non-negative number of seconds, at most a year, or None."""
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and 0 <= seconds <= 366 * 86_400 else None


def read_control(path: Path) -> Mapping[str, Mischief]:
    """Read a JSON control file: target (node, ``pool/NAME`` or ``*``) to mischief. No file: all good.

    Raises ControlFileError.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Mischief])
    except FileNotFoundError:
        return {}
    except (OSError, msgspec.DecodeError) as error:
        raise ControlFileError(f"{path}: {error}") from error

"""What a process finds around it: clocks, chance and a name. Nothing else in the live shell asks for them."""

from __future__ import annotations

import random
import socket
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field

from scheduler.kube.reflector import Timing

#: How the watches of an ordinary process are timed.
TIMING = Timing()
#: Without any event a cycle still runs this often, for what time alone changes.
CYCLE_MAX_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """Those of an ordinary process unless given.

    clock: monotonic, in seconds. wall: seconds since the epoch. chance: uniform in [0, 1).
    instance: where the process runs, for people. serial: tells it from all others there ever were.
    cycle_max_s: how long the loop waits for an event. timing: of the watches.
    """

    clock: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    chance: Callable[[], float] = random.random
    instance: str = field(default_factory=socket.gethostname)
    serial: str = field(default_factory=lambda: str(uuid.uuid4()))
    cycle_max_s: Callable[[], float] = lambda: CYCLE_MAX_S
    timing: Timing = TIMING

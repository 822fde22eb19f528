"""The invariants of the binding protocol, each a pure function of a recorded history.

The same checkers judge tests, fault runs, simulations and the demo. They read membership, minimums,
capacity and terms from API objects themselves and share no decision with the scheduler.
"""

from scheduler.invariants.capacity import no_overcommit
from scheduler.invariants.devices import no_device_overcommit, no_sick_device
from scheduler.invariants.evictions import no_useless_eviction
from scheduler.invariants.gangs import (
    EndState,
    end_state,
    gangs_whole_or_pending,
    same_end,
    settled,
    unfinished,
)
from scheduler.invariants.history import (
    Entry,
    EventVersion,
    GangRef,
    GangVersion,
    GPUNodeVersion,
    GroupVersion,
    History,
    LeaseVersion,
    NodeVersion,
    PodVersion,
    QuotaVersion,
    Violation,
)
from scheduler.invariants.idle import no_idle_hole
from scheduler.invariants.pairs import no_lasting_harm, recovered, standing, waited
from scheduler.invariants.world import World, final, replay
from scheduler.invariants.writes import bound_once, leaders_in_order, said_after_the_fact

__all__ = [
    "EndState",
    "Entry",
    "EventVersion",
    "GPUNodeVersion",
    "GangRef",
    "GangVersion",
    "GroupVersion",
    "History",
    "LeaseVersion",
    "NodeVersion",
    "PodVersion",
    "QuotaVersion",
    "Violation",
    "World",
    "at_every_revision",
    "bound_once",
    "end_state",
    "final",
    "gangs_whole_or_pending",
    "leaders_in_order",
    "no_device_overcommit",
    "no_idle_hole",
    "no_lasting_harm",
    "no_overcommit",
    "no_sick_device",
    "no_useless_eviction",
    "recovered",
    "replay",
    "said_after_the_fact",
    "same_end",
    "settled",
    "standing",
    "unfinished",
    "waited",
]


def at_every_revision(history: History, *, partial_s: float = 30.0) -> list[Violation]:
    """Everything that holds at every revision: INV1, INV2, INV3, INV5, INV8 and INV14, in revision order.

    partial_s: how long a gang may be partly bound; 60 s where a leader crashed.
    """
    found = [
        *no_overcommit(history),
        *no_device_overcommit(history),
        *no_sick_device(history),
        *gangs_whole_or_pending(history, partial_s=partial_s),
        *bound_once(history),
        *leaders_in_order(history),
        *said_after_the_fact(history),
    ]
    return sorted(found, key=lambda violation: violation.revision)

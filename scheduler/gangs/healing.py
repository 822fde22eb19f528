"""A gang that lost a member: whether it waits for another one or restarts whole, and for how long.

The pods' own word (``stowplan.dev/gang-on-loss``) goes before the policy for their dialect. Without either a
gang waits: most controllers make the lost pod anew within a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from scheduler.gangs import words
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod

#: Members of a gang that never stood keep what they hold for this long after its last Binding; INV2 allows
#: 30 s, evictions in it.
PARTIAL_S: Final = 25.0
#: The others of a gang that stood stay for this long at least, and the lost member's room is kept as long.
REPLACE_S: Final = 60.0
#: A member that is on its way out is waited for no longer, as on a node that never comes back.
LEAVING_S: Final = 300.0
#: Unless its grace is longer: then until this after its end, within which a kubelet says that it is gone.
STOPPED_S: Final = 30.0
#: A gang whose evictions are refused goes on as it is for this long before the next are asked for.
SPARED_S: Final = 60.0
#: How often it is looked whether anybody has use of what a broken gang holds.
TRIED_EVERY_S: Final = 5.0
#: A gang that restarts whole does so after this; a view in between is not a loss.
RESTART_S: Final = 2.0
#: Why nobody joins a gang meanwhile.
RESTARTING: Final = "the gang lost a member and restarts as a whole"
#: What its other members are told while those on nodes are being evicted.
EVICTED: Final = "its members are being evicted"


@dataclass(frozen=True, slots=True, kw_only=True)
class Healing:
    """What the configuration says of losses; ``restarting``: dialects whose gangs restart whole."""

    partial_s: float = PARTIAL_S
    replace_s: float = REPLACE_S
    restarting: frozenset[str] = frozenset()

    def restarts_whole(self, key: GangKey, members: Sequence[Pod]) -> bool:
        """Whether the loss of one member ends them all."""
        said = words.agreed(members, words.ON_LOSS)
        return key.dialect in self.restarting if said is None else said == words.RESTART

    @property
    def restart_s(self) -> float:
        """How long the others of a gang that restarts whole may stay."""
        return min(RESTART_S, self.partial_s)


def keeps_others(members: Sequence[Pod]) -> bool:
    """Whether the pods themselves say that one of them can be replaced beside the others that run."""
    return words.agreed(members, words.ON_LOSS) == words.REPLACE

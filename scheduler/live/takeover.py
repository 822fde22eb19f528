"""What an earlier leader wrote: by which minimum gangs stand, who did their work and is gone, where members
were to go, and what it takes back and did not live to, which is done to the end, each member once.
"""

from __future__ import annotations

from scheduler.gangs.recovery import TAKING_BACK, left_over
from scheduler.live.actor import Actor
from scheduler.live.claims import Claim, ClaimBook
from scheduler.live.logs import logger
from scheduler.model.objects import Shape
from scheduler.state import ClusterState

log = logger("takeover")


class Takeover:
    """Level-triggered: what is due follows from the Gang objects. One term of one leader."""

    def __init__(self, state: ClusterState, actor: Actor, claims: ClaimBook) -> None:
        self._state = state
        self._actor = actor
        self._claims = claims
        #: Gang objects' UIDs and the terms that wrote them: each is taken over once.
        self._taken: set[tuple[str, int]] = set()
        self._is_first = True

    def learn(self) -> None:
        """Before this process leads: by which minimum gangs stand that were short when it began to watch.

        Whoever of them it then sees go is a lost member, whose room is kept when it leads.
        """
        for claim in self._claims.all():
            self._state.gangs.recall_finished(claim.key, claim.finished)
            if claim.started:
                self._state.gangs.remember(claim.key, claim.started)

    def finish(self, epoch: int) -> int:
        """Begin to evict what is left; how many gangs that were.

        To be called before anything is planned: who replaces a member waits for the others to leave.
        """
        if self._is_first:
            for claim in self._claims.all():
                done = {pod.uid for pod in claim.finished}
                where = {uid: node for uid, _, node in claim.placement if uid not in done}
                self._state.gangs.recall(claim.key, claim.started, where, self._has_room)
        begun = sum(
            self._take_over(claim, epoch)
            for claim in self._claims.all()
            # Without an election every term is the same, and what is there at first is an earlier process's.
            if claim.phase == TAKING_BACK and (claim.epoch < epoch or self._is_first)
        )
        self._is_first = False
        return begun

    def _has_room(self, node: str, shape: Shape) -> bool:
        row = self._state.columns.row.get(node)
        return row is not None and self._state.columns.fits([row], [shape.requests])

    def _take_over(self, claim: Claim, epoch: int) -> bool:
        if (claim.uid, claim.epoch) in self._taken or self._actor.is_running(claim.key):
            return False
        self._taken.add((claim.uid, claim.epoch))
        pods = left_over({uid for uid, _, _ in claim.placement}, self._state.members(claim.key))
        if not pods:
            return False
        gang, _ = self._state.remains(claim.key)
        log.warning("taking back the rest of a gang", gang=str(claim.key), term=claim.epoch, pods=len(pods))
        self._actor.unwind(gang, pods, epoch=epoch, reason=claim.message, is_inherited=True)
        return True

"""Keeps Gang objects telling the truth about gangs that no attempt is working on.

Level-triggered: what an object should say follows from the state; it is written on change only, by a
few workers of its own, so that telling never slows binding.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from scheduler.gangs.recovery import TAKING_BACK
from scheduler.kube.transport import ApiError, ClusterError
from scheduler.live.claims import MESSAGE_MAX, Claim, ClaimBook
from scheduler.live.logs import logger
from scheduler.live.rotation import Rotation
from scheduler.model.gang import Finished, GangKey, PendingGang
from scheduler.model.plan import Verdict
from scheduler.state import ClusterState

log = logger("noticeboard")

WORKERS = 4
QUEUE_MAX = 10_000
#: Objects that one sweep looks at.
SWEPT_AT_ONCE = 2_000
#: What a Gang may still say when its attempt is over and all that waited has its place, or has left.
_OPEN = frozenset({"Binding", "Pending", TAKING_BACK})
#: Of a Gang at which nothing is under way.
_AT_REST = frozenset({"Bound", "Pending"})


class Runs(Protocol):
    def is_running(self, key: GangKey) -> bool: ...


@dataclass(frozen=True, slots=True)
class Notice:
    """What a gang's object should say; a None gang means that the object should go."""

    gang: PendingGang | None
    phase: str = ""
    reason: str = ""
    message: str = ""
    epoch: int = 0


class Noticeboard:
    def __init__(self, claims: ClaimBook) -> None:
        self._claims = claims
        self._swept = Rotation(SWEPT_AT_ONCE)
        self._wanted: dict[GangKey, Notice] = {}
        self._queue: asyncio.Queue[GangKey] = asyncio.Queue()
        self._writing: set[GangKey] = set()
        #: Until when the API server asked not to be asked again, by the loop's clock.
        self._held_s: dict[GangKey, float] = {}

    def pending(self, gang: PendingGang, verdict: Verdict, epoch: int) -> None:
        """A gang waits: show its verdict."""
        if not gang.key.is_single:
            notice = Notice(gang, "Pending", verdict.reason, verdict.message, epoch)
            self._want(gang.key, notice)

    def sweep(self, state: ClusterState, runs: Runs, epoch: int) -> None:
        """Objects whose gang is whole or gone, and that do not say so yet; of many some at a time."""
        partial = state.partial()
        for claim in self._swept.of(self._claims.all()):
            key = claim.key
            if runs.is_running(key):
                continue
            if not state.members(key):
                self._want(key, Notice(None))
            elif state.view(key) is not None:
                continue
            elif key not in partial and _is_old(claim, state.gangs.stood(key)):
                gang, pods = state.remains(key)
                # A gang whose last waiting members left, as when it shrinks, stands with the others.
                if pods or claim.phase != "Pending":
                    self._want(key, Notice(gang, "Bound", "Bound", "", epoch))
            elif claim.phase in _AT_REST and _uids(claim.finished) != _uids(state.gangs.finished(key)):
                gang, pods = state.remains(key)
                # Of a gang that is over each is deleted in turn, and nobody asks any more.
                if pods:
                    self._want(key, Notice(gang, claim.phase, claim.reason, claim.message, epoch))

    async def run(self) -> None:
        """Write notices until cancelled."""
        async with asyncio.TaskGroup() as group:
            for _ in range(WORKERS):
                group.create_task(self._work())

    def _want(self, key: GangKey, notice: Notice) -> None:
        claim = self._claims.get(key)
        message = notice.message[:MESSAGE_MAX]
        if notice.gang is None or claim is None:
            is_said = notice.gang is None and claim is None
        else:
            gang = notice.gang
            said = (claim.phase, claim.reason, claim.message, claim.started, _uids(claim.finished))
            is_said = said == (notice.phase, notice.reason, message, gang.stood, _uids(gang.finished))
        is_held = self._held_s.get(key, 0.0) > asyncio.get_running_loop().time()
        if is_said or is_held or key in self._writing or len(self._wanted) >= QUEUE_MAX:
            return
        if key not in self._wanted:
            self._queue.put_nowait(key)
        self._wanted[key] = notice

    async def _work(self) -> None:
        while True:
            key = await self._queue.get()
            notice = self._wanted.pop(key)
            self._writing.add(key)
            self._held_s.pop(key, None)
            try:
                await self._write(key, notice)
            except ApiError as error:
                self._hold(key, error)
                # Gone or changed meanwhile: the next cycle says what is true then.
                if error.status not in (404, 409):
                    log.warning("notice not written", gang=str(key), status=error.status)
            except ClusterError as error:
                log.warning("notice not written", gang=str(key), error=str(error))
            finally:
                self._writing.discard(key)

    def _hold(self, key: GangKey, error: ApiError) -> None:
        if error.retry_after_s is not None and len(self._held_s) < QUEUE_MAX:
            self._held_s[key] = asyncio.get_running_loop().time() + error.retry_after_s

    async def _write(self, key: GangKey, notice: Notice) -> None:
        if notice.gang is None:
            await self._claims.drop(key)
            return
        await self._claims.show(
            key,
            notice.gang,
            epoch=notice.epoch,
            phase=notice.phase,
            reason=notice.reason,
            message=notice.message,
        )


def _is_old(claim: Claim, stood: int) -> bool:
    """Whether the object of a gang that waits for nothing does not say so, or by which minimum it stands."""
    return claim.phase in _OPEN or (bool(stood) and claim.started != stood)


def _uids(finished: Iterable[Finished]) -> frozenset[str]:
    """Whose these are: leaders saw them go in different orders."""
    return frozenset(one.uid for one in finished)

"""The allowance where there is no TeamQuota: nobody has a limit, and nothing is counted."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from quotas.amounts import NOTHING, Amounts
from quotas.books import Books, open_books
from quotas.entitlement import Denied
from scheduler.model.gang import PendingGang
from scheduler.model.objects import Pod, Shape
from scheduler.model.plan import Snapshot
from scheduler.model.team import Teams
from scheduler.teams.allowance import Allowance


class Unlimited(Allowance):
    """All work is nobody's, and of one team as far as priorities go."""

    def __init__(self, snapshot: Snapshot, room: Teams) -> None:
        self.teams = room
        self.table = room.table
        self._snapshot = snapshot
        self.books: Books = open_books(room.table.tree, NOTHING, NOTHING_USED, NOTHING_USED)
        self.governed = ()

    def request(self, gang: PendingGang, model: str | None = None) -> dict[str, int]:
        return {}

    def placed(self, pods: Mapping[str, Pod], nodes: Mapping[str, str]) -> dict[str, int]:
        return {}

    def models(self, shape: Shape) -> tuple[int, ...]:
        return ()

    def ask(
        self, gang: PendingGang, *, is_strict: bool = False
    ) -> tuple[NDArray[np.bool_] | None, Denied | None]:
        return None, None

    def denied(self, gang: PendingGang, request: Amounts, *, is_strict: bool = False) -> Denied | None:
        return None

    def charge(self, gang: PendingGang, amounts: Amounts) -> None:
        pass

    def release(self, team: str, amounts: Amounts) -> None:
        pass


NOTHING_USED: Mapping[str, Amounts] = {}

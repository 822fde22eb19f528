"""Keeps TeamQuota statuses telling how each team stands, and the same as metrics.

Written on change only, a few seconds apart, beside the binds. Decayed use goes along, at least once a minute,
so that a restart keeps it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from datetime import UTC, datetime

import msgspec

from quotas.accounts import PARTS, Account, accounts
from quotas.amounts import Amounts
from quotas.team import Condition
from quotas.tree import overcommitted
from scheduler.kube.client import Client
from scheduler.kube.transport import MERGE_PATCH, ClusterError
from scheduler.live.logs import logger, printable
from scheduler.live.metrics import Metrics
from scheduler.model.plan import Snapshot
from scheduler.parse.teamquota import shown_amounts
from scheduler.state import ClusterState
from scheduler.teams.allowance import Allowance, capacity

log = logger("teamboard")

EVERY_S = 3.0
HISTORY_EVERY_S = 60.0
WRITE_TIMEOUT_S = 5.0
PATH = "/apis/stowplan.dev/v1alpha1/teamquotas"
MESSAGE_MAX = 1024

Status = dict[str, object]


class Teamboard:
    """``clock`` is the wall clock; ``may_act`` is asked before each write."""

    def __init__(
        self,
        transport: Client,
        state: ClusterState,
        *,
        metrics: Metrics,
        clock: Callable[[], float],
        may_act: Callable[[], bool],
    ) -> None:
        self._transport = transport
        self._state = state
        self._metrics = metrics
        self._clock = clock
        self._may_act = may_act
        self._latest: Snapshot | None = None
        self._said: dict[str, Status] = {}
        self._history_at_s: dict[str, float] = {}
        #: Whether each team is as written, and since when.
        self._accepted: dict[str, tuple[str, str]] = {}

    def offer(self, snapshot: Snapshot) -> None:
        """The newest moment; the board takes it up when it is time."""
        self._latest = snapshot if snapshot.teams is not None else None

    async def run(self) -> None:
        """Write until cancelled."""
        while True:
            await asyncio.sleep(EVERY_S)
            snapshot, self._latest = self._latest, None
            if snapshot is None or snapshot.teams is None or not self._may_act():
                continue
            # In a thread: the shares of many teams take a while, and the lease must be renewed meanwhile.
            found, odd = await asyncio.to_thread(_standing, snapshot)
            self._metrics.teams({name: account for name, account in found.items() if name})
            told = (*self._state.roll.conditions, *odd)
            for name in sorted(set(found) & set(self._state.roll.quotas)):
                generation = snapshot.teams.table.generations.get(name, 0)
                status = _status(found[name], told, generation)
                await self._tell(name, status, snapshot.teams.history.get(name, {}))

    async def _tell(self, name: str, status: Status, history: Amounts) -> None:
        """Write one team's status if it changed, or if its history was not written for long."""
        now_s = self._clock()
        is_due = bool(history) and now_s - self._history_at_s.get(name, 0.0) >= HISTORY_EVERY_S
        if not self._may_act() or (self._said.get(name) == status and not is_due):
            return
        body = dict(status)
        since = _time(now_s)
        accepted = _accepted(status)
        kept, kept_since = self._accepted.get(name, ("", ""))
        changed = since if accepted["status"] != kept else kept_since
        body["conditions"] = [{**accepted, "lastTransitionTime": changed}]
        if history:
            body["history"] = {"asOf": since, "usage": shown_amounts(history)}
        try:
            await self._transport.request(
                "PATCH",
                f"{PATH}/{name}/status",
                body=msgspec.json.encode({"status": body}),
                content_type=MERGE_PATCH,
                timeout_s=WRITE_TIMEOUT_S,
            )
        except ClusterError as error:
            log.warning("team status not written", team=name, error=str(error)[:256])
            return
        self._said[name] = status
        self._accepted[name] = (str(accepted["status"]), changed)
        self._history_at_s[name] = now_s


def _standing(snapshot: Snapshot) -> tuple[dict[str, Account], tuple[Condition, ...]]:
    if snapshot.teams is None:
        return {}, ()
    books = Allowance(snapshot, snapshot.teams).books
    return accounts(books), overcommitted(snapshot.teams.table.tree, capacity(snapshot, snapshot.teams))


def _status(account: Account, told: tuple[Condition, ...], generation: int) -> Status:
    """What the status says, apart from times and history; of which writing of the spec."""
    return {
        "observedGeneration": generation,
        "share": f"{account.holds_ppm / PARTS:.6f}",
        "usage": shown_amounts(account.used),
        "fairShareNow": shown_amounts(account.due),
        "borrowed": shown_amounts(account.borrowed),
        "lent": shown_amounts(account.lent),
        "pending": shown_amounts(account.waiting),
        "conditions": sorted((c.kind, c.message) for c in told if c.team == account.team),
    }


def _accepted(status: Mapping[str, object]) -> Status:
    """One condition: all is as written, or the first thing that is not, with all in the message."""
    own = status["conditions"]
    odd = own if isinstance(own, list) else []
    text = printable("; ".join(f"{kind}: {message}" for kind, message in odd), MESSAGE_MAX)
    return {
        "type": "Accepted",
        "status": "False" if odd else "True",
        "reason": str(odd[0][0]) if odd else "AsWritten",
        "message": text,
        "observedGeneration": status["observedGeneration"],
    }


def _time(at_s: float) -> str:
    return datetime.fromtimestamp(at_s, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")

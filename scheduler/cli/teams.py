"""``stowplan teams``: the tree of teams with what each has and is due, and the order of what waits.

Worked out here and now from what the API server shows, by the very code that schedules.
"""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec

from quotas.accounts import PARTS, Account, accounts
from quotas.order import NOTHING_DUE, Position
from quotas.units import MILLI, UNITS
from scheduler.cli import cluster
from scheduler.cli.configuration import read as read_config
from scheduler.cli.connection import ask
from scheduler.cli.failure import Failure
from scheduler.cli.groups import tell_groups
from scheduler.cli.output import Output, emit, table
from scheduler.kube import wire
from scheduler.kube.client import Client
from scheduler.kube.transport import NotFound
from scheduler.live.config import SchedulerConfiguration
from scheduler.live.feeds import NamespaceFeed, NodeFeed, PodFeed, TeamQuotaFeed
from scheduler.model.plan import Snapshot
from scheduler.state import ClusterState
from scheduler.teams.allowance import Allowance

BAR_WIDTH = 20
NO_TEAM = "(no team)"


class TeamRow(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """A team with everything below it; amounts are in normalised GPUs, milli-CPU and bytes by resource."""

    team: str
    level: int
    guaranteed: dict[str, int]
    used: dict[str, int]
    due: dict[str, int]
    borrowed: dict[str, int]
    lent: dict[str, int]
    pending: dict[str, int]
    owes: dict[str, int]
    #: The largest part of any resource of the cluster, 0 to 1: in use, and due.
    share: float
    due_share: float
    conditions: list[str]


class Turn(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """One waiting gang in its turn, and why it comes there."""

    place: int
    gang: str
    team: str
    priority: int
    why: str


class Answer(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    teams: list[TeamRow]
    order: list[Turn]


def show(
    kubeconfig: Path | None, context: str | None, *, config: Path | None, explain: bool, output: Output
) -> None:
    settings = read_config(config)
    answer = ask(kubeconfig, context, lambda transport: read(transport, settings, at_s=time.time()))
    if output != "table":
        emit(answer if explain else answer.teams, output)
        return
    columns = [
        "team",
        "gpus",
        "guaranteed",
        "used",
        "due",
        "borrowed",
        "lent",
        "pending",
        "share",
        "conditions",
    ]
    table(columns, [_cells(row) for row in answer.teams])
    if explain:
        print()
        table(
            ["turn", "gang", "team", "priority", "why"],
            [[str(t.place), t.gang, t.team or NO_TEAM, str(t.priority), t.why] for t in answer.order],
        )


async def read(transport: Client, settings: SchedulerConfiguration, *, at_s: float) -> Answer:
    """Raises: Failure where there is no TeamQuota."""
    state = ClusterState(settings.scheduler_name, settings.teams.units())
    quotas, namespaces, nodes, pods = await _listed(transport)
    TeamQuotaFeed(state).put(quotas)
    NamespaceFeed(state).put(namespaces)
    NodeFeed(state).put(nodes)
    PodFeed(state, lambda uid, pod: None, lambda key: None).put(pods)
    # Without them a gang that an object describes would wait for its object, and count as asking for nothing.
    await tell_groups(transport, state)
    snapshot = state.snapshot(at_s)
    if snapshot.teams is None:
        raise Failure("there is no TeamQuota; see docs/teams.md for what one says")
    told: dict[str, list[str]] = {}
    for condition in state.roll.conditions:
        told.setdefault(condition.team, []).append(f"{condition.kind}: {condition.message}")
    allowance = Allowance(snapshot, snapshot.teams)
    return Answer(teams=_rows(allowance, told), order=_turns(snapshot, allowance))


async def _listed(
    transport: Client,
) -> tuple[list[wire.TeamQuota], list[wire.Namespace], list[wire.Node], list[wire.Pod]]:
    try:
        return await asyncio.gather(
            cluster.list_all(transport, f"{cluster.GANGS}/teamquotas", wire.TeamQuota),
            cluster.list_all(transport, "/api/v1/namespaces", wire.Namespace),
            cluster.list_all(transport, "/api/v1/nodes", wire.Node),
            cluster.list_all(transport, "/api/v1/pods", wire.Pod),
        )
    except NotFound as error:
        raise Failure("the cluster has no TeamQuota resource; apply deploy/crds/teamquotas.yaml") from error


def _rows(allowance: Allowance, told: dict[str, list[str]]) -> list[TeamRow]:
    """Parents before children, siblings by name."""
    found, tree = accounts(allowance.books), allowance.table.tree
    rows: list[TeamRow] = []

    def add(index: int, level: int) -> None:
        name = tree.nodes[index].name
        rows.append(_row(found[name], level, told.get(name, [])))
        below = [c for c in tree.nodes[index].children if tree.nodes[c].name != name]
        for child in sorted(below, key=lambda c: tree.nodes[c].name):
            add(child, level + 1)

    add(0, 0)
    return rows


def _row(account: Account, level: int, conditions: list[str]) -> TeamRow:
    return TeamRow(
        team=account.team,
        level=level,
        guaranteed=account.guaranteed,
        used=account.used,
        due=account.due,
        borrowed=account.borrowed,
        lent=account.lent,
        pending=account.waiting,
        owes=account.owes,
        share=account.holds_ppm / PARTS,
        due_share=account.due_ppm / PARTS,
        conditions=conditions,
    )


def _turns(snapshot: Snapshot, allowance: Allowance) -> list[Turn]:
    return [
        Turn(
            place=place,
            gang=str(snapshot.gangs[p.index].key)
            if not snapshot.gangs[p.index].key.is_single
            else f"{snapshot.gangs[p.index].key.namespace}/{snapshot.gangs[p.index].pods[0].name}",
            team=allowance.team(snapshot.gangs[p.index]),
            priority=p.priority,
            why=_why(p),
        )
        for place, p in enumerate(allowance.in_order(snapshot.gangs), start=1)
    ]


def _why(position: Position) -> str:
    if position.is_promised:
        return "room was made for it"
    parts = ["it is partly started: first in its team and priority"] if position.is_started else []
    for standing in position.standings:
        name = standing.team or NO_TEAM
        if standing.is_guaranteed:
            parts.append(f"{name} is within its guarantee")
        elif standing.filled_ppm >= NOTHING_DUE:
            parts.append(f"{name} is due nothing")
        else:
            parts.append(f"{name} has {standing.filled_ppm / 10_000:.1f} % of what it is due")
    return "; ".join(parts)


def _cells(row: TeamRow) -> list[str]:
    name = "  " * row.level + (row.team or "cluster")
    whole = max(row.guaranteed.get(UNITS, 0), row.used.get(UNITS, 0), row.due.get(UNITS, 0), 1)
    gpus = [row.guaranteed, row.used, row.due, row.borrowed, row.lent, row.pending]
    return [
        name,
        bar(row.used.get(UNITS, 0), row.guaranteed.get(UNITS, 0), whole),
        *(_gpus(amounts.get(UNITS, 0)) for amounts in gpus),
        f"{row.share:.3f} of {row.due_share:.3f}",
        "; ".join(row.conditions) or "-",
    ]


def bar(used: int, guaranteed: int, whole: int) -> str:
    """``####--``: in use within the guarantee (#), borrowed (+), guaranteed and idle (-)."""
    within = BAR_WIDTH * min(used, guaranteed) // whole
    over = BAR_WIDTH * max(0, used - guaranteed) // whole
    idle = BAR_WIDTH * max(0, guaranteed - used) // whole
    return "#" * within + "+" * over + "-" * idle


def _gpus(amount: int) -> str:
    return str(amount // MILLI) if amount % MILLI == 0 else f"{amount / MILLI:.3f}"

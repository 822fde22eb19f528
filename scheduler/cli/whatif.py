"""``stowplan what-if``: a snapshot with something changed, and what would come of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.cli.output import Output, emit, table
from scheduler.cli.simulate import Asked as Repeated
from scheduler.cli.simulate import again, cluster_of, need, setting, write
from scheduler.cli.units import duration
from scheduler.gangs.groups import MAX_EXEC_TIME
from scheduler.service import ESTIMATE
from simulations.lengths import DEADLINE, DEFAULT
from simulations.manifests import BadManifest
from simulations.snapshots import BadSnapshot, ClusterSnapshot, read_snapshot
from simulations.submitted import Submitted, read_manifests
from simulations.whatif import Answer, Change, Displaced, Start, answered, courses

NEVER = "not within {}"
#: What stands behind an expected end, by ``simulations.lengths``.
SOURCES = {
    ESTIMATE: f"their estimate ({ESTIMATE})",
    MAX_EXEC_TIME: f"Kueue's limit ({MAX_EXEC_TIME}), at the latest",
    DEADLINE: f"their limit ({DEADLINE}), at the latest",
    DEFAULT: f"{DEFAULT}, for they say nothing themselves",
}
REMEDY = f"annotate {ESTIMATE}, or give {DEFAULT}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """Files and names as they were given. ``config`` is what the cluster runs now, ``policy`` the change."""

    adds: Sequence[Path]
    drains: Sequence[str]
    teams: Path | None
    submits: Sequence[Path]
    policy: Path | None
    config: Path | None
    horizon_s: float
    default_s: float | None
    report: Path | None = None
    words: Sequence[str] = ()

    @property
    def files(self) -> tuple[Path | None, ...]:
        return (*self.adds, self.teams, *self.submits, self.policy, self.config)


def show(file: Path, asked: Asked, *, output: Output) -> None:
    """Raises: Failure."""
    if asked.report is not None:
        need("simulations.report.before_after")
    try:
        snapshot = read_snapshot(file)
        change = _change(snapshot, asked)
    except (BadSnapshot, BadManifest) as error:
        raise Failure(str(error), code=EXIT_USAGE) from error
    now = setting(asked.config)
    before, after = courses(snapshot, change, policy=now.policy, budget=now.budget, horizon_s=asked.horizon_s)
    found = answered(before, after, change, asked.horizon_s)
    if asked.report is not None:
        from simulations.report.before_after import what_if_page

        once_more = again(Repeated(words=asked.words, files=(file, *asked.files)))
        write(asked.report, what_if_page(found, before, after, once_more))
    if output != "table":
        emit(found, output)
        return
    _show(found)


def _change(snapshot: ClusterSnapshot, asked: Asked) -> Change:
    """Raises: BadManifest, Failure."""
    there = {node.name for node in snapshot.nodes}
    for name in asked.drains:
        if name not in there:
            raise Failure(f"--drain {name}: the snapshot has no such node", code=EXIT_USAGE)
    adds = [node for path in asked.adds for node in cluster_of(path)]
    for node in adds:
        if node.name in there:
            raise Failure(f"--add: a node {node.name} is there already; rename the pool", code=EXIT_USAGE)
    parts = [read_manifests(path, at_s=snapshot.taken_s) for path in asked.submits]
    chosen = setting(asked.policy or asked.config, teams=asked.teams)
    return Change(
        adds=adds,
        drains=frozenset(asked.drains),
        teams=chosen.teams,
        submits=Submitted(
            pods=tuple(pod for part in parts for pod in part.pods),
            groups=tuple(group for part in parts for group in part.groups),
        ),
        policy=chosen.policy,
        budget=chosen.budget,
        default_s=asked.default_s,
    )


def _show(found: Answer) -> None:
    columns = ("gang", "pods", "starts now", "starts then", "why not")
    rows = sorted(found.starts, key=lambda one: (one.before_s == one.after_s, not one.is_submitted, one.gang))
    table(columns, [_start(one, found.horizon_s) for one in rows])
    print()
    if found.displaced:
        columns = ("displaced", "pods", "after", "by", "for")
        table(columns, [_displaced(one) for one in found.displaced])
    else:
        print("nobody is displaced")
    for source, count in found.ends_by.items():
        print(f"{count:,} gangs are taken to end by {SOURCES.get(source, source)}")
    if found.endless:
        print(f"{found.endless:,} running gangs do not say when they end, or should have: {REMEDY}")


def _start(one: Start, horizon_s: float) -> tuple[str, ...]:
    never = NEVER.format(duration(horizon_s))
    before = (
        "runs"
        if one.is_running
        else "-"
        if one.is_submitted
        else never
        if one.before_s is None
        else _after(one.before_s)
    )
    after = never if one.after_s is None else _after(one.after_s)
    return (one.gang, f"{one.pods:,}", before, after, one.message if one.after_s is None else "")


def _after(seconds: float) -> str:
    return "at once" if seconds < 1 else f"in {duration(seconds)}"


def _displaced(one: Displaced) -> tuple[str, ...]:
    return (one.gang, f"{one.pods:,}", _after(one.at_s), one.rule, one.beneficiary)

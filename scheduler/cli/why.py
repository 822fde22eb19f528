"""``stowplan why``: what is known about one gang or pod, member by member."""

from __future__ import annotations

from pathlib import Path

import msgspec

from scheduler.cli import cluster
from scheduler.cli.cluster import Member, Row
from scheduler.cli.connection import ask
from scheduler.cli.failure import Failure
from scheduler.cli.gangs import SCHEDULER
from scheduler.cli.output import Output, emit, table
from scheduler.kube import wire
from scheduler.kube.transport import NotFound, Transport
from scheduler.model.gang import GangKey

#: What each reason means and who can change it; the message says the rest.
MEANINGS = {
    "Rejected": "its description is refused: change it as the message says",
    "Waiting": "it is incomplete: members or its group object are still to come",
    "QuotaExceeded": "a quota forbids it now: it starts when work ends or an admin changes the quota",
    "WaitingForVictims": "others leave, and their room is held for it: it starts when they are gone",
    "WaitingForNodes": "an autoscaler is asked for all that it needs: it starts when the nodes are there",
    "Unschedulable": "proven: it does not fit beside what runs now; it starts when enough of that ends",
    "NeverFits": "proven: it does not fit on the nodes as they are now, even empty of pods, resource claims "
    "(DRA) aside; ask for less or add nodes",
    "Unproven": "no place was found, and none is ruled out: the message says what was not looked at",
}


class Answer(msgspec.Struct, kw_only=True, rename="camel", frozen=True):
    """One gang or pod in full."""

    subject: Row
    epoch: int
    members: list[Member]


def show(kubeconfig: Path | None, context: str | None, *, name: str, namespace: str, output: Output) -> None:
    answer = ask(kubeconfig, context, lambda transport: read(transport, namespace, name))
    if output != "table":
        emit(answer, output)
        return
    row = answer.subject
    reason = f" ({row.reason})" if row.reason not in ("", row.phase) else ""
    print(f"{row.kind} {row.namespace}/{row.name}: {row.phase}{reason}")
    if row.message:
        print(f"  {row.message}")
    if row.reason in MEANINGS:
        print(f"  {MEANINGS[row.reason]}")
    print(f"  {row.bound} bound, {row.min_member} needed together, {row.members} exist")
    if answer.members:
        print()
        # What a member is told is shown only where it differs from what its gang is told.
        said = [m.message if m.message != row.message else "" for m in answer.members]
        rows = [[m.name, m.phase, m.node or "-", text] for m, text in zip(answer.members, said, strict=True)]
        columns = ["pod", "phase", "node", "message"] if any(said) else ["pod", "phase", "node"]
        table(columns, [row[: len(columns)] for row in rows])


async def read(transport: Transport, namespace: str, name: str) -> Answer:
    """The gang of that name, else the pod of that name with its gang. Raises: Failure for neither."""
    try:
        found = {cluster.gang_key(gang): gang for gang in await cluster.gangs(transport, namespace)}
    except NotFound:
        found = {}
    named = [key for key, gang in found.items() if name in (key.name, gang.metadata.name)]
    alone = None if named else await cluster.pod(transport, namespace, name)
    if not named and alone is None:
        raise Failure(
            f"no gang and no pod {namespace}/{name}; see `stowplan gangs -n {namespace}`, or give --namespace"
        )
    key = named[0] if named else _gang_of(alone)
    if key not in found:
        return _of_pod(alone)
    pods = await cluster.pods(transport, namespace, SCHEDULER)
    members = sorted(
        (cluster.member(pod) for pod in pods if cluster.key_of(pod) == key), key=lambda m: _natural(m.name)
    )
    return Answer(subject=cluster.gang_row(found[key]), epoch=found[key].status.epoch, members=members)


def _gang_of(pod: wire.Pod | None) -> GangKey | None:
    return None if pod is None else cluster.key_of(pod)


def _of_pod(pod: wire.Pod | None) -> Answer:
    if pod is None:
        raise Failure("the gang went away while it was read; ask again")
    if pod.spec.scheduler_name != SCHEDULER:
        where = f"{pod.metadata.namespace}/{pod.metadata.name}"
        raise Failure(
            f"pod {where} is scheduled by {pod.spec.scheduler_name!r}; set spec.schedulerName: {SCHEDULER}"
        )
    return Answer(subject=cluster.pod_row(pod), epoch=0, members=[])


def _natural(name: str) -> tuple[str, int]:
    stem, _, number = name.rpartition("-")
    return (stem, int(number)) if number.isascii() and number.isdigit() else (name, -1)

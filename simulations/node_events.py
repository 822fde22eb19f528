"""What happens to nodes in a simulated run: they fail, are drained for a while, come back, or join.

A file of it is replayed against the cluster before anything runs, so that each event is of a node to which
it can happen at that time.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import msgspec
import yaml

from deploy.local.nodes.pools import NodeFileError, Pool, check
from scheduler.model.objects import Node
from simulations.nodes import pooled
from simulations.times import BadTime, seconds_of

FILE_BYTES_MAX = 16 << 20
EVENTS_MAX = 100_000
KINDS: Final = ("fails", "drains", "joins", "pools")

Does = Literal["fails", "drains", "joins"]


class BadEvents(ValueError):
    """A file of events that cannot be taken; the message names the field and the remedy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeChange:
    """A node is lost with its pods, is cordoned and its pods are evicted, or is offered (again)."""

    at_s: float
    node: Node
    does: Does


class _Event(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    at: float | str
    fails: tuple[str, ...] = ()
    drains: tuple[str, ...] = ()
    joins: tuple[str, ...] = ()
    pools: tuple[Pool, ...] = ()
    until: float | str | None = None


class _File(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    events: tuple[_Event, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class _Moment:
    """The begin of an event, or its end where it has one."""

    at_s: float
    index: int
    is_begin: bool
    event: _Event


@dataclass(slots=True)
class _Nodes:
    """Where each node that ever was is now, and the event that brought it there."""

    known: dict[str, Node]
    #: Nodes that are gone or drained, and since which event.
    away: dict[str, tuple[Literal["fails", "drains"], int]] = field(default_factory=dict)


def read_events(path: Path, nodes: Sequence[Node]) -> tuple[NodeChange, ...]:
    """The changes of a YAML file, in order of time. Raises: BadEvents."""
    try:
        if path.stat().st_size > FILE_BYTES_MAX:
            raise BadEvents(f"{path}: larger than {FILE_BYTES_MAX:,} bytes; is this the right file?")
        found = msgspec.convert(yaml.safe_load(path.read_text(encoding="utf-8")), _File).events
    except (OSError, UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise BadEvents(f"{path}: {error}") from error
    except msgspec.ValidationError as error:
        message, _, where = str(error).partition(" - at `$")
        raise BadEvents(f"{path}: {where.strip('.`') or 'top level'}: {message}") from error
    try:
        return _changes(found, nodes)
    except BadEvents as error:
        raise BadEvents(f"{path}: {error}") from error


def _changes(events: Sequence[_Event], nodes: Sequence[Node]) -> tuple[NodeChange, ...]:
    if len(events) > EVENTS_MAX:
        raise BadEvents(f"events: {len(events):,} are more than {EVENTS_MAX:,}; name several nodes in one")
    moments = [moment for index, event in enumerate(events) for moment in _moments(index, event)]
    # What ends at the time at which something else begins ends first; else the order of the file.
    moments.sort(key=lambda moment: (moment.at_s, moment.is_begin, moment.index))
    there = _Nodes({node.name: node for node in nodes})
    found: list[NodeChange] = []
    for moment in moments:
        for name, does in _begun(moment, there) if moment.is_begin else _ended(moment, there):
            found.append(NodeChange(at_s=moment.at_s, node=there.known[name], does=does))
    return tuple(found)


def _moments(index: int, event: _Event) -> Iterator[_Moment]:
    where = f"events[{index}]"
    said = [kind for kind in KINDS if getattr(event, kind)]
    if len(said) != 1:
        told = " and ".join(said) or "none of them"
        raise BadEvents(f"{where}: expected one of {', '.join(KINDS)} with a name or more, found {told}")
    begin_s = _seconds(f"{where}.at", event.at)
    yield _Moment(at_s=begin_s, index=index, is_begin=True, event=event)
    if event.until is None:
        return
    if said[0] not in ("fails", "drains"):
        raise BadEvents(
            f"{where}.until: {said[0]} has no end; give the nodes' end as an event that fails them"
        )
    until_s = _seconds(f"{where}.until", event.until)
    if until_s <= begin_s:
        raise BadEvents(f"{where}.until: {until_s:g} s is not after `at`, {begin_s:g} s; give a later time")
    yield _Moment(at_s=until_s, index=index, is_begin=False, event=event)


def _seconds(where: str, said: float | str) -> float:
    try:
        return seconds_of(said)
    except BadTime as error:
        raise BadEvents(f"{where}: {error}") from error


def _begun(moment: _Moment, there: _Nodes) -> Iterator[tuple[str, Does]]:
    event, where = moment.event, f"events[{moment.index}]"
    for name in _joined(where, event.pools, there.known):
        yield name, "joins"
    for i, name in enumerate(event.fails + event.drains + event.joins):
        kind: Does = "fails" if event.fails else "drains" if event.drains else "joins"
        field_name = f"{where}.{kind}[{i}]"
        if name not in there.known:
            remedy = "; describe new nodes under `pools`" if kind == "joins" else ""
            raise BadEvents(f"{field_name}: the cluster has no node {ascii(name)[:80]}{remedy}")
        before, since = there.away.get(name, ("", -1))
        told = f"{field_name}: at {moment.at_s:g} s node {name}"
        if kind == "joins" and not before:
            raise BadEvents(f"{told} is there already; leave it out, or let it fail or be drained before")
        if kind != "joins" and before == "fails":
            raise BadEvents(f"{told} is gone since events[{since}]; leave it out, or let it join before")
        if kind == "drains" and before == "drains":
            raise BadEvents(
                f"{told} is drained since events[{since}]; leave it out, or give that an earlier until"
            )
        if kind == "joins":
            del there.away[name]
        else:
            there.away[name] = (kind, moment.index)
        yield name, kind


def _joined(where: str, pools: Sequence[Pool], known: dict[str, Node]) -> list[str]:
    """Names of nodes that are new."""
    if not pools:
        return []
    try:
        check(pools)
    except NodeFileError as error:
        raise BadEvents(f"{where}.{error}") from error
    made: Mapping[str, Node] = {node.name: node for node in pooled(pools)}
    for name in made:
        if name in known:
            raise BadEvents(f"{where}.pools: there is or was a node {name}; rename the pool, or use `joins`")
    known.update(made)
    return list(made)


def _ended(moment: _Moment, there: _Nodes) -> Iterator[tuple[str, Does]]:
    """The nodes that come back, unless something else happened to them since."""
    for name in moment.event.fails + moment.event.drains:
        if there.away.get(name, ("", -1))[1] == moment.index:
            del there.away[name]
            yield name, "joins"

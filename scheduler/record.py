"""Decision records: a planning run with all that went into it, as one canonical line of JSON.

A record holds the snapshot, the policy, the budget and the verdicts that still held, and what the planner
made of them. ``replay`` plans again from it alone and says whether the decision is the same, bit for bit.

The form is generic: a value is JSON, a list with a tag, or a number that points into the table of objects, in
which equal objects stand once. Only the types listed here are ever made from a record.
"""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from types import ModuleType

import msgspec
import numpy as np

from binpacking import answer
from quotas import team, tree, units
from scheduler.gangs import groups
from scheduler.model import device_view, devices, disruption, gang, objects, plan, selection, volumes
from scheduler.model import team as teams
from scheduler.model.gang import GangKey
from scheduler.model.plan import Budget, Plan, Policy, Snapshot, Verdict
from scheduler.parse import teamquota
from scheduler.planner import plan as planned

VERSION = 4
LINE_BYTES_MAX = 256 << 20
_MODULES: tuple[ModuleType, ...] = (
    answer,
    team,
    tree,
    units,
    device_view,
    devices,
    disruption,
    gang,
    groups,
    objects,
    plan,
    selection,
    teamquota,
    volumes,
    teams,
)


class UnreadableRecord(ValueError):
    """The line is no decision record of this version."""


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Recorded:
    """What a line holds: what was planned on, and what came of it."""

    snapshot: Snapshot
    policy: Policy
    budget: Budget
    settled: Mapping[GangKey, Verdict]
    decided: Plan


class _Line(msgspec.Struct, frozen=True):
    version: int
    objects: list[list[object]]
    inputs: object
    decision: object


def record(
    snapshot: Snapshot,
    policy: Policy,
    budget: Budget,
    settled: Mapping[GangKey, Verdict],
    decided: Plan,
) -> bytes:
    """One line, without its end. Equal runs give equal bytes."""
    writer = _Writer()
    inputs = writer.put((snapshot, policy, budget, dict(settled)))
    decision = writer.put(decided)
    line = _Line(version=VERSION, objects=writer.table, inputs=inputs, decision=decision)
    return msgspec.json.encode(line)


def read(line: bytes) -> Recorded:
    """One line of ``record``, nothing planned again. Raises: UnreadableRecord."""
    try:
        found = msgspec.json.decode(line, type=_Line)
        if found.version != VERSION:
            raise UnreadableRecord(f"a record of version {found.version}; this is version {VERSION}")
        reader = _Reader(found.objects)
        inputs = reader.get(found.inputs)
        snapshot, policy, budget, settled = inputs if isinstance(inputs, tuple) else ()
        decided = reader.get(found.decision)
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableRecord(f"not a decision record: {error}") from error
    if not (
        isinstance(snapshot, Snapshot)
        and isinstance(policy, Policy)
        and isinstance(budget, Budget)
        and isinstance(settled, dict)
        and isinstance(decided, Plan)
    ):
        raise UnreadableRecord("not a decision record: something else stands in place of the plan")
    return Recorded(snapshot=snapshot, policy=policy, budget=budget, settled=settled, decided=decided)


def replay(line: bytes) -> tuple[Plan, Plan, bool]:
    """What was decided, what is decided now, and whether they are the same to the last bit.

    Raises: UnreadableRecord.
    """
    found = read(line)
    inputs = found.snapshot, found.policy, found.budget, found.settled
    now = planned(*inputs)
    return found.decided, now, record(*inputs, now) == line.strip()


def encode(value: object) -> bytes:
    """Any value of the types that a record may hold, inside of tuples and mappings, as one line."""
    writer = _Writer()
    root = writer.put(value)
    return msgspec.json.encode([VERSION, writer.table, root])


def decode(line: bytes) -> object:
    """The value that was encoded; equal objects are one. Raises: UnreadableRecord."""
    try:
        version, table, root = msgspec.json.decode(line, type=tuple[int, list[list[object]], object])
        if version != VERSION:
            raise UnreadableRecord(f"written as version {version}; this is version {VERSION}")
        return _Reader(table).get(root)
    except (msgspec.MsgspecError, KeyError, IndexError, TypeError, ValueError, RecursionError) as error:
        raise UnreadableRecord(str(error)) from error


@cache
def _types() -> dict[str, tuple[type, tuple[str, ...]]]:
    """By name, the dataclasses that a record may hold, with their fields."""
    found: dict[str, tuple[type, tuple[str, ...]]] = {}
    for module in _MODULES:
        for name, value in vars(module).items():
            if isinstance(value, type) and dataclasses.is_dataclass(value):
                fields = tuple(field.name for field in dataclasses.fields(value) if field.init)
                known, _ = found.setdefault(name, (value, fields))
                if known is not value:
                    raise TypeError(f"two types of a record are called {name}")
    return found


class _Writer:
    def __init__(self) -> None:
        self.table: list[list[object]] = []
        self._known: dict[int, int] = {}
        self._equal: dict[bytes, int] = {}
        #: Keeps alive what ``_known`` tells apart by id.
        self._seen: list[object] = []

    def put(self, value: object) -> object:
        match value:
            case None | bool() | str() | int():
                return value
            case float():
                return ["f", value.hex()]
            case tuple():
                return ["t", *map(self.put, value)]
            case frozenset():
                return ["s", *sorted((self.put(each) for each in value), key=repr)]
            case Mapping():
                return ["m", *([self.put(k), self.put(v)] for k, v in value.items())]
            case np.ndarray():
                flat = np.ascontiguousarray(value)
                data = base64.b64encode(flat.tobytes()).decode()
                return ["a", flat.dtype.str, list(flat.shape), data]
            case _:
                return self._object(value)

    def _object(self, value: object) -> object:
        known = self._known.get(id(value))
        if known is None:
            kind, fields = _types().get(type(value).__name__, (object, ()))
            if type(value) is not kind:
                raise TypeError(f"{type(value).__name__} is no type of a decision record")
            row = [kind.__name__, *(self.put(getattr(value, name)) for name in fields)]
            known = self._equal.setdefault(msgspec.json.encode(row), len(self.table))
            if known == len(self.table):
                self.table.append(row)
            self._known[id(value)] = known
            self._seen.append(value)
        return ["o", known]


class _Reader:
    """Objects come before those that hold them, so each is made once, in the table's order."""

    def __init__(self, table: Sequence[Sequence[object]]) -> None:
        self._made: list[object] = []
        for row in table:
            kind, fields = _types()[str(row[0])]
            if len(fields) != len(row) - 1:
                raise UnreadableRecord(f"{row[0]} has {len(row) - 1} fields, {len(fields)} are known")
            make: Callable[..., object] = kind
            self._made.append(make(**{f: self.get(v) for f, v in zip(fields, row[1:], strict=True)}))

    def get(self, value: object) -> object:
        if not isinstance(value, list):
            return value
        tag, *rest = value
        match tag:
            case "f":
                return float.fromhex(rest[0])
            case "t":
                return tuple(map(self.get, rest))
            case "s":
                return frozenset(map(self.get, rest))
            case "m":
                return {self.get(k): self.get(v) for k, v in rest}
            case "a":
                dtype, shape, data = rest
                return np.frombuffer(base64.b64decode(data), dtype=np.dtype(dtype)).reshape(shape)
            case "o":
                return self._made[rest[0]]
            case _:
                raise UnreadableRecord(f"unknown tag {tag!r}")

"""What happened to each device: signs of trouble, folded so that they stay few. Pure; times are arguments."""

from __future__ import annotations

import math
from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from scheduler.inventory.health import NONFATAL, rule_of

#: The same trouble within this long is one sign that goes on.
COALESCE_S = 60.0
SIGNS_MAX = 24
COUNT_MAX = 1_000_000

#: reset: of one device, or a driver loaded anew. boot: of the node.
Mending = Literal["reset", "boot"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Sign:
    """Trouble of one kind from ``first_s`` to ``last_s``.

    ``mended_s``: when the reset or boot was seen that its rule asks for; None while none was.
    """

    kind: str
    first_s: float
    last_s: float
    count: int = 1
    mended_s: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class History:
    """Signs by device UUID."""

    signs: Mapping[str, tuple[Sign, ...]] = field(default_factory=dict)

    def struck(self, uuid: str, kind: str, now_s: float, *, has_held: bool = False) -> History:
        """With one more sign on a device. has_held: it held when last asked, however long ago."""
        new = Sign(kind=kind, first_s=now_s, last_s=now_s)
        since_s = math.inf if has_held else COALESCE_S
        return replace(self, signs={**self.signs, uuid: _joined(self.signs.get(uuid, ()), new, since_s)})

    def mended(self, uuids: Iterable[str], how: Mending, now_s: float) -> History:
        """After a reset of these devices or a boot of their node."""
        known = {uuid: self.signs[uuid] for uuid in uuids if uuid in self.signs}
        stamped = {uuid: tuple(_mended(sign, how, now_s) for sign in signs) for uuid, signs in known.items()}
        return replace(self, signs={**self.signs, **stamped})

    def graded(self, uuid: str, now_s: float) -> History:
        """After the driver, asked at ``now_s``, wants nothing done: what it was to grade was harmless."""
        signs = self.signs.get(uuid, ())
        open_ = [sign for sign in signs if _is_to_grade(sign, now_s)]
        if not open_:
            return self
        told = tuple(sign for sign in signs if sign not in open_)
        for sign in open_:
            told = _joined(told, replace(sign, kind=f"{sign.kind}{NONFATAL}"))
        return replace(self, signs={**self.signs, uuid: told})

    def moved(self, uuid: str, to: str) -> History:
        """The same hardware under another UUID."""
        if uuid not in self.signs or to in self.signs:
            return self
        return replace(self, signs={to if key == uuid else key: kept for key, kept in self.signs.items()})

    def of(self, uuids: Container[str]) -> History:
        """Of these devices only."""
        if all(uuid in uuids for uuid in self.signs):
            return self
        return replace(self, signs={uuid: kept for uuid, kept in self.signs.items() if uuid in uuids})

    def cleared(self, uuids: Iterable[str]) -> History:
        """Forgetting what an admin says is over; trouble that still holds returns with the next probe."""
        gone = frozenset(uuids)
        return replace(self, signs={uuid: kept for uuid, kept in self.signs.items() if uuid not in gone})


def _joined(signs: tuple[Sign, ...], new: Sign, since_s: float = COALESCE_S) -> tuple[Sign, ...]:
    """One that goes on stays one: the latest, of several."""
    for position, sign in reversed(tuple(enumerate(signs))):
        goes_on = sign.kind == new.kind and sign.mended_s is None and new.first_s - sign.last_s <= since_s
        if goes_on:
            longer = replace(
                sign,
                first_s=min(sign.first_s, new.first_s),
                last_s=max(sign.last_s, new.last_s),
                count=min(sign.count + new.count, COUNT_MAX),
            )
            return (*signs[:position], longer, *signs[position + 1 :])
    grown = (*signs, new)
    return grown if len(grown) <= SIGNS_MAX else _shortened(grown)


def _shortened(signs: tuple[Sign, ...]) -> tuple[Sign, ...]:
    """Without the least telling: application errors before notes before what was mended, the oldest first."""
    worth = {"ignore": 0, "note": 1, "unknown": 1, "quarantine": 2, "fatal": 3}
    least = min(
        signs[:-1],
        key=lambda sign: (sign.mended_s is None, worth[rule_of(sign.kind).severity], sign.last_s),
    )
    return tuple(sign for sign in signs if sign is not least)


def _is_to_grade(sign: Sign, now_s: float) -> bool:
    return rule_of(sign.kind).is_graded and sign.mended_s is None and sign.last_s <= now_s


def mends(how: Mending, kind: str) -> bool:
    """Whether the table asks for this reset or boot."""
    wanted = rule_of(kind).recovery
    return wanted != "clean" and how in ("boot", wanted)


def _mended(sign: Sign, how: Mending, now_s: float) -> Sign:
    if sign.mended_s is not None or sign.last_s > now_s or not mends(how, sign.kind):
        return sign
    return replace(sign, mended_s=now_s)

"""What the network and the API server do to requests, and when: drawn once, from the seed.

Each storm draws which kinds of trouble it has at all (a swarm, as TigerBeetle's simulator does), so that
some storms are rare trouble and some are one kind of trouble alone.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal, get_args

#: What becomes of one request. ``vanishes``: it never arrives. ``loses``: applied, its answer lost.
#: ``late``: given up at once by a broken connection, and applied afterwards. ``twice``: delivered two times.
Fate = Literal["ok", "refused", "vanishes", "loses", "late", "twice", 429, 500, 503, 504, 403]
FATES: Final[tuple[Fate, ...]] = ("refused", "vanishes", "loses", "late", "twice", 429, 500, 503, 504, 403)

#: What lies over a time: no way through, a stopped API server, requests that take seconds, lost requests and
#: answers, old connections of watches that bring nothing more, lists and watches that get no answer while
#: writes do, an API server that sheds load, one that has not loaded its roles.
Kind = Literal["cut off", "down", "slow", "lossy", "silent", "blind", "shedding", "roleless"]
KINDS: Final[tuple[Kind, ...]] = get_args(Kind)
LONGEST_S: Final[Mapping[Kind, float]] = {
    "cut off": 12.0,
    "down": 8.0,
    "slow": 15.0,
    "lossy": 15.0,
    "silent": 25.0,
    "blind": 25.0,
    "shedding": 6.0,
    "roleless": 3.0,
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Spell:
    """One kind of weather over a time, in virtual seconds, for one process or (empty) for all.

    paths: watches that it concerns; empty for all.
    """

    kind: Kind
    from_s: float
    to_s: float
    whom: str = ""
    paths: frozenset[str] = frozenset()

    def concerns(self, whom: str, now_s: float) -> bool:
        return self.from_s <= now_s < self.to_s and self.whom in ("", whom)

    def __str__(self) -> str:
        some = (
            f" of {', '.join(sorted(path.rpartition('/')[2] for path in self.paths))}" if self.paths else ""
        )
        return f"{self.kind}{some} until {self.to_s:.1f}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Weather:
    """``odds``: how likely each fate of a request is at any time; ``until_s``: when all trouble ends.

    delay_s: the most that a request takes on its way, and an answer.
    """

    spells: tuple[Spell, ...]
    odds: Mapping[Fate, float]
    until_s: float
    delay_s: float = 0.005
    _weights: tuple[float, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_weights", tuple(self.odds.get(fate, 0.0) for fate in FATES))

    def over(self, whom: str, now_s: float) -> list[Spell]:
        if now_s >= self.until_s:
            return []
        return [spell for spell in self.spells if spell.concerns(whom, now_s)]

    def fate(self, whom: str, path: str, now_s: float, chance: random.Random, *, is_write: bool) -> Fate:
        """Of a request that is sent now to a collection."""
        if now_s >= self.until_s:
            return "ok"
        kinds = {spell.kind for spell in self.over(whom, now_s) if not spell.paths or path in spell.paths}
        if "down" in kinds:
            return "refused"
        if "cut off" in kinds or ("blind" in kinds and not is_write):
            return "vanishes"
        if "roleless" in kinds:
            return 403
        if "shedding" in kinds and chance.random() < 0.7:
            return 429
        if "lossy" in kinds and chance.random() < 0.35:
            return chance.choice(
                ("vanishes", "loses", "late", "refused") if is_write else ("vanishes", "refused")
            )
        drawn = chance.random()
        for fate, weight in zip(FATES, self._weights, strict=True):
            drawn -= weight
            if drawn < 0:
                return fate if is_write or fate not in ("late", "twice") else "vanishes"
        return "ok"

    def latency_s(self, whom: str, now_s: float, chance: random.Random) -> float:
        """One way."""
        is_slow = any(spell.kind == "slow" for spell in self.over(whom, now_s))
        return chance.uniform(0.0, 1.2 if is_slow else self.delay_s)

    def silent_until(self, whom: str, path: str, now_s: float, opened_s: float) -> float:
        """When a watch that was opened then next brings anything; now if it does."""
        ends = [
            spell.to_s
            for spell in self.over(whom, now_s)
            if (spell.kind in ("cut off", "blind") or (spell.kind == "silent" and opened_s < spell.from_s))
            and (not spell.paths or path in spell.paths)
        ]
        return min(max(ends, default=now_s), max(now_s, self.until_s))


def drawn(chance: random.Random, *, until_s: float, whoms: Sequence[str], paths: Sequence[str]) -> Weather:
    """The weather of one storm."""
    kinds = [kind for kind in KINDS if chance.random() < 0.4]
    spells = [
        _spell(chance, chance.choice(kinds), until_s, whoms, paths)
        for _ in range(chance.randint(0, 5))
        if kinds
    ]
    fates = [fate for fate in FATES if chance.random() < 0.4]
    odds = {fate: chance.choice((0.005, 0.02, 0.06)) for fate in fates}
    return Weather(
        spells=tuple(spells), odds=odds, until_s=until_s, delay_s=chance.choice((0.002, 0.01, 0.05, 0.3))
    )


def _spell(
    chance: random.Random, kind: Kind, until_s: float, whoms: Sequence[str], paths: Sequence[str]
) -> Spell:
    from_s = chance.uniform(0.5, until_s)
    # One API server serves all: when it is down, it is down for everybody.
    whom = "" if kind in ("down", "roleless", "shedding") else chance.choice(("", *whoms))
    some = (
        frozenset(chance.sample(list(paths), chance.randint(1, 3)))
        if kind in ("silent", "blind")
        else frozenset()
    )
    return Spell(
        kind=kind, from_s=from_s, to_s=from_s + chance.uniform(0.5, LONGEST_S[kind]), whom=whom, paths=some
    )

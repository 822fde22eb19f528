"""When something was found, told by what it depends on and not by a clock."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Moment:
    """Counters of changes that may let a waiting gang start.

    releases: all of them. layout: of these those of what nodes have and allow. arrivals: pods that came to
    hold capacity while some rule between pods sees all.
    """

    releases: int
    layout: int
    arrivals: int

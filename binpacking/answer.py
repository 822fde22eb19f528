"""What comes back: where each gang goes, and how far that is proven."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class RolePlacement:
    """nodes: int64[K] distinct, ascending; counts: int64[K] > 0, pods of the role on each."""

    nodes: NDArray[np.int64]
    counts: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """Why a gang cannot stand, one item of the core: what runs out, where, and by how much.

    what:  "resource", "mask", "topology", "limit", "skew", "fragmentation", "devices" where shares and whole
           devices do not fit side by side, or "gangs", the others that stand in a joint answer.
    name:  the resource, level or role meant. need/have: in that resource's units (pods otherwise).
    """

    what: str
    name: str
    need: int
    have: int


@dataclass(frozen=True, slots=True)
class Optimal:
    """No better answer exists."""

    value: float = 0.0


@dataclass(frozen=True, slots=True)
class Feasible:
    """Valid; the best possible is no better than ``bound``."""

    value: float
    bound: float


@dataclass(frozen=True, slots=True)
class Infeasible:
    """Proven: no placement exists. The core names what binds, most telling first."""

    core: tuple[Binding, ...]


@dataclass(frozen=True, slots=True)
class Unknown:
    """The deterministic budget ran out before a placement or a proof."""

    budget: float


Certificate = Optimal | Feasible | Infeasible | Unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class GangAnswer:
    """``placement`` has one entry per role in order, or is None when the gang is not placed.

    spent: deterministic solver work units used.
    """

    placement: tuple[RolePlacement, ...] | None
    certificate: Certificate
    spent: float = 0.0

"""What is to be packed: nodes as arrays, gangs as counted roles.

Shapes: N nodes, R resources, L topology levels. Amounts are exact ``int64`` in the caller's units.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

AMOUNT_MAX = 2**53
COUNT_MAX = 100_000


class InvalidProblem(ValueError):
    """The caller built an impossible problem; the message names the field. Never a tenant's fault:
    callers bound tenant input before they come here."""


def require(condition: bool, message: str) -> None:
    """Check that stays on under ``-O``."""
    if not condition:
        raise InvalidProblem(message)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nodes:
    """The nodes to pack onto.

    free:    int64[N, R], what is left; may be negative where others overcommitted.
    total:   int64[N, R], what an empty node has.
    domains: one int32[N] per topology level, outermost first: the domain's index of each node, or
             -1 where the node lacks the level (then it is a domain of its own at that level).
    """

    free: NDArray[np.int64]
    total: NDArray[np.int64]
    domains: tuple[NDArray[np.int32], ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DomainLimit:
    """At most ``most[d]`` pods of the role in domain ``d`` of ``domain_of``.

    domain_of: int32[N], -1 forbids the node. most: int64[D]. Anti-affinity of a role with itself is
    ``most = 1`` per domain; host ports are the same with one domain a node.
    """

    domain_of: NDArray[np.int32]
    most: NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skew:
    """Topology spread of a role: max over eligible domains - min over eligible domains <= max_skew.

    domain_of: int32[N], -1 is outside. have: int64[D] pods already there. When fewer than
    ``min_domains`` domains are eligible the minimum counts as 0 (KEP-3022).
    """

    domain_of: NDArray[np.int32]
    have: NDArray[np.int64]
    max_skew: int
    min_domains: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Role:
    """``count`` interchangeable pods.

    request: int64[R], amounts >= 0. allowed: bool[N] or None for every node.
    minimum: how many must be placed for the role to stand (<= count).
    """

    name: str
    count: int
    minimum: int
    request: NDArray[np.int64]
    allowed: NDArray[np.bool_] | None = None
    limits: tuple[DomainLimit, ...] = ()
    skews: tuple[Skew, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topology:
    """All pods of the gang inside one domain of ``level`` (index into ``Nodes.domains``).

    ``pinned`` is the domain already chosen by members that run, or -1.
    """

    level: int
    is_required: bool
    pinned: int = -1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gang:
    """Placed whole or not at all: at least ``minimum`` pods over all roles and each role's minimum.

    More than the minimum is placed when it fits (elastic gangs grow after their minimum stands).
    """

    name: str
    roles: tuple[Role, ...]
    minimum: int
    topology: tuple[Topology, ...] = ()
    weight: int = 1


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Problem:
    """Gangs in strict order: a later gang never costs an earlier one its place."""

    nodes: Nodes
    gangs: tuple[Gang, ...]
    resources: tuple[str, ...] = field(default=())

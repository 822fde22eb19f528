"""What is to be packed: nodes as arrays, gangs as counted roles.

Shapes: N nodes, R resources, L topology levels. Amounts are exact ``int64`` in the caller's units.
Everything is checked at construction: an impossible number raises ``InvalidProblem`` with the field named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

AMOUNT_MAX = 2**53
COUNT_MAX = 100_000
NODES_MAX = 1_000_000
ROLES_MAX = 1_000
#: Up to so many numbers are looked at sooner one by one than as an array.
FEW = 16
#: Sums over all nodes stay below this, so that no aggregate of a valid problem overflows an int64.
SUM_MAX = 2**62


class InvalidProblem(ValueError):
    """The caller built an impossible problem; the message names the field. Never a tenant's fault:
    callers bound tenant input before they come here."""


class BrokenInvariant(RuntimeError):
    """A defect of this library: an answer that its own checker refuses, or a model that the solver does."""


def require(condition: bool, message: str) -> None:
    """Check that stays on under ``-O``."""
    if not condition:
        raise InvalidProblem(message)


@dataclass(frozen=True, slots=True)
class Supply:
    """Of each resource, how much all of some nodes have together, and how many of them have any."""

    whole: tuple[int, ...]
    holders: tuple[int, ...]


def supply_of(total: NDArray[np.int64]) -> Supply:
    """Of nodes that have int64[N, R] when empty."""
    return Supply(tuple(total.sum(axis=0).tolist()), tuple((total > 0).sum(axis=0).tolist()))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Nodes:
    """The nodes to pack onto.

    free:      int64[N, R], what is left; may be negative where others overcommitted.
    total:     int64[N, R], what an empty node has.
    domains:   one int32[N] per topology level, outermost first: the domain's index of each node, or
               -1 where the node lacks the level (then it is a domain of its own at that level).
    resources: R names for certificates; empty calls them "resource 0" and so on.
    levels:    L names for certificates; empty calls them "level 0" and so on.
    """

    free: NDArray[np.int64]
    total: NDArray[np.int64]
    domains: tuple[NDArray[np.int32], ...] = ()
    resources: tuple[str, ...] = ()
    levels: tuple[str, ...] = ()
    #: What ``total`` comes to.
    supply: Supply = field(init=False, repr=False)

    def __post_init__(self) -> None:
        most = _require_amounts(self.total, "nodes.total", least=0)
        require(self.free.ndim == 2, "nodes.free must have two dimensions, nodes by resources")
        self._require_free(self.free)
        require(len(self) <= NODES_MAX, f"nodes.free has {len(self)} rows, at most {NODES_MAX}")
        _require_sum(most, len(self), "nodes.total")
        object.__setattr__(self, "supply", supply_of(self.total))
        for level, domain in enumerate(self.domains):
            _require_domains(domain, len(self), f"nodes.domains[{level}]")
        for names, size, told in (
            (self.resources, self.free.shape[1], "nodes.resources"),
            (self.levels, len(self.domains), "nodes.levels"),
        ):
            require(not names or len(names) == size, f"{told} has {len(names)} names for {size}")

    def __len__(self) -> int:
        return int(self.free.shape[0])

    def with_free(self, free: NDArray[np.int64]) -> Nodes:
        """The same nodes with something else free; nothing but that is looked at again."""
        self._require_free(free)
        other = object.__new__(Nodes)
        object.__setattr__(other, "free", free)
        for name in ("total", "domains", "resources", "levels", "supply"):
            object.__setattr__(other, name, getattr(self, name))
        return other

    def _require_free(self, free: NDArray[np.int64]) -> None:
        most = _require_amounts(free, "nodes.free", least=-AMOUNT_MAX)
        require(free.shape == self.total.shape, "nodes.free and nodes.total differ in shape")
        _require_sum(most, len(free), "nodes.free")

    def resource(self, column: int) -> str:
        """The resource's name as certificates give it."""
        return self.resources[column] if self.resources else f"resource {column}"

    def level(self, index: int) -> str:
        """The topology level's name as certificates give it."""
        return self.levels[index] if self.levels else f"level {index}"


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DomainLimit:
    """At most ``most[d]`` pods of the role in domain ``d`` of ``domain_of``.

    domain_of: int32[N], -1 forbids the node. most: int64[D]. Anti-affinity of a role with itself is
    ``most = 1`` per domain; host ports are the same with one domain a node.
    """

    domain_of: NDArray[np.int32]
    most: NDArray[np.int64]

    def __post_init__(self) -> None:
        _require_amounts(self.most, "limit.most", least=0)
        _require_domains(self.domain_of, None, "limit.domain_of", size=len(self.most))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Skew:
    """Topology spread: no domain that receives pods ends more than ``max_skew`` above the minimum.

    domain_of: int32[N], -1 is outside and receives nothing. have: int64[D] pods already there. The
    minimum is over the domains that some node is in; when those are fewer than ``min_domains`` it
    counts as 0 (KEP-3022). Equal to kube-scheduler's rule pod by pod: filling the lowest receiving
    domain first passes it at each step.
    """

    domain_of: NDArray[np.int32]
    have: NDArray[np.int64]
    max_skew: int
    min_domains: int = 1

    def __post_init__(self) -> None:
        _require_amounts(self.have, "skew.have", least=0)
        _require_domains(self.domain_of, None, "skew.domain_of", size=len(self.have))
        require(1 <= self.max_skew <= AMOUNT_MAX, f"skew.max_skew is {self.max_skew}, at least 1")
        require(1 <= self.min_domains <= AMOUNT_MAX, f"skew.min_domains is {self.min_domains}, at least 1")

    def eligible(self) -> NDArray[np.bool_]:
        """bool[D]: the domains that count for the minimum."""
        seen = np.zeros(len(self.have), dtype=np.bool_)
        seen[self.domain_of[self.domain_of >= 0]] = True
        return seen

    def floor(self, pods: NDArray[np.int64], eligible: NDArray[np.bool_]) -> int:
        """The minimum over ``eligible`` domains when domain d holds ``pods[d]``."""
        few = int(eligible.sum()) < self.min_domains
        return 0 if few or not eligible.any() else int(pods[eligible].min())


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Role:
    """``count`` interchangeable pods.

    request: int64[R], amounts >= 0. allowed: bool[N] or None for every node.
    minimum: how many must be placed for the role to stand (<= count); 0 makes each pod optional.
    """

    name: str
    count: int
    minimum: int
    request: NDArray[np.int64]
    allowed: NDArray[np.bool_] | None = None
    limits: tuple[DomainLimit, ...] = ()
    skews: tuple[Skew, ...] = ()
    #: (column, amount) of what one pod asks for.
    asks: tuple[tuple[int, int], ...] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        _require_amounts(self.request, "role.request", least=0)
        require(self.request.ndim == 1, "role.request must have one dimension")
        asks = tuple((column, amount) for column, amount in enumerate(self.request.tolist()) if amount)
        object.__setattr__(self, "asks", asks)
        if not 0 <= self.count <= COUNT_MAX:
            raise InvalidProblem(f"role.count is {self.count}, from 0 to {COUNT_MAX}")
        if not 0 <= self.minimum <= self.count:
            raise InvalidProblem(f"role.minimum is {self.minimum} of count {self.count}")
        if self.allowed is not None:
            require(self.allowed.dtype == np.bool_ and self.allowed.ndim == 1, "role.allowed must be bool[N]")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Topology:
    """All pods of the gang inside one domain of ``level`` (index into ``Nodes.domains``).

    ``pinned`` is the domain already chosen by members that run, or -1.
    """

    level: int
    is_required: bool
    pinned: int = -1

    def __post_init__(self) -> None:
        require(self.level >= 0, f"topology.level is {self.level}, at least 0")
        require(self.pinned >= -1, f"topology.pinned is {self.pinned}, at least -1")


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Gang:
    """Placed whole or not at all: at least ``minimum`` pods over all roles and each role's minimum.

    More than the minimum is placed when it fits (elastic gangs grow after their minimum stands).
    ``weight`` counts where gangs compete without an order (``solve_joint`` in mode "throughput").
    """

    name: str
    roles: tuple[Role, ...]
    minimum: int
    topology: tuple[Topology, ...] = ()
    weight: int = 1

    def __post_init__(self) -> None:
        count = self.count
        if not 1 <= len(self.roles) <= ROLES_MAX:
            raise InvalidProblem(f"gang.roles has {len(self.roles)}, from 1 to {ROLES_MAX}")
        if count > COUNT_MAX:
            raise InvalidProblem(f"gang.roles count {count} pods, at most {COUNT_MAX}")
        if not 0 <= self.minimum <= count:
            raise InvalidProblem(f"gang.minimum is {self.minimum} of {count} pods")
        if not 0 <= self.weight <= COUNT_MAX:
            raise InvalidProblem(f"gang.weight is {self.weight}, from 0 to {COUNT_MAX}")

    @property
    def count(self) -> int:
        """Pods over all roles."""
        return sum(role.count for role in self.roles)

    @property
    def need(self) -> int:
        """Pods without which the gang does not stand."""
        return max(self.minimum, sum(role.minimum for role in self.roles))

    @property
    def required_levels(self) -> tuple[int, ...]:
        """Levels all of whose demands must hold, without repeats."""
        return tuple(dict.fromkeys(t.level for t in self.topology if t.is_required))


def require_match(nodes: Nodes, gangs: Sequence[Gang]) -> None:
    """Raise unless every gang speaks of these nodes: same resources, masks and levels of the right size."""
    count, width = nodes.free.shape
    for gang in gangs:
        for topology in gang.topology:
            require(
                topology.level < len(nodes.domains), f"topology.level is {topology.level}, nodes have none"
            )
        for role in gang.roles:
            if len(role.request) != width:
                raise InvalidProblem(f"role.request has {len(role.request)} resources, not {width}")
            if role.allowed is not None and len(role.allowed) != count:
                raise InvalidProblem(f"role.allowed has {len(role.allowed)} of {count} nodes")
            domains = [x.domain_of for x in role.limits] + [x.domain_of for x in role.skews]
            for size in map(len, domains):
                require(size == count, f"domain_of of role {role.name!r} has {size} of {count} nodes")


def _require_amounts(amounts: NDArray[np.int64], name: str, *, least: int) -> int:
    """The largest of them without its sign. Raises: InvalidProblem where one is out of bounds."""
    if amounts.dtype != np.int64:  # a dtype's name takes longer to write than all that follows here
        raise InvalidProblem(f"{name} must be int64, not {amounts.dtype}")
    if not amounts.size:
        return 0
    if amounts.ndim == 1 and amounts.size <= FEW:
        few: list[int] = amounts.tolist()
        low, high = min(few), max(few)
    else:
        low, high = int(amounts.min()), int(amounts.max())
    if low < least:
        raise InvalidProblem(f"{name} holds {low}, at least {least}")
    if high > AMOUNT_MAX:
        raise InvalidProblem(f"{name} holds {high}, at most {AMOUNT_MAX}")
    return max(high, -low)


def _require_sum(most: int, nodes: int, name: str) -> None:
    """most: of one node."""
    require(most * nodes <= SUM_MAX, f"{name} sums to more than {SUM_MAX}; use larger units")


def _require_domains(
    domains: NDArray[np.int32], count: int | None, name: str, *, size: int | None = None
) -> None:
    require(domains.dtype == np.int32 and domains.ndim == 1, f"{name} must be int32[N]")
    require(count is None or len(domains) == count, f"{name} has {len(domains)} entries for {count} nodes")
    if domains.size:
        low, high = int(domains.min()), int(domains.max())
        require(low >= -1, f"{name} holds {low}, at least -1")
        require(size is None or high < size, f"{name} holds {high}, below {size}")

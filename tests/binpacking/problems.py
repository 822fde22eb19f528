"""Small random problems, and what is true of them by trying everything."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import GangAnswer, Optimal, RolePlacement
from binpacking.check import check
from binpacking.greedy import as_placement
from binpacking.problem import DomainLimit, Gang, Nodes, Role, Skew, Topology

Placement = tuple[RolePlacement, ...]


def random_nodes(rng: np.random.Generator, *, most: int = 4) -> Nodes:
    """One to ``most`` nodes, partly used, some overcommitted, on up to two topology levels."""
    count, resources = int(rng.integers(1, most + 1)), int(rng.integers(1, 4))
    total = rng.integers(0, 8, (count, resources))
    levels = int(rng.integers(0, 3))
    return Nodes(
        free=total - rng.integers(0, 4, total.shape),
        total=total,
        domains=tuple(rng.integers(-1, 2, count).astype(np.int32) for _ in range(levels)),
    )


def random_gang(rng: np.random.Generator, nodes: Nodes, *, roles: int = 2, count: int = 3) -> Gang:
    """A gang of few pods under any mixture of rules."""
    made = tuple(random_role(rng, nodes, f"role{j}", count) for j in range(int(rng.integers(1, roles + 1))))
    pods = sum(role.count for role in made)
    topology = tuple(
        Topology(
            level=level,
            is_required=bool(rng.random() < 0.6),
            pinned=int(rng.integers(0, 2)) if rng.random() < 0.2 else -1,
        )
        for level in range(len(nodes.domains))
        if rng.random() < 0.5
    )
    return Gang(name="gang", roles=made, minimum=int(rng.integers(0, pods + 1)), topology=topology)


def random_role(rng: np.random.Generator, nodes: Nodes, name: str, most: int) -> Role:
    """A role with a mask, a limit and a skew, each sometimes."""
    size, resources = nodes.free.shape
    count = int(rng.integers(0, most + 1))
    limits = (
        DomainLimit(domain_of=rng.integers(-1, 2, (size,)).astype(np.int32), most=rng.integers(0, 4, 2)),
    )
    skews = (
        Skew(
            domain_of=rng.integers(-1, 2, (size,)).astype(np.int32),
            have=rng.integers(0, 3, 2),
            max_skew=int(rng.integers(1, 3)),
            min_domains=int(rng.integers(1, 4)),
        ),
    )
    return Role(
        name=name,
        count=count,
        minimum=int(rng.integers(0, count + 1)),
        request=rng.integers(0, 4, (resources,)),
        allowed=rng.random((size,)) < 0.7 if rng.random() < 0.4 else None,
        limits=limits if rng.random() < 0.3 else (),
        skews=skews if rng.random() < 0.3 else (),
    )


def every_placement(nodes: Nodes, gang: Gang) -> Iterator[Placement]:
    """All ways to put pods of the gang on nodes, valid or not."""
    ways = [list(_spreads(role.count, len(nodes))) for role in gang.roles]
    for chosen in product(*ways):
        yield as_placement(chosen)


def valid(nodes: Nodes, gang: Gang, placement: Placement) -> bool:
    return not check(nodes, [gang], [answer_of(placement)])


def answer_of(placement: Placement | None) -> GangAnswer:
    return GangAnswer(placement=placement, certificate=Optimal())


def pods(placement: Placement | None) -> int:
    """Pods placed, or -1 for no placement."""
    return -1 if placement is None else sum(int(role.counts.sum()) for role in placement)


def most_pods(nodes: Nodes, gang: Gang) -> int:
    """By trying everything: the most pods of a standing gang, or -1 where it cannot stand."""
    return max((pods(p) for p in every_placement(nodes, gang) if valid(nodes, gang, p)), default=-1)


def permuted(
    nodes: Nodes, gangs: list[Gang], order: NDArray[np.int64], role_order: list[int] | None = None
) -> tuple[Nodes, list[Gang]]:
    """The same problem with its nodes in another order and, where given, the roles of each gang too."""
    moved = Nodes(
        free=nodes.free[order],
        total=nodes.total[order],
        domains=tuple(domain[order] for domain in nodes.domains),
    )
    return moved, [_moved(gang, order, role_order) for gang in gangs]


def _moved(gang: Gang, order: NDArray[np.int64], role_order: list[int] | None) -> Gang:
    roles = [
        Role(
            name=role.name,
            count=role.count,
            minimum=role.minimum,
            request=role.request,
            allowed=None if role.allowed is None else role.allowed[order],
            limits=tuple(DomainLimit(domain_of=x.domain_of[order], most=x.most) for x in role.limits),
            skews=tuple(
                Skew(
                    domain_of=s.domain_of[order],
                    have=s.have,
                    max_skew=s.max_skew,
                    min_domains=s.min_domains,
                )
                for s in role.skews
            ),
        )
        for role in gang.roles
    ]
    if role_order is not None:
        roles = [roles[i] for i in role_order if i < len(roles)]
    return Gang(
        name=gang.name, roles=tuple(roles), minimum=gang.minimum, topology=gang.topology, weight=gang.weight
    )


def _spreads(most: int, nodes: int) -> Iterator[NDArray[np.int64]]:
    """All int64[nodes] of counts that sum to at most ``most``."""
    for counts in product(range(most + 1), repeat=nodes):
        if sum(counts) <= most:
            yield np.array(counts, dtype=np.int64)

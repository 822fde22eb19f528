"""Whose removal lets a gang fit, for the least cost."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import Certificate, RolePlacement
from binpacking.problem import AMOUNT_MAX, require

#: Victims considered in one search.
VICTIMS_MAX = 20_000


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Pods that can be taken without the rest of their gang, since they are above its minimum.

    cost: what losing them costs, >= 0. nodes: int64[K] distinct. amounts: int64[K, R] released there.
    """

    cost: int
    nodes: NDArray[np.int64]
    amounts: NDArray[np.int64]

    def __post_init__(self) -> None:
        require(0 <= self.cost <= AMOUNT_MAX, f"victim.cost is {self.cost}, from 0 to {AMOUNT_MAX}")
        require(self.nodes.dtype == np.int64 and self.nodes.ndim == 1, "victim.nodes must be int64[K]")
        require(len(np.unique(self.nodes)) == len(self.nodes), "victim.nodes holds a node twice")
        require(
            self.amounts.dtype == np.int64 and self.amounts.ndim == 2, "victim.amounts must be int64[K, R]"
        )
        require(len(self.amounts) == len(self.nodes), "victim.amounts and victim.nodes differ in length")
        least, most = int(self.amounts.min(initial=0)), int(self.amounts.max(initial=0))
        require(
            least >= 0 and most <= AMOUNT_MAX, f"victim.amounts from {least} to {most}, 0 to {AMOUNT_MAX}"
        )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Victim:
    """A gang that may be taken: ``base`` is the pods it stands on, ``extra`` what can go alone.

    Taking the base takes every extra part with it.
    """

    name: str
    base: Part
    extra: tuple[Part, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Taken:
    """victim: index among the candidates. base: whether all of it goes. extra: indices of parts that go."""

    victim: int
    base: bool
    extra: tuple[int, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class VictimAnswer:
    """taken: who goes, ascending; empty with no placement. placement: where the gang then stands.

    certificate: of the cost: ``Optimal(cost)``, ``Feasible(cost, bound)`` with bound <= cost, ``Infeasible``
    when not even all candidates together make room, or ``Unknown``. The set is minimal in any case: with
    any one taken part kept, this placement would not fit.
    """

    taken: tuple[Taken, ...]
    placement: tuple[RolePlacement, ...] | None
    certificate: Certificate
    spent: float = 0.0


def victims(
    packing: Packing, gang: Gang, candidates: Sequence[Victim], *, budget: float, seed: int
) -> VictimAnswer:
    """The cheapest candidates whose removal lets the gang stand. Nobody is taken unless it then does."""
    require(len(candidates) <= VICTIMS_MAX, f"candidates has {len(candidates)}, at most {VICTIMS_MAX}")
    require_match(packing.nodes, [gang])
    parts = list_parts(candidates, len(packing.nodes), packing.free.shape[1])
    whole = relieved(packing, parts)
    proof = prove_unfit(whole, gang)
    if proof is not None:
        return VictimAnswer(taken=(), placement=None, certificate=proof)
    search = _Search(packing, gang, parts, whole)
    search.start()
    search.improve(budget, seed)
    return search.answer(budget)

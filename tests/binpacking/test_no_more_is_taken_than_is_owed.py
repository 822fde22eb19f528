"""Victims under terms: the cheapest by trying every set, in an order that every debt allows, and minimal."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations, product

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from binpacking.answer import Optimal
from binpacking.check import check
from binpacking.debts import Need, Terms
from binpacking.greedy import Packing
from binpacking.problem import Gang, Nodes
from binpacking.score import PACK
from binpacking.victims import Part, Taken, Victim, victims
from tests.binpacking.problems import answer_of, most_pods, random_gang, random_nodes

SEEDS = st.integers(0, 2**32 - 1)
#: Debtors 0 and 1 are part of one level, 2 stands alone, of 3 all may go.
LEVELS = ((0, 2), (1, 2), (3,), ())


@dataclass(frozen=True)
class Problem:
    nodes: Nodes
    gang: Gang
    candidates: list[Victim]
    terms: Terms


def problem(seed: int, width: int) -> Problem:
    rng = np.random.default_rng(seed)
    nodes = random_nodes(rng, most=3)
    owed = rng.integers(0, 7, (4, width))
    owed[2] = np.minimum(owed[2], owed[0] + owed[1])
    # One more resource of which all together may give no more than so much, as a disruption budget has it.
    caps = ((width, int(rng.integers(0, 6))),) if rng.random() < 0.5 else ()
    needs = tuple(
        Need(
            debtors=frozenset(np.flatnonzero(rng.random(4) < 0.6).tolist()),
            resource=int(rng.integers(width)),
            amount=int(rng.integers(1, 5)),
        )
        for _ in range(int(rng.integers(0, 2)))
    )
    return Problem(
        nodes=nodes,
        gang=random_gang(rng, nodes, roles=1, count=3),
        candidates=[_victim(rng, nodes, f"v{i}", width) for i in range(int(rng.integers(1, 4)))],
        terms=Terms(
            levels=LEVELS, owed=np.hstack([owed, np.zeros((4, 1), dtype=np.int64)]), needs=needs, caps=caps
        ),
    )


def _victim(rng: np.random.Generator, nodes: Nodes, name: str, width: int) -> Victim:
    extra = tuple(_part(rng, nodes, width) for _ in range(int(rng.integers(0, 3))))
    base = _part(rng, nodes, width) if rng.random() < 0.8 else None
    return Victim(name=name, base=base, extra=extra, debtor=int(rng.integers(4)))


def _part(rng: np.random.Generator, nodes: Nodes, width: int) -> Part:
    at = np.flatnonzero(rng.random(len(nodes)) < 0.6).astype(np.int64)
    return Part(
        cost=int(rng.integers(1, 9)),
        nodes=at,
        amounts=rng.integers(0, 4, (len(at), nodes.free.shape[1])),
        frees=np.append(rng.integers(1, 5, width), rng.integers(0, 3)),
    )


def every_set(given_: Problem) -> Iterator[tuple[Taken, ...]]:
    ways: list[list[Taken | None]] = []
    for index, victim in enumerate(given_.candidates):
        every = tuple(range(len(victim.extra)))
        some = [c for size in range(1, len(every) + 1) for c in combinations(every, size)]
        ways.append([None])
        ways[-1] += [Taken(victim=index, base=True, extra=every)] if victim.base is not None else []
        ways[-1] += [Taken(victim=index, base=False, extra=extra) for extra in some]
    for chosen in product(*ways):
        yield tuple(taken for taken in chosen if taken is not None)


def items(given_: Problem, taken: Sequence[Taken]) -> list[tuple[int, tuple[int, ...]]]:
    """By victim: the debtor and what comes free."""
    found: list[tuple[int, tuple[int, ...]]] = []
    for one in taken:
        rows = [part.frees for part in parts_of(given_, [one])]
        found.append((given_.candidates[one.victim].debtor, tuple(np.sum(rows, axis=0).tolist())))
    return found


def is_owed(given_: Problem, taken: Sequence[Taken]) -> bool:
    """By trying every order; and no cap is passed."""
    all_items, owed = items(given_, taken), given_.terms.owed
    if any(sum(frees[q] for _, frees in all_items) > most for q, most in given_.terms.caps):
        return False

    @cache
    def in_turn(left: frozenset[int]) -> bool:
        gone = [all_items[i] for i in range(len(all_items)) if i not in left]
        rows = owed.copy()
        for debtor, frees in gone:
            for level in LEVELS[debtor]:
                rows[level] -= frees
        return not left or any(_pays(rows, *all_items[i]) and in_turn(left - {i}) for i in left)

    return in_turn(frozenset(range(len(all_items))))


def _pays(rows: np.ndarray, debtor: int, frees: Sequence[int]) -> bool:
    levels = LEVELS[debtor]
    return not levels or any(
        amount and all(rows[level, q] > 0 for level in levels) for q, amount in enumerate(frees)
    )


def is_enough(given_: Problem, taken: Sequence[Taken]) -> bool:
    for need in given_.terms.needs:
        freed = [frees[need.resource] for debtor, frees in items(given_, taken) if debtor in need.debtors]
        if sum(freed) < need.amount:
            return False
    return most_pods(without(given_, taken), given_.gang) >= 0


def without(given_: Problem, taken: Sequence[Taken]) -> Nodes:
    free = given_.nodes.free.copy()
    for part in parts_of(given_, taken):
        free[part.nodes] += part.amounts
    return Nodes(free=free, total=given_.nodes.total, domains=given_.nodes.domains)


def parts_of(given_: Problem, taken: Sequence[Taken]) -> list[Part]:
    parts: list[Part] = []
    for one in taken:
        victim = given_.candidates[one.victim]
        parts += victim.whole if one.base else [victim.extra[e] for e in one.extra]
    return parts


def cost(given_: Problem, taken: Sequence[Taken]) -> int:
    return sum(part.cost for part in parts_of(given_, taken))


def fewer(taken: Sequence[Taken]) -> Iterator[tuple[Taken, ...]]:
    """The sets with one item kept, or a gang kept of which only what can go alone goes."""
    for k, one in enumerate(taken):
        rest = (*taken[:k], *taken[k + 1 :])
        if one.base:
            yield (*rest, replace(one, base=False)) if one.extra else rest
        for e in () if one.base else one.extra:
            left = tuple(x for x in one.extra if x != e)
            yield (*rest, replace(one, extra=left)) if left else rest


@given(seed=SEEDS)
@settings(max_examples=60, deadline=None)
def test_the_set_is_the_cheapest_that_is_owed_and_enough(seed: int) -> None:
    made = problem(seed, width=1)
    answer = victims(
        Packing(made.nodes, score=PACK), made.gang, made.candidates, budget=5.0, seed=seed, terms=made.terms
    )
    good = [taken for taken in every_set(made) if is_owed(made, taken) and is_enough(made, taken)]
    if not good:
        assert answer.placement is None
        return
    assert answer.placement is not None
    assert answer.certificate == Optimal(float(min(cost(made, taken) for taken in good)))
    assert is_owed(made, answer.taken)
    assert is_enough(made, answer.taken)
    assert cost(made, answer.taken) == min(cost(made, taken) for taken in good)


@given(seed=SEEDS, width=st.integers(1, 3), budget=st.sampled_from([0.0, 0.0, 1.0]))
@settings(max_examples=150, deadline=None)
def test_any_answer_is_enough_and_no_proper_subset_would_do(seed: int, width: int, budget: float) -> None:
    made = problem(seed, width)
    answer = victims(
        Packing(made.nodes, score=PACK),
        made.gang,
        made.candidates,
        budget=budget,
        seed=seed,
        terms=made.terms,
    )
    if answer.placement is None:
        assert answer.taken == ()
        return
    assert check(without(made, answer.taken), [made.gang], [answer_of(answer.placement)]) == []
    assert is_enough(made, answer.taken)
    assert not any(is_enough(made, some) for some in fewer(answer.taken))
    if width == 1 or budget == 0.0:
        assert is_owed(made, answer.taken)


@given(seed=SEEDS)
@settings(max_examples=30, deadline=None)
def test_a_set_that_was_barred_is_not_answered_again(seed: int) -> None:
    made = problem(seed, width=1)
    packing, barred = Packing(made.nodes, score=PACK), list[tuple[Taken, ...]]()
    known = [set(items(made, taken)) for taken in every_set(made)]
    for _ in range(len(known) + 1):
        answer = victims(
            packing, made.gang, made.candidates, budget=5.0, seed=seed, terms=made.terms, barred=barred
        )
        if answer.placement is None or not answer.taken:
            break
        for other in barred:
            parts = {id(part) for part in parts_of(made, answer.taken)}
            assert not {id(part) for part in parts_of(made, other)} <= parts
        barred.append(answer.taken)
    else:
        raise AssertionError("there are no more sets than there are")

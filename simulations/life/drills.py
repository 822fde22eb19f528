"""Courses of one matter each: what a full course shows once in a hundred seeds is asked for here.

A gang that loses members while others wait for what it holds; gangs of many pods on a slow way; urgent work
among budgets, slow kubelets and evictions that are refused; Jobs whose indexes end each in its own way.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from simulations.life.habits import Habit
from simulations.life.pods import Dialect, Spec
from simulations.life.scenario import (
    NAMESPACES,
    Scenario,
    Strike,
    Work,
    configuration,
    draw_fault,
    draw_habits,
    draw_stranger,
)

GANGS: Final[tuple[Dialect, ...]] = ("own", "podgroup", "coscheduling")


#: Of the courses that are about no single fault and no stranger.
SHARE: Final = 0.5


def draw(chance: random.Random) -> Scenario:
    match chance.choices(("habits", "fault", "stranger"), (0.72, 0.16, 0.12))[0]:
        case "fault":
            return draw_fault(chance)
        case "stranger":
            return draw_stranger(chance)
        case _:
            drawn = draw_habits(chance)
            return drill(chance.choice(ODDS), chance) if chance.random() < SHARE else drawn


def drill(about: str, chance: random.Random) -> Scenario:
    """One course about this matter."""
    return replace(DRILLS[about](chance), about=about)


def _spec(name: str, dialect: Dialect, pods: int, gpus: int, **more: object) -> Spec:
    words: dict[str, object] = {
        "name": name,
        "namespace": NAMESPACES[0],
        "dialect": dialect,
        "pods": pods,
        "minimum": 1 if dialect == "single" else pods,
        "gpus": gpus,
        "clear_s": None,
    }
    return Spec(**(words | more))  # type: ignore[arg-type] # the names are those of its fields


def _siege(chance: random.Random) -> Scenario:
    """One gang holds nearly all, loses members and is made larger; others wait for its room."""
    count, each = chance.randint(1, 3), chance.choice((4, 8))
    gpus = chance.choice((1, 2, 4))
    size = count * each // gpus
    pods = max(2, size - chance.choice((0, 0, 1)))
    main = _spec(
        "main",
        chance.choice(GANGS),
        min(pods, 8),
        gpus if pods <= 8 else count * each // 8,
        minimum=max(1, min(pods, 8) - chance.choice((0, 0, 0, 1))),
        retry_s=chance.choice((0.5, 2.0, 10.0, 25.0, 45.0)),
        keeps_names=chance.random() < 0.3,
        grace_s=chance.choice((0, 0, 30, 100, 280, 600)),
        restarts=chance.random() < 0.12,
        least=chance.choice((1, 2)) if chance.random() < 0.15 else None,
    )
    works = [Work(habit="besieged", at_s=0.0, spec=main)]
    for number in range(chance.randint(0, 3)):
        is_single = chance.random() < 0.5
        rival = _spec(
            f"rival-{number}",
            "single" if is_single else chance.choice(GANGS),
            1 if is_single else chance.randint(2, max(2, main.pods - 1)),
            main.gpus,
            run_s=chance.choice((60.0, 150.0, None)),
            grace_s=chance.choice((0, 30)),
        )
        habit: Habit = "again" if rival.run_s is not None else "train"
        works.append(Work(habit=habit, at_s=chance.uniform(8.0, 60.0), spec=rival))
    hits: list[tuple[float, Strike]] = [
        (chance.uniform(30.0, 600.0), "kill") for _ in range(chance.choice((0, 0, 1, 3)))
    ]
    if chance.random() < 0.25:
        hits.append((chance.uniform(60.0, 300.0), "refuse"))
    return Scenario(
        lasts_s=600.0,
        replicas=("a", "b")[: chance.choice((1, 1, 2))],
        nodes={f"node-{number}": each for number in range(count)},
        works=works,
        configuration=configuration(chance, displaces=False),
        hits=tuple(hits),
        slowness=chance.choice((0.1, 1.0)),
        delay_s=chance.choice((0.005, 0.005, 0.3)),
    )


def _throng(chance: random.Random) -> Scenario:
    """Gangs of many pods on a slow way, one Binding after the other, made one by one, their leader killed."""
    works: list[Work] = []
    for number in range(chance.randint(1, 4)):
        pods = chance.choice((20, 40, 60))
        gang = _spec(
            f"wide-{number}",
            chance.choice(GANGS),
            pods,
            1,
            minimum=pods - chance.choice((0, 0, 2, 10)),
            apart_s=chance.choice((0.0, 0.0, 0.2)),
            run_s=chance.choice((20.0, None)),
        )
        works.append(Work(habit="train", at_s=chance.choice((0.0, chance.uniform(0.0, 30.0))), spec=gang))
    hits: list[tuple[float, Strike]] = [
        (chance.uniform(5.0, 60.0), "kill") for _ in range(chance.choice((0, 0, 1)))
    ]
    return Scenario(
        lasts_s=150.0,
        replicas=("a", "b")[: chance.choice((1, 2))],
        nodes={f"node-{number}": 64 for number in range(chance.randint(1, 3))},
        works=works,
        configuration=configuration(chance, displaces=False, binds=chance.choice((1, 2, 4))),
        hits=tuple(hits),
        delay_s=chance.choice((0.2, 0.5, 0.8)),
    )


def _ranks(chance: random.Random) -> Scenario:
    """Urgent work on a full cluster of budgets and slow kubelets, whose evictions are refused or lost."""
    is_wide = chance.random() < 0.25
    each = (16,) if is_wide else (4, 8)
    nodes = {
        f"node-{number}": chance.choice(each) for number in range(chance.randint(2, 2 if is_wide else 4))
    }
    total, works, asked = sum(nodes.values()), list[Work](), 0
    while asked < total * 1.2 and len(works) < 9:
        is_single = chance.random() < 0.3
        pods, gpus = chance.randint(1, 3) if is_single else chance.randint(2, 4), chance.choice((1, 2, 2, 4))
        if is_wide:
            pods, gpus, is_single = chance.choice((16, 24)), 1, False
        low = _spec(
            f"low-{len(works)}",
            "single" if is_single else chance.choice(GANGS),
            pods,
            gpus,
            priority=chance.choice((0, 0, 10)),
            grace_s=chance.choice((0, 5, 30, 120, 600)),
            least=chance.randint(0, pods) if chance.random() < 0.5 else None,
            retry_s=chance.choice((0.5, 2.0, 10.0)),
        )
        works.append(Work(habit="train", at_s=chance.choice((0.0, 5.0 * len(works))), spec=low))
        asked += pods * gpus
    for number in range(chance.randint(1, 3)):
        is_single = chance.random() < 0.2
        urgent = _spec(
            f"urgent-{number}",
            "single" if is_single else chance.choice(GANGS),
            chance.randint(1, 3) if is_single else chance.randint(2, 4),
            8 if is_wide else chance.choice((1, 2, 4, 4)),
            priority=chance.choice((100, 100, 200, 10)),
            grace_s=chance.choice((0, 30)),
        )
        habit: Habit = chance.choice(("urgent", "urgent", "train"))
        works.append(Work(habit=habit, at_s=chance.uniform(60.0, 300.0), spec=urgent))
    hits: list[tuple[float, Strike]] = [
        (chance.uniform(60.0, 400.0), "refuse") for _ in range(chance.choice((0, 0, 1, 2)))
    ]
    hits += [(chance.uniform(60.0, 600.0), "kill") for _ in range(chance.choice((0, 0, 0, 1)))]
    displaces = chance.random() < 0.2
    return Scenario(
        lasts_s=900.0,
        replicas=("a", "b")[: chance.choice((1, 1, 2))],
        nodes=nodes,
        works=works,
        configuration=configuration(chance, displaces=displaces),
        hits=tuple(hits),
        slowness=chance.choice((0.1, 1.0, 1.0)),
        delay_s=1.0 if is_wide else chance.choice((0.005, 0.05, 0.3)),
        lost=chance.choice((0.0, 0.0, 0.3)),
    )


def _indexed(chance: random.Random) -> Scenario:
    """Runs of one name whose members end well, fail for good, and are cleared away while others run."""
    nodes = {f"node-{number}": chance.choice((4, 8)) for number in range(chance.randint(1, 3))}
    total, works, asked = sum(nodes.values()), list[Work](), 0
    while asked < total * 1.5 and len(works) < 8:
        pods, gpus = chance.randint(2, 5), chance.choice((1, 2))
        while pods * gpus > total:
            gpus = 1
            pods -= 1
        dialect: Dialect = chance.choice(("job", "job", *GANGS))
        work = _spec(
            f"work-{len(works)}",
            dialect,
            pods,
            gpus,
            run_s=chance.choice((30.0, 100.0, 250.0)),
            fails=chance.choice((0.0, 0.3)),
            gives_up=chance.random() < 0.5,
            collects=chance.choice((0.0, 0.5, 1.0)),
            clear_s=chance.choice((0.0, 30.0, None)),
            retry_s=chance.choice((0.5, 5.0, 10.0)),
        )
        habit: Habit = "uneven" if dialect == "job" or chance.random() < 0.5 else "cron"
        works.append(Work(habit=habit, at_s=chance.choice((0.0, chance.uniform(0.0, 120.0))), spec=work))
        asked += pods * gpus
    return Scenario(
        lasts_s=600.0,
        replicas=("a", "b")[: chance.choice((1, 1, 2))],
        nodes=nodes,
        works=works,
        configuration=configuration(chance, displaces=False),
        hits=tuple((chance.uniform(30.0, 500.0), "kill") for _ in range(chance.choice((0, 0, 1, 2)))),
        delay_s=chance.choice((0.005, 0.05, 0.4)),
    )


DRILLS: Final[Mapping[str, Callable[[random.Random], Scenario]]] = {
    "siege": _siege,
    "throng": _throng,
    "ranks": _ranks,
    "indexed": _indexed,
}
ODDS: Final = ("siege", "siege", "throng", "ranks", "ranks", "indexed")

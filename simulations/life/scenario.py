"""What a course is about: nodes, works and their habits, budgets, teams, and how the scheduler is set up."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from typing import Final, Literal, get_args

from scheduler.kube.reflector import Timing
from scheduler.live.config import (
    Api,
    Gangs,
    LeaderElection,
    PolicySection,
    SchedulerConfiguration,
    Solver,
    Watch,
)
from simulations.faults.store import Json
from simulations.life.habits import Habit
from simulations.life.pods import Dialect, Spec

NAMESPACES: Final = ("red", "green", "blue")
#: Idle views are probed rarely, so that an hour in which nothing happens costs little.
TIMING: Final = Timing(probe_after_s=120.0, not_served_s=600.0, watch_s_min=1200.0, watch_s_max=2400.0)


Kind = Literal["habits", "fault", "stranger"]
#: One thing that goes wrong: a process, its watches, the way to the API server, a pod, a node's kubelet.
Fault = Literal[
    "kill", "stop", "break", "down", "lossy", "slow", "shedding", "pod fails", "pod goes", "silence"
]
FAULTS: Final[tuple[Fault, ...]] = get_args(Fault)
#: What a course may hold beside: for a while every eviction is refused, as by a webhook.
Strike = Fault | Literal["refuse"]
#: How long a spell of weather, or of silence, lasts at most.
FAULT_S: Final = 20.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Work:
    habit: Habit
    at_s: float
    spec: Spec


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """lasts_s: until the calm. nodes: devices of each. hits: what else goes wrong, and when.

    kind: what the course is about: how things go on; one fault, beside the same without it; or a stranger who
    writes, beside the same without. about: of which matter alone. fault: what it is, and when.

    begins_s, slowness: of kubelets. delay_s: one way of a request. trouble: whether requests get lost.
    lost: how likely the answer to an eviction is.
    """

    lasts_s: float
    kind: Kind = "habits"
    about: str = ""
    fault: tuple[Fault, float] | None = None
    stranger_s: float | None = None
    replicas: tuple[str, ...]
    nodes: dict[str, int]
    works: list[Work]
    configuration: SchedulerConfiguration
    quotas: list[Json] = field(default_factory=list)
    hits: tuple[tuple[float, Strike], ...] = ()
    node_rate: float = 0.0
    begins_s: tuple[float, float] = (0.05, 1.5)
    slowness: float = 0.1
    delay_s: float = 0.005
    trouble: bool = False
    lost: float = 0.0

    @property
    def strikes(self) -> list[tuple[float, Strike]]:
        """All that goes wrong at a time, the one fault among it."""
        one = () if self.fault is None else ((self.fault[1], self.fault[0]),)
        return [*self.hits, *one]


def draw_fault(chance: random.Random) -> Scenario:
    """Works that stay for ever, so that who stands in the end does not depend on when who was done."""
    nodes, total = _nodes(chance)
    works: list[Work] = []
    while sum(work.spec.pods * work.spec.gpus for work in works) < total * 1.6:
        work = _work(chance, len(works), total, 60.0, ranked=False)
        stays = replace(
            work.spec,
            run_s=None,
            fails=0.0,
            priority=0,
            doubles=False,
            clear_s=None,
            least=None,
            restarts=False,
        )
        habit: Habit = "filler" if stays.dialect == "single" else "train"
        at_s = float(5 * len(works)) if chance.random() < 0.7 else 0.0
        works.append(
            Work(habit=habit, at_s=at_s, spec=replace(stays, name=f"{habit}-{len(works)}", retry_s=2.0))
        )
    fault: Fault = chance.choice(FAULTS)
    return Scenario(
        kind="fault",
        fault=(fault, chance.choice((chance.uniform(0.05, 30.0), chance.uniform(60.0, 120.0)))),
        lasts_s=120.0 + FAULT_S + 100.0,
        replicas=("a", "b")[: chance.choice((1, 2))],
        nodes=nodes,
        works=works,
        configuration=configuration(chance, displaces=False),
        delay_s=chance.choice((0.005, 0.05, 0.3)),
    )


def draw_stranger(chance: random.Random) -> Scenario:
    nodes, total = _nodes(chance)
    works: list[Work] = []
    while sum(work.spec.pods * work.spec.gpus for work in works) < total * 1.2:
        work = _work(chance, len(works), total, 200.0, ranked=False)
        works.append(replace(work, spec=replace(work.spec, fails=0.0)))
    return Scenario(
        kind="stranger",
        stranger_s=chance.uniform(0.0, 60.0),
        lasts_s=200.0,
        replicas=("a",),
        nodes=nodes,
        works=works,
        configuration=configuration(chance, displaces=False),
    )


def _nodes(chance: random.Random) -> tuple[dict[str, int], int]:
    nodes = {f"node-{number}": chance.choice((2, 4, 4, 8)) for number in range(chance.randint(2, 4))}
    return nodes, sum(nodes.values())


def draw_habits(chance: random.Random) -> Scenario:
    lasts_s = chance.choice((600.0, 900.0, 900.0, 1800.0))
    teams = chance.random() < 0.35
    displaces = not teams and chance.random() < 0.35
    nodes, total = _nodes(chance)
    delay_s = chance.choice((0.002, 0.005, 0.005, 0.05, 0.4))
    ends: tuple[Fault, ...] = ("kill", "kill", "kill", "stop", "break")
    hits = [
        (chance.uniform(30.0, lasts_s), chance.choice(ends)) for _ in range(chance.choice((0, 0, 0, 1, 2)))
    ]
    if chance.random() < 0.25:
        # While much is being bound.
        hits.append((chance.uniform(0.2, 12.0), "kill"))
    return Scenario(
        lasts_s=lasts_s,
        replicas=("a", "b")[: chance.choice((1, 1, 2))],
        nodes=nodes,
        works=_works(chance, total, lasts_s, ranked=teams or displaces),
        configuration=configuration(chance, displaces=displaces),
        quotas=_quotas(chance, total) if teams else [],
        hits=tuple(hits),
        node_rate=chance.choice((0.0, 0.0, 0.0, 1 / 300)),
        begins_s=chance.choice(((0.05, 1.5), (0.05, 1.5), (1.0, 20.0))),
        slowness=chance.choice((0.0, 0.1, 1.0)),
        delay_s=delay_s,
        trouble=chance.random() < 0.15,
    )


def _works(chance: random.Random, total: int, lasts_s: float, *, ranked: bool) -> list[Work]:
    """More than there is room for: they ask for one and a half to three times of it."""
    works: list[Work] = []
    asked, want = 0, total * chance.uniform(1.3, 2.5)
    while (asked < want and len(works) < 14) or len(works) < 4:
        work = _work(chance, len(works), total, lasts_s, ranked=ranked)
        works.append(work)
        asked += work.spec.pods * work.spec.gpus
    return works


def _work(chance: random.Random, number: int, total: int, lasts_s: float, *, ranked: bool) -> Work:
    habits: tuple[Habit, ...] = (
        "job",
        "job",
        "train",
        "train",
        "cron",
        "elastic",
        "rolling",
        "suspends",
        "filler",
        "filler",
        "service",
        "cancels",
    )
    habit = chance.choice((*habits, "urgent", "urgent") if ranked else habits)
    is_single = habit in ("filler", "service")
    dialect: Dialect = "single" if is_single else chance.choice(("own", "own", "podgroup", "coscheduling"))
    if habit == "elastic":
        dialect = chance.choice(("coscheduling", "podgroup", "own"))
    gpus = chance.choice((1, 1, 2, 2, 4))
    pods = chance.randint(1, 3) if is_single else chance.randint(2, 6)
    while pods * gpus > total and pods > 1:
        pods -= 1
    ends = habit in ("job", "cron", "filler", "suspends")
    minimum = 1 if is_single else chance.choice((pods, pods, pods, max(1, pods - 1)))
    spec = Spec(
        name=f"{habit}-{number}",
        namespace=chance.choice(NAMESPACES),
        dialect=dialect,
        pods=pods,
        minimum=pods if habit == "elastic" else minimum,
        gpus=gpus,
        priority=100 if habit == "urgent" else chance.choice((0, 0, 0, 10)),
        run_s=chance.choice((20.0, 60.0, 200.0, 500.0)) if ends else None,
        keeps_names=habit in ("rolling", "train") and chance.random() < 0.6,
        retry_s=chance.choice((0.5, 1.0, 2.0, 10.0)) if habit != "job" else 10.0,
        doubles=habit == "job",
        fails=chance.choice((0.0, 0.1, 0.3)),
        gives_up=habit == "job" and chance.random() < 0.3,
        clear_s=chance.choice((0.0, 60.0, 300.0, None)),
        collects=chance.choice((0.0, 0.0, 0.5)),
        grace_s=chance.choice((0, 0, 5, 30, 30, 120, 600)),
        least=pods - chance.choice((0, 1, 1, 2)) if chance.random() < 0.25 else None,
        restarts=not is_single and chance.random() < 0.15,
    )
    return Work(habit=habit, at_s=chance.choice((0.0, chance.uniform(0.0, lasts_s * 0.6))), spec=spec)


def _quotas(chance: random.Random, total: int) -> list[Json]:
    quotas: list[Json] = []
    left = total
    for name in NAMESPACES:
        guaranteed = chance.randint(0, max(0, left // 2))
        left -= guaranteed
        spec: Json = {"namespaces": [name], "guaranteed": {"gpu": str(guaranteed)}}
        if chance.random() < 0.2:
            spec["minRuntimeSeconds"] = chance.choice((30, 120))
        quotas.append({"metadata": {"name": name}, "spec": spec})
    return quotas


def configuration(
    chance: random.Random, *, displaces: bool, binds: int | None = None
) -> SchedulerConfiguration:
    """binds: Bindings in flight; drawn where nothing is said."""
    solver = 0.05 if chance.random() < 0.15 else 0.0
    return SchedulerConfiguration(
        leader_election=LeaderElection(lease_seconds=40, renew_deadline_seconds=30, retry_seconds=12),
        api=Api(binds_in_flight=binds or chance.choice((1, 8)), connections=30),
        gangs=Gangs(),
        watch=Watch(stale_seconds=300),
        policy=PolicySection(
            strategy=chance.choice(("pack", "pack", "spread")),
            displaces=displaces,
            solver=Solver(per_gang=solver, total=3 * solver),
        ),
    )

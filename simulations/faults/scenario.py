"""What a storm is about, apart from its weather: jobs, teams, nodes and how the scheduler is set up."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Final

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
from simulations.faults.users import Dialect, Job

STORM_S: Final = 45.0
STALE_S: Final = 5
NAMESPACES: Final = ("red", "green", "blue", "others")
#: Terms short enough for many of them in one storm.
LEASE_S, DEADLINE_S, RETRY_S, WRITE_S = 6, 4.0, 1.0, 2.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """nodes: devices of each, by name. limits: of a team's devices, by namespace; no teams where it is empty.

    has_agents: whether nodes report their devices.
    """

    replicas: tuple[str, ...]
    is_fenced: bool
    has_agents: bool
    nodes: dict[str, int]
    jobs: list[tuple[float, Job]]
    configuration: SchedulerConfiguration
    quotas: list[Json] = field(default_factory=list)
    limits: dict[str, int] = field(default_factory=dict)


def draw(chance: random.Random) -> Scenario:
    quotas, limits = _quotas(chance) if chance.random() < 0.3 else ([], {})
    return Scenario(
        replicas=("a", "b")[: chance.choice((1, 1, 2))],
        is_fenced=chance.random() < 0.85,
        has_agents=chance.random() < 0.35,
        nodes={f"node-{number}": chance.choice((2, 4, 4, 8)) for number in range(chance.randint(2, 6))},
        jobs=[
            (chance.uniform(0.0, STORM_S * 0.8), _job(chance, number))
            for number in range(chance.randint(4, 12))
        ],
        configuration=_configuration(chance),
        quotas=quotas,
        limits=limits,
    )


def _job(chance: random.Random, number: int) -> Job:
    dialect: Dialect = chance.choice(("own", "own", "podgroup", "coscheduling", "single"))
    pods = 1 if dialect == "single" else chance.randint(1, 6)
    return Job(
        name=f"job-{number}",
        namespace=chance.choice(NAMESPACES[:3]),
        dialect=dialect,
        pods=pods,
        minimum=chance.choice((pods, pods, max(1, pods - 1), (pods + 1) // 2)),
        gpus=chance.choice((1, 1, 2, 2, 4)),
        priority=chance.choice((0, 0, 0, 100)),
        for_s=chance.choice((None, None, 5.0, 20.0)),
        again=chance.choice(("same name", "same name", "next name", "never")),
        gated_s=chance.choice((0.0, 0.0, 0.0, 2.0)),
        grace_s=chance.choice((0, 0, 5)),
    )


def _quotas(chance: random.Random) -> tuple[list[Json], dict[str, int]]:
    """A team for each of the first namespaces; what one does not use, others may borrow."""
    quotas: list[Json] = []
    limits: dict[str, int] = {}
    for name in NAMESPACES[:3]:
        limits[name] = chance.choice((6, 12, 1000))
        quotas.append(
            {
                "metadata": {"name": name},
                "spec": {
                    "namespaces": [name],
                    "guaranteed": {"gpu": str(chance.choice((0, 2, 4)))},
                    "limit": {"gpu": str(limits[name])},
                    "minRuntimeSeconds": chance.choice((0, 3, 10)),
                },
            }
        )
    return quotas, limits


def _configuration(chance: random.Random) -> SchedulerConfiguration:
    solver = 0.05 if chance.random() < 0.15 else 0.0
    partial_s = chance.choice((5.0, 15.0))
    return SchedulerConfiguration(
        leader_election=LeaderElection(
            lease_seconds=LEASE_S, renew_deadline_seconds=DEADLINE_S, retry_seconds=RETRY_S
        ),
        api=Api(write_timeout_seconds=WRITE_S, binds_in_flight=8),
        gangs=Gangs(partial_seconds=partial_s, replace_seconds=partial_s),
        watch=Watch(stale_seconds=STALE_S),
        policy=PolicySection(
            strategy=chance.choice(("pack", "spread")), solver=Solver(per_gang=solver, total=3 * solver)
        ),
    )

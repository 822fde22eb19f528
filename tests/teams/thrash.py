"""``python -m tests.teams.thrash``: random load on three teams, simulated, and what was evicted in vain.

Every eviction of the run is judged from what then happened: the victims' stays and the beneficiaries'.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections import Counter
from random import Random

from scheduler.model.plan import Budget
from simulations.engine import Engine, Setting
from simulations.outcome import Outcome
from simulations.teams import Teams
from simulations.workload import Job, Workload, workload
from tests.builders import node
from tests.teams.worlds import quota

MIN_RUNTIME_S = 1_800.0
GRACE_S = 30.0
#: A beneficiary starts once its victims are gone. One of higher priority that comes meanwhile may take their
#: room and have others leave for it: then that is waited for, once.
STARTS_WITHIN_S = 2 * GRACE_S + 1.0
HOUR_S = 3_600.0
TEAMS = ("a", "b", "c")


def load(seed: int, hours: float) -> Workload:
    """A job every 40 minutes on average, of four hours on average: more than the cluster can hold."""
    chance = Random(seed)
    jobs: list[Job] = []
    at_s = 0.0
    while at_s < hours * HOUR_S:
        at_s += chance.expovariate(1 / 2_400)
        size = 1 if chance.random() < 0.5 else chance.randint(2, 4)
        jobs.append(
            Job(
                name=f"j{len(jobs)}",
                submit_s=at_s,
                duration_s=chance.expovariate(1 / 14_400),
                gpus=chance.choice((1, 1, 2, 4)),
                pods=size,
                min_pods=1 if size == 1 else chance.randint(2, size),
                team=chance.choice(TEAMS),
                priority=chance.choice((0, 0, 0, 10)),
            )
        )
    return workload(f"seed {seed}", jobs)


def run(seed: int, hours: float) -> Outcome:
    shield = {"minRuntimeSeconds": int(MIN_RUNTIME_S)}
    quotas = (
        quota("a", {"guaranteed": {"gpu": 12}, **shield}),
        quota("b", {"guaranteed": {"gpu": 8}, "weight": 3, **shield}),
        quota("c", {"limit": {"gpu": 16}, **shield}),
    )
    nodes = [node(f"n{i}", gpu=gpus) for i, gpus in enumerate((8, 8, 4, 4))]
    setting = Setting(
        budget=Budget(per_gang=1.0, total=3.0),
        teams=Teams(quotas=quotas),
        grace_s=GRACE_S,
        restart_s=60.0,
        cycle_s=1.0,
    )
    return Engine(load(seed, hours), nodes, setting).run()


def wrongs(outcome: Outcome) -> list[str]:
    """Evictions that should not have been, each in a line."""
    found: list[str] = []
    starts: dict[int, list[float]] = {}
    for stay in outcome.stays:
        starts.setdefault(stay.job, []).append(stay.from_s)
    before: dict[int, float] = {}
    for gone in outcome.evictions:
        who = f"job {gone.job} at {gone.at_s:.0f} s"
        if gone.ran_s < MIN_RUNTIME_S:
            found.append(f"{who}: had run for {gone.ran_s:.0f} s")
        if gone.is_whole:
            if gone.at_s - before.get(gone.job, -MIN_RUNTIME_S) < MIN_RUNTIME_S:
                found.append(f"{who}: was evicted at {before[gone.job]:.0f} s")
            before[gone.job] = gone.at_s
        for job in gone.beneficiaries:
            if not any(gone.at_s <= at_s <= gone.at_s + STARTS_WITHIN_S for at_s in starts.get(job, ())):
                found.append(f"{who}: job {job}, for which it had to leave, did not start")
    return found


def main() -> int:
    """Exit codes: 0 nothing was in vain, 1 something was."""
    parser = argparse.ArgumentParser(prog="python -m tests.teams.thrash", description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--hours", type=float, default=1_000.0)
    arguments = parser.parse_args()
    is_clean = True
    for seed in arguments.seeds:
        began_s = time.monotonic()
        outcome = run(seed, arguments.hours)
        rules = Counter(gone.rule for gone in outcome.evictions)
        wrong = wrongs(outcome)
        print(
            f"seed {seed}: {len(outcome.stories)} jobs, {outcome.cycles} cycles, "
            f"{rules['reclaim']} reclaimed, {rules['preempt']} preempted, {len(wrong)} in vain, "
            f"{time.monotonic() - began_s:.1f} s"
        )
        for line in wrong:
            print(f"  {line}")
        is_clean &= not wrong
    return 0 if is_clean else 1


if __name__ == "__main__":
    sys.exit(main())

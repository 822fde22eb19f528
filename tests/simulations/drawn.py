"""Jobs and policies that nobody picked, on four nodes of eight GPUs."""

from __future__ import annotations

from hypothesis import Phase
from hypothesis import strategies as st

from scheduler.model.plan import Policy
from simulations.workload import Job
from tests.builders import node

#: For tests whose examples run commands: a failing one is told as it was drawn, for shrinking takes minutes.
UNSHRUNK = (Phase.explicit, Phase.reuse, Phase.generate)
ORDERS = ("oldest", "shortest-time", "shortest-service", "least-service")
NODES = tuple(node(f"n{i}", gpu=8) for i in range(4))


@st.composite
def jobs(draw: st.DrawFn, shares: bool = False) -> list[Job]:
    """shares: some jobs' pods share a GPU with others."""
    found: list[Job] = []
    for i in range(draw(st.integers(1, 14))):
        pods = draw(st.integers(1, 4))
        duration_s = float(draw(st.integers(0, 500)))
        share_milli = draw(st.sampled_from([0, 0, 250, 330, 500, 810])) if shares else 0
        gpus = 0 if share_milli else draw(st.sampled_from([1, 2, 4, 8]))
        found.append(
            Job(
                name=f"job-{i}",
                submit_s=float(draw(st.integers(0, 300))),
                duration_s=duration_s,
                estimate_s=draw(st.sampled_from([None, duration_s, 2 * duration_s + 1])),
                gpus=gpus,
                pods=pods,
                min_pods=draw(st.integers(1, pods)),
                last_gpus=draw(st.sampled_from([None, gpus, max(1, gpus // 2)])) if gpus else None,
                share_milli=share_milli,
                priority=draw(st.integers(0, 2)),
            )
        )
    return found


policies = st.builds(
    Policy,
    strategy=st.sampled_from(["pack", "spread"]),
    order=st.sampled_from(ORDERS),
    displaces=st.booleans(),
    backfill=st.booleans(),
)

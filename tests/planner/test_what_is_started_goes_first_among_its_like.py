"""A gang that holds something comes before others of its team and priority, and before nobody else."""

from __future__ import annotations

from scheduler.model.objects import Pod
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.parse.teamquota import TeamQuota
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import node, pod
from tests.teams.worlds import quota

GANG = {"stowplan.dev/gang": "half", "stowplan.dev/gang-min-member": "2"}


def half(namespace: str = "team") -> list[Pod]:
    """A CPU pod that runs, and its mate that asks for a whole node."""
    first = pod("half-0", namespace=namespace, annotations=GANG, node="n0", phase="Running", created_s=500.0)
    return [first, pod("half-1", namespace=namespace, gpu=8, annotations=GANG, created_s=500.0)]


def placed(*pods: Pod, quotas: tuple[TeamQuota, ...] = ()) -> set[str]:
    state = ClusterState("stowplan")
    state.set_node(node("n0"))
    for team in quotas:
        state.set_namespace(team.spec.name, {})
        state.set_team_quota(team)
    for one in pods:
        state.set_pod(one)
    found: Plan = plan(state.snapshot(), Policy(), Budget())
    return {a.pod.name for place in found.places for a in place.assignments}


def test_it_passes_no_higher_priority() -> None:
    assert placed(*half(), pod("urgent", gpu=8, priority=1000, created_s=900.0)) == {"urgent"}


def test_it_comes_before_others_of_its_priority() -> None:
    """A fresh gang that took the room would strand it (volcano-sh/volcano#5805)."""
    assert placed(*half(), pod("older", gpu=8, created_s=100.0)) == {"half-1"}


def test_it_passes_no_guarantee_of_another_team() -> None:
    quotas = (quota("a"), quota("b", {"guaranteed": {"gpu": "8"}}))
    assert placed(*half("a"), pod("due", namespace="b", gpu=8, created_s=900.0), quotas=quotas) == {"due"}

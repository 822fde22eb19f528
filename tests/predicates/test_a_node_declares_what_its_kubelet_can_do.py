"""Features that a pod needs of its node's kubelet (KEP-5328): only nodes that declare them will do."""

from __future__ import annotations

import pytest

from scheduler.model.plan import Budget, Policy
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.predicates.cluster import node_of, pod_of
from tests.predicates.generate import Manifest

RESTARTS: Manifest = {
    "containers": [{"name": "c", "restartPolicyRules": [{"action": "RestartAllContainers"}]}]
}
HOST_USERS: Manifest = {"containers": [{"name": "c"}], "hostNetwork": True, "hostUsers": False}
PLAIN: Manifest = {
    "containers": [{"name": "c", "restartPolicyRules": [{"action": "Restart"}]}],
    "hostUsers": False,
}


def cluster(*declared: list[str]) -> ClusterState:
    state = ClusterState("stowplan")
    for i, features in enumerate(declared):
        status: Manifest = {"allocatable": {"cpu": "4", "pods": "9"}, "declaredFeatures": list(features)}
        state.set_node(node_of({"metadata": {"name": f"n{i}"}, "spec": {}, "status": status}))
    return state


def where(state: ClusterState) -> list[str]:
    return [a.node for p in plan(state.snapshot(), Policy(), Budget()).places for a in p.assignments]


@pytest.mark.parametrize(
    ("spec", "feature"),
    [(RESTARTS, "RestartAllContainersOnContainerExits"), (HOST_USERS, "UserNamespacesHostNetworkSupport")],
)
def test_only_a_node_that_declares_it_will_do(spec: Manifest, feature: str) -> None:
    newcomer = pod_of({"metadata": {"name": "p", "uid": "p"}, "spec": spec | {"schedulerName": "stowplan"}})
    state = cluster([], ["Another"])
    state.set_pod(newcomer)
    (verdict,) = plan(state.snapshot(), Policy(), Budget()).verdicts
    assert "2 node(s) didn't match Pod's required features" in verdict.message
    before = state.releases
    assert state.set_node(cluster([], ["Another", feature]).columns.nodes[1])
    assert state.releases > before
    assert where(state) == ["n1"]


def test_who_needs_nothing_goes_anywhere() -> None:
    state = cluster([])
    state.set_pod(
        pod_of({"metadata": {"name": "p", "uid": "p"}, "spec": PLAIN | {"schedulerName": "stowplan"}})
    )
    assert where(state) == ["n0"]

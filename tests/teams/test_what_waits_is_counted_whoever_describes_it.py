"""``stowplan teams`` counts what a waiting gang asks for, whether its pods or an object describe it."""

from __future__ import annotations

from scheduler.cli.teams import read
from scheduler.live.config import SchedulerConfiguration
from simulations.faults import server as api
from simulations.faults.network import Clear
from tests.teams.living import Living, live


def test_gangs_of_objects_are_pending_like_others() -> None:
    async def story() -> None:
        living = Living(namespaces=("lab",))
        living.nodes(1)
        living.team("lab", guaranteed={"gpu": "8"})
        living.store.create(
            api.COSCHEDULING_GROUPS,
            {"metadata": {"name": "pg", "namespace": "lab", "generation": 1}, "spec": {"minMember": 2}},
        )
        for index in range(2):
            living.pod(f"of-group-{index}", "lab", 8, labels={"scheduling.x-k8s.io/pod-group": "pg"})
        job = {"parallelism": 3, "completions": 3, "completionMode": "Indexed"}
        words = {"annotations": {"stowplan.dev/gang-policy": "all-or-nothing"}}
        stored = living.store.create(
            api.JOBS,
            {
                "metadata": {"name": "train", "namespace": "lab", "generation": 1},
                "spec": {**job, "template": {"metadata": words, "spec": {"schedulerName": "stowplan"}}},
            },
        )
        owner = {
            "apiVersion": "batch/v1",
            "kind": "Job",
            "name": "train",
            "uid": stored.uid,
            "controller": True,
        }
        for index in range(3):
            living.pod(f"train-{index}", "lab", 4, owner=owner, words=words["annotations"])
        living.gang("own", "lab", 2, 1)
        answer = await read(Clear(living.server), SchedulerConfiguration(), at_s=1.8e9)
        (lab,) = [row for row in answer.teams if row.team == "lab"]
        assert lab.pending["gpu"] == (16 + 12 + 2) * 1000
        await living.end()

    live(story())

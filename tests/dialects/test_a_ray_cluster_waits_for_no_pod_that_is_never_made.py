"""KubeRay makes no more replicas than maxReplicas, whatever replicas and minReplicas say."""

from __future__ import annotations

import pytest

from tests.dialects.recorded import Json
from tests.dialects.recorded_jobs import ray
from tests.dialects.stage import Stage


@pytest.mark.parametrize(("replicas", "least"), [(5, 0), (5, 2), (5, 4), (0, 4), (3, 3)])
@pytest.mark.parametrize("is_autoscaled", [False, True])
def test_the_cluster_starts_with_the_pods_that_there_will_be(
    replicas: int, least: int, is_autoscaled: bool
) -> None:
    recording = ray("bert", 2)
    group: Json = {"groupName": "gpu", "replicas": replicas, "minReplicas": least, "maxReplicas": 3}
    spec: dict[str, Json] = {"workerGroupSpecs": [group], "enableInTreeAutoscaling": is_autoscaled}
    stage = Stage(nodes=1)
    stage.give(recording.objects[0].with_spec(spec))
    for found in recording.pods:
        stage.arrive(found)
    assert len(recording.pods) == 4
    stage.plan()
    assert len(stage.bound) == 4

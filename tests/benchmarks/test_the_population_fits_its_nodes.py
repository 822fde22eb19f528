"""The large cluster of the scale benchmark: whole gangs, distinct pods, and no node that holds too much."""

from __future__ import annotations

from collections import Counter

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.objects import GPU, Pod
from scheduler.parse.pod import parse_pod
from tests.benchmarks.control import GPUS_A_NODE, pods_path
from tests.benchmarks.population import EMPTY_ONE_IN, GANG_SIZE, Population, pending_gang
from tests.benchmarks.scale import PODS_A_NODE_MAX


def parsed(population: Population) -> list[Pod]:
    pods = []
    for path, body in population.bodies():
        found = parse_pod(msgspec.json.decode(body, type=wire.Pod))
        assert isinstance(found, Pod)
        assert path.startswith(pods_path("load-").rpartition("/")[0])
        pods.append(found)
    return pods


@given(st.integers(5, 40), st.floats(0.1, 1.0))
@settings(max_examples=8, deadline=None)
def test_no_node_is_overcommitted_and_some_have_no_gpu_pod(nodes: int, share: float) -> None:
    names = tuple(f"n{index}" for index in range(nodes))
    population = Population(nodes=names, pods=max(1, int(share * PODS_A_NODE_MAX * nodes)))
    pods = parsed(population)
    gpus: Counter[str] = Counter()
    for pod in pods:
        gpus[pod.node_name] += dict(pod.shape.requests).get(GPU, 0)
    assert len(pods) == population.pods
    assert max(gpus.values()) <= GPUS_A_NODE
    assert sum(not gpus[name] for name in names) >= nodes // EMPTY_ONE_IN


def test_gangs_of_ours_are_whole_and_names_are_used_once() -> None:
    population = Population(nodes=("a", "b", "c", "d", "e"), pods=2_000)
    gangs: Counter[str] = Counter()
    for pod in parsed(population):
        if pod.scheduler_name == "stowplan":
            gangs[dict(pod.annotations)["stowplan.dev/gang"]] += 1
    assert sum(gangs.values()) == population.ours
    assert set(gangs.values()) == {GANG_SIZE}
    places = [(path, msgspec.json.decode(body)["metadata"]["name"]) for path, body in population.bodies()]
    assert len(set(places)) == len(places)


@pytest.mark.parametrize("size", [1, 7])
def test_the_waiting_gang_is_bound_nowhere(size: int) -> None:
    pods = [parse_pod(msgspec.json.decode(body, type=wire.Pod)) for body in pending_gang(size, 8)]
    assert len({pod.uid for pod in pods if isinstance(pod, Pod) and not pod.node_name}) == size

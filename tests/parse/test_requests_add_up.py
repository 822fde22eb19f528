"""Requests of a pod, case by case; ``tests/predicates`` compares random ones with kube-scheduler's sum."""

from __future__ import annotations

from typing import TypeAlias

import msgspec
import pytest

from scheduler.kube import wire
from scheduler.model.objects import Rejected
from scheduler.parse.pod import parse_pod, skeleton
from scheduler.parse.quantity import AMOUNT_MAX

GPU = "nvidia.com/gpu"
Amounts: TypeAlias = "dict[str, str | int | float]"
Container: TypeAlias = "dict[str, str | dict[str, Amounts]]"


def ask(requests: Amounts | None = None, limits: Amounts | None = None, *, always: bool = False) -> Container:
    built: Container = {"name": "c", "resources": {"requests": requests or {}, "limits": limits or {}}}
    return built | ({"restartPolicy": "Always"} if always else {})


def pod(containers: list[Container], **spec: object) -> wire.Pod:
    manifest = {"metadata": {"name": "p"}, "spec": {"containers": containers, **spec}}
    return msgspec.json.decode(msgspec.json.encode(manifest), type=wire.Pod)


def total(containers: list[Container], **spec: object) -> dict[str, int]:
    found = parse_pod(pod(containers, **spec))
    assert not isinstance(found, Rejected), found.reason
    return dict(found.shape.requests)


def refused(containers: list[Container], **spec: object) -> str:
    found = parse_pod(pod(containers, **spec))
    assert isinstance(found, Rejected), found
    return found.reason


def test_containers_add_and_the_pod_itself_counts_one() -> None:
    assert total([ask({"cpu": "1500m", "memory": "1Gi"}), ask({"cpu": 0.5, GPU: 0})]) == {
        "cpu": 2000,
        "memory": 2**30,
        "pods": 1,
    }


def test_a_limit_stands_in_for_a_missing_request() -> None:
    assert total([ask({}, {GPU: "4", "cpu": "2"})]) == {"cpu": 2000, GPU: 4, "pods": 1}


def test_an_init_container_raises_the_total_and_does_not_add() -> None:
    assert total(
        [ask({"cpu": "1", "memory": "1Gi"})], initContainers=[ask({"cpu": "3"}), ask({"cpu": "2"})]
    ) == {
        "cpu": 3000,
        "memory": 2**30,
        "pods": 1,
    }


def test_sidecars_add_and_run_beside_later_init_containers() -> None:
    sidecar = ask({"cpu": "1"}, always=True)
    starters = [ask({"cpu": "5"}), sidecar, ask({"cpu": "4"})]
    assert total([ask({"cpu": "2"})], initContainers=starters)["cpu"] == 5000
    assert total([ask({"cpu": "2"})], initContainers=[sidecar, ask({"cpu": "5"})])["cpu"] == 6000
    assert total([ask({"cpu": "2"})], initContainers=[sidecar, sidecar])["cpu"] == 4000


def test_overhead_adds_after_pod_level_resources_replaced_the_sum() -> None:
    level = {"requests": {"cpu": "6", GPU: "9"}, "limits": {"cpu": "8", "memory": "2Gi"}}
    found = total([ask({"cpu": "1", GPU: "1"}, {GPU: "1"})], resources=level, overhead={"cpu": "250m"})
    assert found == {"cpu": 6250, "memory": 2 * 2**30, GPU: 1, "pods": 1}
    kept = total([ask({"memory": "1Gi"})], resources={"limits": {"memory": "2Gi"}})
    assert kept == {"memory": 2**30, "pods": 1}


def test_what_kube_scheduler_does_not_count_is_left_out() -> None:
    asked = {"storage": "1Gi", "pods": "5", "hugepages-2Mi": "4Mi", "ephemeral-storage": "1k", "rdma/ib": "2"}
    found = total([ask(dict(asked), {"hugepages-2Mi": "4Mi", "rdma/ib": "2"})])
    assert found == {"hugepages-2Mi": 4 * 2**20, "ephemeral-storage": 1000, "rdma/ib": 2, "pods": 1}


@pytest.mark.parametrize(
    ("request_", "limit", "words"),
    [
        ("1", "2", "request and limit of 'nvidia.com/gpu' differ"),
        ("0.5", "0.5", "is not whole"),
        ("-1", "-1", "is negative"),
        ("17", "17", "is more than 16"),
        ("9223372036854775808", "9223372036854775808", "is more than 16"),
        ("one", "one", "is not a quantity"),
    ],
)
def test_odd_gpu_requests_are_refused_by_name(request_: str, limit: str, words: str) -> None:
    told = refused([ask({GPU: request_}, {GPU: limit})])
    assert told.startswith("spec.containers")
    assert GPU in told
    assert words in told


def test_the_bound_holds_for_the_sum_over_containers() -> None:
    assert total([ask({GPU: "8"}, {GPU: "8"}), ask({GPU: "8"}, {GPU: "8"})])[GPU] == 16
    assert "is more than 16" in refused([ask({GPU: "8"}, {GPU: "8"}), ask({GPU: "9"}, {GPU: "9"})])
    assert "than any node has" in refused([ask({"memory": "40Ti"}), ask({"memory": "40Ti"})])


@pytest.mark.parametrize(
    ("amount", "counted"), [("-5", None), ("soup", None), ("40", 40), ("1e30", AMOUNT_MAX), ("0.5", 1)]
)
def test_a_refused_pod_counts_with_what_can_be_read(amount: str, counted: int | None) -> None:
    odd = pod([ask({GPU: amount}, {GPU: amount}), ask({"cpu": "2"})])
    assert isinstance(parse_pod(odd), Rejected)
    found = dict(skeleton(odd).shape.requests)
    assert found.get(GPU) == counted
    assert (found["cpu"], found["pods"]) == (2000, 1)


def test_more_containers_than_allowed_still_count_each() -> None:
    crowd = pod([ask({"cpu": "1"})] * 200)
    assert isinstance(parse_pod(crowd), Rejected)
    assert dict(skeleton(crowd).shape.requests)["cpu"] == 200_000

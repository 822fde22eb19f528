"""What kube-scheduler 1.37's plugins decided on 1,200 random clusters, recorded by ``oracle/main.go``."""

from __future__ import annotations

from pathlib import Path
from random import Random

import pytest

from scheduler.model.objects import PODS
from tests.predicates.cluster import cluster_of, feasible
from tests.predicates.generate import case

SEED = 2026
BLOCK = 30
RECORDED = Path(__file__).with_name("kube_scheduler_1_37.txt").read_text().splitlines()


def test_the_record_holds_both_verdicts_in_plenty() -> None:
    told = "".join(line.split()[0] for line in RECORDED)
    assert told.count("1") > 400
    assert told.count("0") > 1000


@pytest.mark.parametrize("start", range(0, len(RECORDED), BLOCK))
def test_feasible_nodes_and_requests_are_the_same(start: int) -> None:
    for number, line in enumerate(RECORDED[start : start + BLOCK], start):
        cluster = cluster_of(case(Random(SEED + number)))
        verdicts = "".join("01"[int(fits)] for fits in feasible(cluster))
        requests = [f"{n}={amount}" for n, amount in cluster.newcomer.shape.requests if n != PODS]
        assert [verdicts, *sorted(requests)] == line.split(), f"case {number}"

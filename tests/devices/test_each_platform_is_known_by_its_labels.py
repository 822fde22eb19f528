"""Recorded nodes of each cloud and tool: whose they are, their GPUs, where in the network, spot or not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scheduler.model.gpu_names import memory_mib_of, model_of, part_milli
from scheduler.model.platforms import (
    HOSTNAME,
    PLATFORMS,
    is_spot,
    platforms_of,
    product_of,
    replicas_of,
    topology_of,
)

Recorded = dict[str, Any]
RECORDED: list[Recorded] = yaml.safe_load(
    Path(__file__).with_name("recorded_nodes.yaml").read_text(encoding="utf-8")
)
KEYS = sorted(
    {
        mark.partition("=")[0]
        for one in PLATFORMS
        for mark in (*one.marks, *one.gpus, *one.model, *one.topology, *one.nvlink, *one.spot, *one.replicas)
    }
    | {key for one in PLATFORMS for key, _ in one.memory}
)
VALUES = [
    "",
    "true",
    "spot",
    "SPOT",
    "nvidia",
    "0",
    "80",
    "9" * 63,
    "-1",
    "1e9",
    "H100",
    "191G",
    "16GiB",
    "NVIDIA-H100-80GB-HBM3",
]
labels = st.dictionaries(st.sampled_from(KEYS), st.sampled_from(VALUES) | st.text(max_size=63), max_size=8)


@pytest.mark.parametrize("node", RECORDED, ids=lambda node: str(node["source"])[:60])
def test_a_recorded_node_is_read_right(node: Recorded) -> None:
    found = node["labels"]
    assert [one.name for one in platforms_of(found)] == node["platforms"]
    assert model_of(found) == node["model"]
    assert memory_mib_of(found) == node["memory_mib"]
    domains = list(topology_of(found))
    # A node's own name is a domain of one: it says nothing by itself.
    wanted = node.get("domains", [])
    assert [key for key in domains if key != HOSTNAME] == [key for key in wanted if key != HOSTNAME]
    assert is_spot(found) == node.get("spot", False)
    assert replicas_of(found) == node.get("replicas", 1)
    assert part_milli(node["model"]) == node.get("part", 1_000)


def test_every_platform_has_a_recorded_node() -> None:
    seen = {name for node in RECORDED for name in node["platforms"]}
    assert seen == {platform.name for platform in PLATFORMS if platform.marks}


def test_a_platforms_own_words_mark_its_nodes() -> None:
    """Whatever gives a model, or says that there are GPUs, is a sign of some platform."""
    for platform in PLATFORMS:
        for mark in (*platform.gpus, *platform.model):
            key, _, value = mark.partition("=")
            assert platforms_of({key: value or "x"}), mark


@given(labels)
def test_no_labels_are_too_odd(found: dict[str, str]) -> None:
    assert 0 <= memory_mib_of(found) < 10**13
    assert set(topology_of(found)) <= set(found)
    assert product_of(found) in {"", *found.values()}
    assert len(model_of(found)) <= 127
    # A label of nobody's changes nothing.
    more = found | {"example.com/gpu": "H100", "a": "spot"}
    told = (platforms_of, product_of, memory_mib_of, topology_of, is_spot)
    assert [tell(more) for tell in told] == [tell(found) for tell in told]

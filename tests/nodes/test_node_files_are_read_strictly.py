"""Every example is read; whatever is wrong is named by file and field."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.nodes.pools import (
    RACK_LABEL,
    ZONE_LABEL,
    NodeFileError,
    Pool,
    read_pools,
    specs,
    uniform,
)

EXAMPLES = sorted((Path(__file__).parents[2] / "docs/examples/clusters").glob("*.yaml"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_read_and_names_its_nodes_once(path: Path) -> None:
    nodes = specs(read_pools(path))
    assert len({node.name for node in nodes}) == len(nodes) > 0


def test_the_demo_has_two_racks_three_models_and_80_gpus() -> None:
    nodes = specs(read_pools(next(path for path in EXAMPLES if path.stem == "demo")))
    assert {node.labels[RACK_LABEL] for node in nodes} == {"rack-a", "rack-b"}
    products = {node.labels.get("nvidia.com/gpu.product") for node in nodes} - {None}
    assert len(products) == 3
    assert sum(node.amounts.get("nvidia.com/gpu", 0) for node in nodes) == 80


@pytest.mark.parametrize(
    ("pool", "field"),
    [
        ({"name": "a", "colour": "red"}, "colour"),
        ({"count": 1}, "name"),
        ({"name": "a", "count": "many"}, "pools[0].count"),
        ({"name": "a", "count": 0}, "pools[0].count"),
        ({"name": "a", "count": 20_000}, "pools[0].count"),
        ({"name": "Upper"}, "pools[0].name"),
        ({"name": "a", "gpus": -1}, "pools[0].gpus"),
        ({"name": "a", "model": "H100"}, "pools[0].gpus"),
        ({"name": "a", "cpu": "lots"}, "pools[0].cpu"),
        ({"name": "a", "gpus": 1, "gpuMemory": "80GiB"}, "pools[0].gpuMemory"),
        ({"name": "a", "rack": "r", "racks": 1}, "pools[0].racks"),
        ({"name": "a", "count": 2, "racks": 3}, "pools[0].racks"),
        ({"name": "a", "zone": "zone 1"}, "pools[0].zone"),
        ({"name": "a", "labels": {"k": "-v"}}, "pools[0].labels[k]"),
        ({"name": "a", "taints": [{"key": "k", "effect": "Never"}]}, "pools[0].taints[0].effect"),
        ({"name": "a", "mischief": {"explode": True}}, "explode"),
    ],
)
def test_a_mistake_is_named_by_file_and_field(tmp_path: Path, pool: dict[str, object], field: str) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(yaml.safe_dump({"pools": [pool]}))
    with pytest.raises(NodeFileError) as caught:
        read_pools(path)
    assert str(path) in str(caught.value)
    assert field in str(caught.value)


def test_too_many_nodes_in_all_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(yaml.safe_dump({"pools": [{"name": name, "count": 5_001} for name in "ab"]}))
    with pytest.raises(NodeFileError, match="pools: there must be 1 to 10000 nodes in all"):
        read_pools(path)
    with pytest.raises(NodeFileError, match="count"):
        uniform(10_001)


def test_two_pools_of_one_name_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "nodes.yaml"
    path.write_text(yaml.safe_dump({"pools": [{"name": "a"}, {"name": "b"}, {"name": "a"}]}))
    with pytest.raises(NodeFileError, match=r"pools\[2\]\.name: 'a' is used twice"):
        read_pools(path)


@settings(max_examples=40)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["pools", "name", "count"]), inner)
        ),
        max_leaves=8,
    )
)
def test_any_other_document_is_a_node_file_error(
    tmp_path_factory: pytest.TempPathFactory, document: object
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_text(yaml.safe_dump(document))
    try:
        assert read_pools(path)
    except NodeFileError as error:
        assert str(error).startswith(str(path))  # noqa: PT017 # either outcome is right, a third is not


@given(st.integers(1, 200), st.integers(1, 20))
def test_racks_are_equal_runs_of_nodes(count: int, racks: int) -> None:
    racks = min(racks, count)
    labels = [node.labels[RACK_LABEL] for node in specs([Pool(name="p", count=count, racks=racks, zone="z")])]
    sizes = [labels.count(rack) for rack in dict.fromkeys(labels)]
    assert len(sizes) == racks
    assert max(sizes) - min(sizes) <= 1
    assert labels == sorted(labels, key=lambda rack: int(rack.rsplit("-", 1)[1]))


def test_labels_are_those_of_gpu_feature_discovery() -> None:
    (node,) = specs(uniform(1))
    assert node.labels["nvidia.com/gpu.product"] == "NVIDIA-H100-80GB-HBM3"
    assert node.labels["nvidia.com/gpu.memory"] == str(80 * 1024)
    assert node.labels["nvidia.com/gpu.count"] == "8"
    assert node.labels[ZONE_LABEL] == "zone-a"
    (other,) = specs([Pool(name="amd", gpus=8, resource="amd.com/gpu")])
    assert other.allocatable["amd.com/gpu"] == "8"
    assert not [key for key in other.labels if key.startswith("nvidia.com/")]

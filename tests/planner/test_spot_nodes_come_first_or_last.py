"""``stowplan.dev/spot``: spot nodes first or last as the pod wishes, and never a must."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import msgspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.objects import Node, Pod, Rejected
from scheduler.model.plan import Budget, Policy
from scheduler.model.selection import Taint
from scheduler.parse.pod import parse_pod, skeleton
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import gang, node, pod

SPOT = "stowplan.dev/spot"
BUDGET = Budget(per_gang=1.0, total=4.0)
RECORDED: list[dict[str, Any]] = yaml.safe_load(
    (Path(__file__).parents[1] / "devices" / "recorded_nodes.yaml").read_text(encoding="utf-8")
)
ON_SPOT = {"karpenter.sh/capacity-type": "spot"}
#: Equal but for their capacity type; the other words of that label are all no spot.
MIXED = [
    *(node(f"kept-{i}", labels={"karpenter.sh/capacity-type": "on-demand"}) for i in range(2)),
    *(node(f"spot-{i}", labels=ON_SPOT) for i in range(4)),
    *(node(f"kept-{i}", labels={"karpenter.sh/capacity-type": "reserved"}) for i in range(2, 4)),
]


def read(annotations: dict[str, str], gpu: int = 8, spec: Mapping[str, object] | None = None) -> wire.Pod:
    limits = {"nvidia.com/gpu": str(gpu)}
    manifest = {
        "metadata": {"name": "p", "namespace": "team", "annotations": annotations},
        "spec": {"containers": [{"resources": {"limits": limits}}], **(spec or {})},
    }
    return msgspec.json.decode(msgspec.json.encode(manifest), type=wire.Pod)


def wishing(size: int, wish: str | None, gpu: int = 8, spec: Mapping[str, object] | None = None) -> list[Pod]:
    """A gang of pods with the shape that the parser reads of the annotation."""
    found = parse_pod(read({} if wish is None else {SPOT: wish}, gpu, spec))
    assert isinstance(found, Pod)
    return gang("g", size, of=found.shape)


def placed(nodes: Sequence[Node], pods: Sequence[Pod], policy: Policy | None = None) -> Counter[str]:
    """Newly placed pods by node."""
    state = ClusterState("stowplan")
    for one in nodes:
        state.set_node(one)
    for each in pods:
        state.set_pod(each)
    result = plan(state.snapshot(), policy or Policy(), BUDGET)
    return Counter(a.node for place in result.places for a in place.assignments)


@pytest.mark.parametrize("strategy", ["pack", "spread"])
@pytest.mark.parametrize(("wish", "liked"), [("prefer", "spot"), ("avoid", "kept")])
def test_a_gang_takes_the_capacity_it_likes(
    wish: str, liked: str, strategy: Literal["pack", "spread"]
) -> None:
    where = placed(MIXED, wishing(4, wish), Policy(strategy=strategy))
    assert where == {f"{liked}-{i}": 1 for i in range(4)}


@pytest.mark.parametrize(("wish", "liked"), [("prefer", "spot"), ("avoid", "kept")])
def test_a_wish_keeps_no_gang_from_starting(wish: str, liked: str) -> None:
    """Six nodes of eight: all four that it likes and two others; only others where there is nothing else."""
    where = placed(MIXED, wishing(6, wish))
    assert where.total() == 6
    assert sum(name.startswith(liked) for name in where) == 4
    others = [one for one in MIXED if not one.name.startswith(liked)]
    assert placed(others, wishing(4, wish)).total() == 4


@pytest.mark.parametrize(("wish", "goes"), [(None, "kept-0"), ("prefer", "spot-0"), ("avoid", "kept-0")])
def test_a_wish_comes_before_filling_what_is_begun(wish: str | None, goes: str) -> None:
    begun = pod("begun", gpu=4, node="kept-0", phase="Running")
    nodes = [one for one in MIXED if one.name.endswith("-0")]
    assert placed(nodes, [begun, *wishing(1, wish, gpu=4)]) == {goes: 1}


def test_a_selector_is_a_must_whatever_the_wish() -> None:
    must = {"nodeSelector": {"karpenter.sh/capacity-type": "on-demand"}}
    assert placed(MIXED, wishing(2, "prefer", spec=must)) == {"kept-0": 1, "kept-1": 1}


def test_a_wish_tolerates_no_taint() -> None:
    """AKS and OKE taint their spot nodes: a pod that only prefers them goes elsewhere."""
    key = "kubernetes.azure.com/scalesetpriority"
    taint = Taint(key=key, value="spot", effect="NoSchedule")
    tainted = node("aks-spot", labels={key: "spot"}, taints=(taint,))
    nodes = [tainted, node("regular")]
    assert placed(nodes, wishing(1, "prefer")) == {"regular": 1}
    tolerant = {"tolerations": [{"key": key, "operator": "Exists"}]}
    assert placed(nodes, wishing(1, "prefer", spec=tolerant)) == {"aks-spot": 1}


@pytest.mark.parametrize("node_of", [n for n in RECORDED if n.get("spot")], ids=lambda n: str(n["platforms"]))
def test_each_clouds_spot_nodes_are_meant(node_of: dict[str, Any]) -> None:
    nodes = [node("spot", labels=node_of["labels"]), node("other")]
    for wish, goes in (("prefer", "spot"), ("avoid", "other")):
        assert placed(nodes, wishing(1, wish)) == {goes: 1}
        assert placed(nodes[::-1], wishing(1, wish)) == {goes: 1}


@given(st.text(max_size=80) | st.sampled_from(["Prefer", "avoid ", "required", "true", "x" * 4_000]))
def test_any_other_word_is_refused_by_field_and_remedy_and_the_pod_still_counts(word: str) -> None:
    found = parse_pod(read({SPOT: word}))
    if word in ("prefer", "avoid"):
        assert isinstance(found, Pod)
        return
    assert isinstance(found, Rejected)
    assert found.reason.startswith(f"metadata.annotations[{SPOT}]: ")
    assert found.reason.endswith(" is unknown: use prefer or avoid, or take it off")
    counted = skeleton(read({SPOT: word}))
    assert counted.shape is skeleton(read({})).shape

"""Pods that may go to the same places have one Shape object; whatever else differs splits nothing."""

from __future__ import annotations

from copy import deepcopy
from random import Random

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.model.objects import Pod, Rejected
from scheduler.parse.pod import parse_pod
from tests.parse.hostile import SOUND, Json
from tests.predicates.generate import Manifest, case


def parsed(manifest: Json | Manifest) -> Pod:
    found = parse_pod(msgspec.json.decode(msgspec.json.encode(manifest), type=wire.Pod))
    assert not isinstance(found, Rejected), found.reason
    return found


def sound(name: str = "w", *, drop: tuple[str, ...] = (), **labels: str) -> Manifest:
    built = deepcopy(SOUND)
    assert isinstance(built, dict)
    metadata, spec = built["metadata"], built["spec"]
    assert isinstance(metadata, dict)
    assert isinstance(spec, dict)
    metadata |= {"name": name, "uid": name, "labels": {"app": "bert", "role": "worker", **labels}}
    for field in drop:
        del spec[field]
    return built  # type: ignore[return-value] # a Manifest without null


@given(st.integers(0, 2**32), st.text("abc", min_size=1, max_size=5), st.randoms(use_true_random=False))
@settings(max_examples=40, deadline=None)
def test_names_foreign_labels_and_the_order_of_keys_split_nothing(seed: int, name: str, rng: Random) -> None:
    one = case(Random(seed))["pod"]
    other = deepcopy(one)
    assert isinstance(other, dict)
    metadata, spec = other["metadata"], other["spec"]
    assert isinstance(metadata, dict)
    assert isinstance(spec, dict)
    assert isinstance(metadata["labels"], dict)
    metadata["name"] = name
    metadata["labels"]["index"] = name
    spec["schedulerName"] = name
    order = list(spec)
    rng.shuffle(order)
    other["spec"] = {key: spec[key] for key in order}
    assert parsed(other).shape is parsed(one).shape


def test_a_label_that_an_own_selector_reads_does_split() -> None:
    assert parsed(sound()).shape is parsed(sound(index="7")).shape
    assert parsed(sound()).shape != parsed(sound(role="driver")).shape
    without = ("affinity", "topologySpreadConstraints")
    assert parsed(sound(drop=without)).shape is parsed(sound(drop=without, role="driver")).shape


def test_an_ephemeral_volume_names_the_pods_own_claim() -> None:
    one, two = parsed(sound("a")), parsed(sound("b"))
    assert [volume.claim for volume in one.shape.volumes] == ["a-tmp", "data"]
    assert one.shape != two.shape
    assert parsed(sound("a", drop=("volumes",))).shape is parsed(sound("b", drop=("volumes",))).shape


def test_volumes_that_restrict_no_node_split_nothing() -> None:
    def mounting(token: str) -> Manifest:
        built = sound(drop=("volumes",))
        spec = built["spec"]
        assert isinstance(spec, dict)
        spec["volumes"] = [{"name": f"kube-api-access-{token}", "projected": {}}]
        return built

    assert parsed(mounting("abc12")).shape is parsed(mounting("xyz89")).shape

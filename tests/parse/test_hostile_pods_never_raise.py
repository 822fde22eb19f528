"""INV11: whatever the wire decodes is parsed or refused with a bounded reason, and counts in any case."""

from __future__ import annotations

from random import Random

import msgspec
import pytest

from scheduler.kube import wire
from scheduler.model.objects import GPU, PODS, Pod, Rejected
from scheduler.parse.pod import parse_pod, skeleton
from scheduler.parse.quantity import AMOUNT_MAX
from tests.parse import hostile

BLOCK = 250
BLOCKS = 110  # More than 20,000 pods that decode.


def decoded(seed: int) -> list[wire.Pod]:
    rng = Random(seed)
    found: list[wire.Pod] = []
    for _ in range(BLOCK):
        try:
            found.append(msgspec.json.decode(hostile.text(rng), type=wire.Pod))
        except msgspec.MsgspecError:
            continue  # The reflector names such an object; the parser never sees it.
    return found


def check(pod: Pod) -> None:
    requests = dict(pod.shape.requests)
    assert requests[PODS] == 1
    assert all(0 < amount <= AMOUNT_MAX for amount in requests.values())
    assert list(pod.shape.requests) == sorted(pod.shape.requests)
    assert hash(pod) == hash(pod)
    assert len(pod.labels) <= 256
    assert all(len(value) <= 4096 for _, value in pod.annotations)


@pytest.mark.parametrize("seed", range(BLOCKS))
def test_every_pod_is_parsed_or_refused_and_counts(seed: int) -> None:
    pods = decoded(seed)
    assert len(pods) > BLOCK // 3
    for pod in pods:
        parsed, counted = parse_pod(pod), skeleton(pod)
        check(counted)
        if isinstance(parsed, Rejected):
            assert 8 < len(parsed.reason) <= 512
            assert parsed.reason.isascii()
            assert parsed.reason.isprintable()
        else:
            assert parsed == counted
            assert dict(parsed.shape.requests).get(GPU, 0) <= 16


def test_the_sound_manifest_itself_is_taken() -> None:
    found = parse_pod(msgspec.json.decode(msgspec.json.encode(hostile.SOUND), type=wire.Pod))
    assert isinstance(found, Pod), found
    assert found.gates == ("example.com/wait",)


def test_both_answers_are_common() -> None:
    answers = [isinstance(parse_pod(pod), Rejected) for pod in decoded(1_000)]
    assert 0.1 < sum(answers) / len(answers) < 0.9

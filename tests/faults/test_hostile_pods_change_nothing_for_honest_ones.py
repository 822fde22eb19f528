"""Whatever the API server lets a tenant write, an honest gang beside it is bound as if it were alone."""

from __future__ import annotations

from random import Random
from typing import Final

from scheduler.kube.transport import ApiError
from tests.faults.stage import GANG, MIN_MEMBER, Json, Stage, gang, pod

GPU: Final = "nvidia.com/gpu"


def _asking(name: str, gpus: object, **annotations: str) -> Json:
    body = pod(name, annotations=annotations)
    resources = {"requests": {GPU: gpus}, "limits": {GPU: gpus}}
    body["spec"]["containers"][0]["resources"] = resources
    return body


def _hostile(chance: Random) -> list[Json]:
    """Objects that tenants try; the API server refuses some of them itself."""
    huge = "x" * chance.randint(100_000, 200_000)
    odd_names = {GANG: "Not A Name", MIN_MEMBER: "3"}
    pods = [
        _asking("minus", "-1"),
        _asking("two-to-the-63", str(2**63)),
        _asking("two-to-the-62", str(2**62)),
        _asking("fraction", "0.5"),
        _asking("exponent", "1e30"),
        _asking("exa", "1Ei"),
        _asking("many", str(chance.randint(17, 10**6))),
        pod("huge-annotation", annotations={"stowplan.dev/note": huge}),
        pod("huge-minimum", annotations={GANG: "h1", MIN_MEMBER: str(10**12)}),
        pod("negative-minimum", annotations={GANG: "h2", MIN_MEMBER: "-3"}),
        pod("no-number", annotations={GANG: "h3", MIN_MEMBER: "many\n\x1b[31m"}),
        pod("no-minimum", annotations={GANG: "h4"}),
        pod("above-size", annotations={GANG: "h5", MIN_MEMBER: "9"}),
        pod("odd-name", annotations=odd_names),
        pod("contradiction-a", annotations={GANG: "h6", MIN_MEMBER: "2"}),
        pod("contradiction-b", annotations={GANG: "h6", MIN_MEMBER: "5"}),
        pod("intruder", annotations={GANG: "honest", MIN_MEMBER: "1"}),
        pod("two-groups", annotations={GANG: "h7", MIN_MEMBER: "2"}, schedulingGroup={"podGroupName": "x"}),
        pod("no-such-claim", volumes=[{"name": "v", "persistentVolumeClaim": {"claimName": "none"}}]),
        pod("wild-selector", nodeSelector={"a" * 60: "b"}),
    ]
    loop = {"apiVersion": "batch/v1", "kind": "Job", "name": "loop", "uid": "loop", "controller": True}
    cyclic = pod("cyclic-owner")
    cyclic["metadata"]["ownerReferences"] = [loop]
    return [*pods, cyclic]


async def test_an_honest_gang_is_bound_and_each_bad_object_has_its_own_message(stage: Stage) -> None:
    chance = Random(stage.namespace)
    await stage.nodes(4, gpus=2)
    accepted: set[str] = set()
    honest = gang("honest", 6)
    hostile = _hostile(chance)
    chance.shuffle(hostile)
    for body in [*hostile[:10], *honest, *hostile[10:]]:
        if await _is_accepted(stage, body):
            accepted.add(body["metadata"]["name"])
    members = {body["metadata"]["name"] for body in honest}
    assert members <= accepted
    assert {"two-to-the-62", "huge-annotation", "intruder"} <= accepted
    process = await stage.start()
    await stage.until_bound(*members)
    await stage.until_settled()
    told = {name: state.told for name, state in stage.pods().items() if not state.node}
    assert [name for name, words in told.items() if words is None or words[0] != "False"] == []
    assert not process.complaints()
    for line in process.log.read_text(encoding="utf-8").splitlines():
        assert line.startswith("{"), line[:200]
    await stage.judge()


async def _is_accepted(stage: Stage, body: Json) -> bool:
    try:
        await stage.post(stage.pods_path, body)
    except ApiError:
        return False
    return True


async def test_the_honest_gang_goes_where_it_would_go_alone(stage: Stage) -> None:
    chance = Random(stage.namespace)
    await stage.nodes(4, gpus=2)
    impossible = [body for body in _hostile(chance) if body["metadata"]["name"] in _NEVER]
    await stage.create([*impossible, *gang("honest", 8)])
    await stage.start()
    await stage.until_bound(*(f"honest-{i}" for i in range(8)))
    await stage.until_settled()
    assert stage.bound() == {f"honest-{i}" for i in range(8)}
    await stage.judge()


_NEVER: Final = {"two-to-the-62", "many", "huge-minimum", "negative-minimum", "above-size"}

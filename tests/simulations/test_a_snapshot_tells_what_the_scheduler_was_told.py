"""A snapshot read back gives the state that it was taken of, and nothing that scheduling does not read."""

from __future__ import annotations

import gzip
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.cli.main import main
from scheduler.model.objects import Owner, Pod, Rejected
from scheduler.model.plan import Budget, Policy
from scheduler.planner import plan
from scheduler.state import ClusterState
from simulations.snapshots import BadSnapshot, Recorder, read_snapshot, write_snapshot
from simulations.teams import read_teams
from tests.builders import gang, node, pod
from tests.faces.conftest import Stand, stand

__all__ = ["stand"]
SECRET = "hunter2-that-nobody-may-read"
QUOTA = "{kind: TeamQuota, metadata: {name: red}, spec: {namespaces: [red], guaranteed: {gpu: 8}}}"


@st.composite
def pods(draw: st.DrawFn) -> list[Pod]:
    found: list[Pod] = []
    for i in range(draw(st.integers(0, 8))):
        namespace = draw(st.sampled_from(["red", "blue"]))
        size = draw(st.integers(1, 3))
        of = gang(f"g{i}", size, gpu=draw(st.sampled_from([1, 4, 8])), namespace=namespace)
        where = draw(st.sampled_from(["", "", "n0", "n1"]))
        owner = draw(st.sampled_from([None, Owner(api_version="batch/v1", kind="Job", name="j", uid="u")]))
        found += [replace(one, node_name=where, owner=owner, created_s=float(i)) for one in of]
    return found


def told_by(recorder: Recorder, folder: Path, members: list[Pod]) -> None:
    quota = folder / "quota.yaml"
    quota.write_text(QUOTA)
    read_teams(quota).tell(recorder, {"red", "blue"})
    for i in range(3):
        recorder.set_node(node(f"n{i}"))
    for member in members:
        recorder.set_pod(member)
    recorder.set_pod(pod("odd", gpu=1, namespace="red"), Rejected(reason="for a test"))


@settings(max_examples=40, deadline=None)
@given(members=pods(), gone=st.integers(0, 2), at_s=st.floats(1e9, 2e9))
def test_the_state_that_is_read_back_decides_the_same(
    tmp_path_factory: pytest.TempPathFactory, members: list[Pod], gone: int, at_s: float
) -> None:
    """Of members that left, those that held nothing: the room that a lost one leaves is kept for who replaces
    it by a scheduler that saw it go, which is no object of the cluster.
    """
    folder = tmp_path_factory.mktemp("snapshot")
    recorder = Recorder("stowplan")
    told_by(recorder, folder, members)
    for member in [one for one in members if not one.node_name][:gone]:
        recorder.remove_pod(member.uid)
    recorder.remove_node("n2")
    write_snapshot(folder / "s.gz", recorder.told(at_s))
    again = read_snapshot(folder / "s.gz")
    assert again == recorder.told(at_s)
    state = ClusterState(again.scheduler_name)
    again.tell(state)
    one, other = (plan(s.snapshot(at_s), Policy(), Budget()) for s in (recorder, state))
    assert one == other
    assert [p.name for p, _ in state.rejected()] == [p.name for p, _ in recorder.rejected()]


@settings(max_examples=60, deadline=None)
@given(
    data=st.one_of(
        st.binary(max_size=60), st.text(max_size=60).map(lambda text: gzip.compress(text.encode()))
    )
)
def test_what_is_no_snapshot_is_refused(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("odd") / "s.gz"
    path.write_bytes(data)
    with pytest.raises(BadSnapshot, match="expected a snapshot"):
        read_snapshot(path)


def test_a_live_cluster_is_written_down_without_secrets(stand: Stand, tmp_path: Path) -> None:
    container = {
        "name": "c",
        "image": f"registry/{SECRET}",
        "command": ["run", SECRET],
        "args": [SECRET],
        "env": [{"name": "TOKEN", "value": SECRET}],
        "resources": {"limits": {"nvidia.com/gpu": "3"}},
    }
    words = {"stowplan.dev/gang": "train", "last-applied": SECRET, "kubectl.kubernetes.io/note": SECRET}
    volumes = [{"name": "v", "secret": {"secretName": SECRET}}]
    stand.pod("train-0", annotations=words, containers=[container], volumes=volumes)
    stand.post(
        f"/api/v1/namespaces/{stand.namespace}/secrets",
        {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"a": SECRET}},
    )
    path = tmp_path / "cluster.gz"
    with pytest.raises(SystemExit) as ended:
        main(["snapshot", str(path), "--kubeconfig", stand.kubeconfig()])
    assert ended.value.code in (0, None)
    assert SECRET.encode() not in gzip.decompress(path.read_bytes())
    found = read_snapshot(path)
    mine = [one for one in found.pods if one.namespace == stand.namespace]
    assert [one.name for one in mine] == ["train-0"]
    assert dict(mine[0].shape.requests)["nvidia.com/gpu"] == 3
    assert dict(mine[0].annotations) == {"stowplan.dev/gang": "train"}
    assert stand.namespace in found.namespaces

"""Several clusters, and one cluster several times."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from deploy.local.cluster import Cluster, down, find, running_cluster_async, up
from deploy.local.identities import Identity
from scheduler.kube.transport import Endpoint, NotFound, Transport, Unreachable

MAPS = "/api/v1/namespaces/default/configmaps"


def _transport(cluster: Cluster, identity: Identity = "admin") -> Transport:
    return Transport(Endpoint.from_kubeconfig(cluster.kubeconfig(identity)), connections_max=2)


async def _note(cluster: Cluster, name: str) -> None:
    async with _transport(cluster) as api:
        await api.request("POST", MAPS, body=msgspec.json.encode({"metadata": {"name": name}}))


async def _has_note(cluster: Cluster, name: str) -> bool:
    async with _transport(cluster) as api:
        try:
            await api.request("GET", f"{MAPS}/{name}")
        except NotFound:
            return False
    return True


async def test_a_second_cluster_is_another(cluster: Cluster, tmp_path: Path) -> None:
    async with running_cluster_async(directory=tmp_path / "second") as second:
        await _note(second, "second")
        assert second.url != cluster.url
        assert await _has_note(second, "second")
        assert not await _has_note(cluster, "second")
        assert cluster.is_running
    assert not second.is_running
    assert cluster.is_running


async def test_a_second_up_changes_nothing(cluster: Cluster) -> None:
    before = dict(cluster.processes)
    again = up(cluster.directory, is_tethered=True)
    assert dict(again.processes) == before
    assert again.url == cluster.url
    assert again.kubeconfig("stowplan") == cluster.kubeconfig("stowplan")


async def test_a_stopped_cluster_goes_on_where_it_was(tmp_path: Path) -> None:
    directory = tmp_path / "again"
    cluster = up(directory, name="again", is_tethered=True)
    try:
        await _note(cluster, "kept")
        assert down(directory, keep_data=True) is not None
        assert not cluster.is_running
        cluster = up(directory, is_tethered=True)
        assert cluster.name == "again"
        assert await _has_note(cluster, "kept")
    finally:
        down(directory)
    assert not directory.exists()
    assert find(directory) is None
    assert down(directory) is None


async def test_the_apiserver_comes_back_at_the_same_place(cluster: Cluster) -> None:
    await _note(cluster, "before")
    url = cluster.url
    cluster.kill_apiserver()
    try:
        async with _transport(cluster) as api:
            with pytest.raises(Unreachable):
                await api.request("GET", MAPS)
    finally:
        cluster.start_apiserver()
    assert cluster.url == url
    assert await _has_note(cluster, "before")

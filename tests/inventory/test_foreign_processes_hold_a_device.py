"""A process of nobody's keeps new pods off its device, and a pod's own does not."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pynvml
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.nvml.library import FakeNode, shipped
from scheduler.inventory.parse import NodeInventory, parse
from scheduler.inventory.probe import probe
from scheduler.inventory.processes import SERVICE, owner_by_cgroup
from scheduler.inventory.publish import gpu_node
from scheduler.inventory.scenario import Process
from tests.inventory.scenes import alter

UID = "3b3f6a0e-7f5e-4c0a-9b1e-2f6d3c1a0b9c"
CGROUPS = {
    "systemd": f"0::/kubepods.slice/kubepods-burstable-pod{UID.replace('-', '_')}.slice/"
    "cri-containerd-0f.scope\n",
    "cgroupfs": f"0::/kubepods/besteffort/pod{UID}/0f3a\n",
    "version 1": f"12:devices:/kubepods/pod{UID}/0f\n11:memory:/kubepods/pod{UID}/0f\n",
}


def _proc(folder: Path, processes: Mapping[int, tuple[str, str]], *, is_the_nodes: bool = True) -> Path:
    listed = {**processes, **({2: ("", "kthreadd")} if is_the_nodes else {})}
    for pid, (cgroup, name) in listed.items():
        (folder / str(pid)).mkdir()
        (folder / str(pid) / "cgroup").write_text(cgroup)
        (folder / str(pid) / "comm").write_text(f"{name}\n")
    return folder


@pytest.mark.parametrize("cgroup", CGROUPS.values(), ids=CGROUPS.keys())
def test_a_pods_process_is_known_by_its_cgroup(tmp_path: Path, cgroup: str) -> None:
    assert owner_by_cgroup(_proc(tmp_path, {7: (cgroup, "python")}))(7) == UID


def test_nobodys_services_and_unknowns_are_told_apart(tmp_path: Path) -> None:
    session = "0::/user.slice/user-1000.slice/session-3.scope\n"
    owner = owner_by_cgroup(
        _proc(tmp_path, {7: (session, "python"), 8: ("0::/system.slice/mps\n", "nvidia-cuda-mps")})
    )
    assert (owner(7), owner(8), owner(9)) == ("", SERVICE, None)


def test_without_the_nodes_processes_nobody_is_accused(tmp_path: Path) -> None:
    owner = owner_by_cgroup(_proc(tmp_path, {7: ("0::/\n", "python")}, is_the_nodes=False))
    assert owner(7) is None


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(owners=st.lists(st.tuples(st.integers(0, 7), st.sampled_from(["", UID])), max_size=12))
def test_a_device_is_free_again_when_the_process_leaves(
    node: FakeNode, owners: list[tuple[int, str]]
) -> None:
    node.play(shipped("h100-nvswitch"))
    for index in range(8):
        own = [
            Process(pid=pid + 1, mib=9, pod=pod) for pid, (where, pod) in enumerate(owners) if where == index
        ]
        alter(node, index, processes=tuple(own))
    foreign = {index for index, pod in owners if pod == ""}
    found = parse(gpu_node(probe(pynvml), "n", 1.0, owner=node.pod_of))
    assert isinstance(found, NodeInventory)
    assert {device.index for device in found.usable(1.0)} == set(range(8)) - foreign
    for index in range(8):
        alter(node, index, processes=())
    found = parse(gpu_node(probe(pynvml), "n", 2.0, owner=node.pod_of))
    assert isinstance(found, NodeInventory)
    assert len(found.usable(2.0)) == 8


def test_a_process_holds_its_mig_instance_alone(node: FakeNode) -> None:
    node.play(shipped("a100-mig"))
    alter(node, 0, processes=(Process(pid=4, mib=9, gpu_instance=5), Process(pid=5, gpu_instance=9, pod=UID)))
    found = parse(gpu_node(probe(pynvml), "n", 1.0, owner=node.pod_of))
    assert isinstance(found, NodeInventory)
    assert found.usable(1.0) == ()
    assert [(i.profile, i.is_usable) for i in found.devices[0].instances] == [
        ("3g.40gb", True),
        ("2g.20gb", False),
        ("1g.10gb", True),
        ("1g.10gb", True),
    ]

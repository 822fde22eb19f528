"""What a board leaves unconnected is no fault; what was up is missed; a fabric that failed is not well."""

from __future__ import annotations

import pynvml
import pytest

from deploy.local.nvml.library import FakeNode
from scheduler.inventory import nvml
from scheduler.inventory.parse import found_record
from scheduler.inventory.probe import probe
from scheduler.inventory.publish import written_node
from scheduler.inventory.record import Record, cleared, observed, resumed, struck
from scheduler.inventory.scenario import Device, Fabric, Link, Scenario
from scheduler.kube.wire.inventory import GPUDevice
from tests.inventory.scenes import alter, changed

T0 = 1_800_000_000.0
CLUSTER = "11112222333344445555666677778888"
#: Of an H100 NVL: Azure/azurehpc-health-checks#162.
BY_DESIGN = {4, 5, 10, 11, 16, 17}


def _told(record: Record, now_s: float) -> list[GPUDevice]:
    return list(written_node(record, "n", now_s).status.devices or ())


def _links(peer: str, down: set[int]) -> tuple[Link, ...]:
    return tuple(Link(active=False, type=None) if i in down else Link(peer=peer, type=0) for i in range(18))


def _pairs(*down: set[int]) -> Scenario:
    """Pairs of H100 NVL on bridges; the NVLinks of each pair that are down at both of its ends."""
    devices = []
    for number, missing in enumerate(down):
        addresses = [f"0000000{2 * number + side}:00:00.0" for side in (1, 2)]
        for side in (0, 1):
            uuid, peer = f"GPU-{number}-{side}", addresses[1 - side]
            devices.append(
                Device(
                    uuid=uuid,
                    name="NVIDIA H100 NVL",
                    pci=addresses[side],
                    numa=side,
                    links=_links(peer, missing),
                )
            )
    return Scenario(devices=tuple(devices))


def test_links_that_a_model_lacks_are_no_trouble(node: FakeNode) -> None:
    """One pair has three bridges, the other two: each is as its peer is."""
    node.play(_pairs(BY_DESIGN, BY_DESIGN | {6, 7, 8, 9}))
    told = _told(observed(Record(), probe(pynvml), T0), T0)
    assert [device.state for device in told] == ["Healthy"] * 4
    assert [device.island for device in told] == ["0", "0", "2", "2"]


def test_a_link_that_was_up_is_missed_though_both_ends_agree(node: FakeNode) -> None:
    node.play(_pairs(BY_DESIGN))
    record = observed(Record(boot_id="b"), probe(pynvml), T0)
    node.play(_pairs(BY_DESIGN | {0}))
    record = observed(record, probe(pynvml), T0 + 5)
    assert [(d.state, d.island) for d in _told(record, T0 + 5)] == [("Noted", "")] * 2
    # The next agent knows it too, and so does the next boot.
    for boot in ("b", "b2"):
        record = resumed(found_record(written_node(record, "n", T0 + 5)), boot, T0 + 6)
        record = observed(record, probe(pynvml), T0 + 10)
        assert [device.reason.split(":")[0] for device in _told(record, T0 + 10)] == ["nvlink-down"] * 2
    # An admin says that it shall be so.
    record = observed(cleared(record, record.devices), probe(pynvml), T0 + 15)
    assert [(d.state, d.island) for d in _told(record, T0 + 15)] == [("Healthy", "0")] * 2


def test_on_a_switch_the_peers_tell_at_first_sight(node: FakeNode) -> None:
    links = node.scenario.devices[2].links
    alter(node, 2, links=(changed(links[0], active=False), *links[1:]))
    told = _told(observed(Record(), probe(pynvml), T0), T0)
    assert [device.state for device in told] == ["Healthy"] * 2 + ["Noted"] + ["Healthy"] * 5
    assert not any(device.island for device in told)


@pytest.mark.parametrize("kind", ["xid-48", "xid-79", "xid-999", "recovery-drain"])
def test_a_link_that_is_down_parts_the_neighbours_of_a_sick_device_too(node: FakeNode, kind: str) -> None:
    """No trouble makes a device a better neighbour, before it, beside it or after it."""
    links = node.scenario.devices[2].links
    record = struck(observed(Record(), probe(pynvml), T0), ["GPU-n-2"], kind, T0 + 1)
    assert {device.island for device in _told(record, T0 + 1)} == {"0"}
    alter(node, 2, links=(changed(links[0], active=False), *links[1:]))
    for later_s in (5, 30, 700):
        record = observed(record, probe(pynvml), T0 + later_s)
        assert not any(device.island for device in _told(record, T0 + later_s))
    alter(node, 2, links=links)
    assert {device.island for device in _told(observed(record, probe(pynvml), T0 + 1_301), T0 + 1_301)} == {
        "0"
    }


@pytest.mark.parametrize("status", [17, 27, nvml.UNKNOWN])
def test_a_registration_that_failed_is_not_completed(node: FakeNode, status: int) -> None:
    for index in range(8):
        alter(node, index, fabric=Fabric(cluster=CLUSTER, clique=1))
    well = _told(observed(Record(), probe(pynvml), T0), T0)
    assert {device.clique for device in well} == {"11112222-3333-4444-5555-666677778888.1"}
    alter(node, 3, fabric=Fabric(cluster=CLUSTER, clique=1, status=status))
    told = _told(observed(Record(), probe(pynvml), T0), T0)
    assert told[3].state == "Quarantined"
    assert told[3].reason.startswith("fabric-failed")
    assert not told[3].clique
    assert not any(device.island for device in told)


@pytest.mark.parametrize(
    ("fields", "state", "kind"),
    [
        ({"mask": 1 << 4}, "Quarantined", "fabric-unhealthy"),
        ({"mask": 2 << 4 | 2 | 1 << 8}, "Healthy", ""),
        ({"mask": 1}, "Noted", "fabric-degraded"),
        ({"health": 3}, "Noted", "fabric-degraded"),
        ({"mask": 4 << 8}, "Noted", "fabric-misconfigured"),
        ({"state": 2, "status": 27}, "Quarantined", "fabric-unready"),
    ],
)
def test_the_health_of_a_fabric_is_read_as_the_header_says(
    node: FakeNode, fields: dict[str, int], state: str, kind: str
) -> None:
    alter(node, 3, fabric=Fabric(cluster=CLUSTER, **fields))
    told = _told(observed(Record(), probe(pynvml), T0), T0)[3]
    assert (told.state, told.reason.split(":")[0]) == (state, kind)


@pytest.mark.parametrize(
    ("action", "state"),
    [
        *((action, "Fatal") for action in (1, 2, 3, 6, 7)),
        *((action, "Quarantined") for action in (4, 5, 99)),
        (0, "Healthy"),
        (None, "Healthy"),
    ],
)
def test_what_the_driver_asks_for_is_seen_by_an_agent_that_was_away(
    node: FakeNode, action: int | None, state: str
) -> None:
    alter(node, 3, recovery=action)
    record = observed(Record(boot_id="b"), probe(pynvml), T0)
    assert _told(record, T0)[3].state == state
    alter(node, 3, recovery=0)
    after = observed(record, probe(pynvml), T0 + 60)
    assert _told(after, T0 + 661)[3].state == "Healthy"


@pytest.mark.parametrize("number", range(144, 151))
def test_an_nvlink_error_is_as_bad_as_the_driver_says(node: FakeNode, number: int) -> None:
    fresh = observed(Record(boot_id="b"), probe(pynvml), T0)
    hit = struck(fresh, ["GPU-n-3"], f"xid-{number}", T0 + 1)
    assert _told(hit, T0 + 1)[3].state == "Quarantined"
    assert not any(device.island for device in _told(hit, T0 + 1))
    harmless = observed(hit, probe(pynvml), T0 + 2)
    assert _told(harmless, T0 + 2)[3].state == "Noted"
    assert {device.island for device in _told(harmless, T0 + 2)} == {"0"}
    alter(node, 3, recovery=1)
    assert _told(observed(hit, probe(pynvml), T0 + 2), T0 + 2)[3].state == "Fatal"
    alter(node, 3, recovery=None)
    assert _told(observed(hit, probe(pynvml), T0 + 2), T0 + 2)[3].state == "Quarantined"


def test_harmless_errors_that_go_on_stay_one_sign(node: FakeNode) -> None:
    record = observed(Record(boot_id="b"), probe(pynvml), T0)
    for later_s in range(0, 3_000, 30):
        record = struck(record, ["GPU-n-3"], "xid-145", T0 + later_s)
        record = observed(record, probe(pynvml), T0 + later_s + 1)
    assert len(record.history.signs["GPU-n-3"]) == 1
    assert _told(record, T0 + 3_000)[3].state == "Noted"

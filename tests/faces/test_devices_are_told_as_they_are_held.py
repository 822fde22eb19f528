"""``gpus`` and ``doctor`` on a real API server: claims of devices, rights to read them, and vague domains."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import pytest

from scheduler.kube.transport import Transport
from scheduler.model.platforms import NVLINK_NODES_MAX
from tests.faces.conftest import Stand
from tests.faces.test_commands_show_what_the_api_holds import told

CLIQUE = "nvidia.com/gpu.clique"
BLOCK = "oci.oraclecloud.com/rdma.local_block_id"
RESOURCE = "/apis/resource.k8s.io/v1"
DRIVER = "gpu.nvidia.com"


class Hardware:
    """Nodes and what they have, which are of no namespace and go when the test ends."""

    def __init__(self, stand: Stand) -> None:
        self.stand = stand
        self._made: list[str] = []

    def put(self, path: str, name: str, body: Mapping[str, object]) -> None:
        self.stand.post(path, {"metadata": {"name": name}, **body})
        self._made.append(f"{path}/{name}")

    def nodes(self, count: int, **labels: str) -> None:
        for i in range(count):
            name = f"{self.stand.namespace}-{len(self._made)}-{i}"
            self.stand.post("/api/v1/nodes", {"metadata": {"name": name, "labels": labels}})
            self._made.append(f"/api/v1/nodes/{name}")

    def remove(self) -> None:
        async def removing(transport: Transport) -> None:
            for path in self._made:
                await transport.request("DELETE", path)

        self.stand.run(removing)


@pytest.fixture
def hardware(stand: Stand) -> Iterator[Hardware]:
    made = Hardware(stand)
    yield made
    made.remove()


def found(kubeconfig: str, capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, str]]:
    """What doctor found, by check."""
    _, out, _ = told(["doctor", "--kubeconfig", kubeconfig, "-o", "json"], capsys)
    return {finding["check"]: finding for finding in json.loads(out)}


def test_doctor_tells_which_labels_are_no_domains(
    hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    """A placeholder on two racks, and an NVLink domain of more nodes than one can have; true ones are not."""
    hardware.nodes(2, **{BLOCK: "no-imds-data", CLIQUE: "true-clique.0"})
    hardware.nodes(NVLINK_NODES_MAX + 1, **{CLIQUE: "too-large.0", BLOCK: "true-block"})
    detail = found(hardware.stand.kubeconfig(), capsys)["nodes"]["detail"]
    _, _, vague = detail.partition("no domains, since too many nodes share them or nobody knows: ")
    named = vague.partition(";")[0].split(", ")
    assert f"{BLOCK}=no-imds-data on 2" in named
    assert f"{CLIQUE}=too-large.0 on {NVLINK_NODES_MAX + 1}" in named
    assert not [word for word in named if "true-" in word]


@pytest.mark.parametrize(("labels", "is_told"), [({}, True), ({"nvidia.com/gpu.replicas": "12"}, False)])
def test_doctor_tells_where_more_is_offered_than_there_is(
    hardware: Hardware, capsys: pytest.CaptureFixture[str], labels: dict[str, str], is_told: bool
) -> None:
    """Twelve pods share each of two devices, and a node that is not labelled so gets two pods."""
    name = reported(hardware)
    hardware.put("/api/v1/nodes", name, {"metadata": {"name": name, "labels": labels}})
    hardware.stand.patch(
        f"/api/v1/nodes/{name}/status", {"status": {"allocatable": {"nvidia.com/gpu": "24"}}}
    )
    nodes = found(hardware.stand.kubeconfig(), capsys)["nodes"]
    assert (f"offer more than their agents see, {name} among them" in nodes["detail"]) == is_told
    assert (nodes["remedy"].endswith(f"kubectl label node {name} nvidia.com/gpu.replicas=PODS")) == is_told


def claim(hardware: Hardware, name: str, pool: str, device: str) -> None:
    """A ResourceClaim that was given one device, and is used by nobody yet."""
    path = f"{RESOURCE}/namespaces/{hardware.stand.namespace}/resourceclaims"
    ask = {"name": "gpu", "exactly": {"deviceClassName": DRIVER}}
    hardware.put(path, name, {"spec": {"devices": {"requests": [ask]}}})
    result = {"request": "gpu", "driver": DRIVER, "pool": pool, "device": device}
    status = {"allocation": {"devices": {"results": [result]}}}
    hardware.stand.patch(f"{path}/{name}/status", {"status": status})


def reported(hardware: Hardware) -> str:
    """A node with two devices that an agent and the DRA driver tell of; its name."""
    name = f"{hardware.stand.namespace}-n"
    now = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
    devices = [
        {"index": i, "uuid": f"GPU-{name}-{i}", "model": "NVIDIA L4", "state": "Healthy"} for i in range(2)
    ]
    told = {"state": "Ready", "lastProbe": now, "lastHeartbeat": now, "gpus": 2, "devices": devices}
    path = "/apis/stowplan.dev/v1alpha1/gpunodes"
    body = {"apiVersion": "stowplan.dev/v1alpha1", "kind": "GPUNode"}
    hardware.put(path, name, body)
    hardware.stand.patch(f"{path}/{name}/status", {"status": told})
    listed = [{"name": f"gpu-{i}", "attributes": {"uuid": {"string": f"GPU-{name}-{i}"}}} for i in range(2)]
    pool = {"name": name, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "nodeName": name, "pool": pool, "devices": listed}
    hardware.put(f"{RESOURCE}/resourceslices", name, {"spec": spec})
    return name


def test_gpus_and_doctor_tell_what_claims_hold(
    hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    node = reported(hardware)
    claim(hardware, "mine", node, "gpu-1")
    where = ["--kubeconfig", hardware.stand.kubeconfig()]
    _, out, err = told(["gpus", node, *where, "-o", "json"], capsys)
    [row] = json.loads(out)
    assert (row["picture"], err) == (".#", "")
    [holder] = row["devices"][1]["holders"]
    assert (holder["pod"], holder["by"]) == (f"{hardware.stand.namespace}/mine", "claim")
    _, out, _ = told(["gpus", node, *where], capsys)
    assert f"{hardware.stand.namespace}/mine by claim, no pod that is there uses it" in out
    finding = found(hardware.stand.kubeconfig(), capsys)["resource claims"]
    assert finding["state"] == "ok"
    assert finding["detail"].startswith("resource.k8s.io/v1; ")


def test_gpus_tells_who_holds_devices_that_nobody_named(
    hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    """A claim on a device that no slice tells of, and another scheduler's pod that asks for two devices."""
    node = reported(hardware)
    stand, where = hardware.stand, ["--kubeconfig", hardware.stand.kubeconfig()]
    claim(hardware, "mine", node, "gpu-1")
    claim(hardware, "early", node, "gpu-7")
    ask = {"limits": {"nvidia.com/gpu": "2", "nvidia.com/mig-1g.10gb": "1", "example.com/other": "4"}}
    spec = {"nodeName": node, "containers": [{"name": "c", "image": "i", "resources": ask}]}
    hardware.put(f"/api/v1/namespaces/{stand.namespace}/pods", "theirs", {"spec": spec})
    _, out, _ = told(["gpus", node, *where, "-o", "json"], capsys)
    early, theirs = f"{stand.namespace}/early", f"{stand.namespace}/theirs"
    [row] = json.loads(out)
    assert row["unnamed"] == [
        {"holder": early, "by": "claim", "devices": 1, "resource": ""},
        {
            "holder": theirs,
            "by": "request",
            "devices": 3,
            "resource": "nvidia.com/gpu, nvidia.com/mig-1g.10gb",
        },
    ]
    _, out, _ = told(["gpus", node, *where], capsys)
    assert f"{early} by claim: 1 devices" in out
    assert f"{theirs} by request: 3 nvidia.com/gpu, nvidia.com/mig-1g.10gb" in out
    wish = {"metadata": {"annotations": {"stowplan.dev/devices": f"GPU-{node}-0"}}}
    stand.patch(f"/api/v1/namespaces/{stand.namespace}/pods/theirs", wish)
    _, out, _ = told(["gpus", node, *where, "-o", "json"], capsys)
    assert [one["devices"] for one in json.loads(out)[0]["unnamed"]] == [1, 2]


def test_who_may_not_read_claims_is_told_what_follows(
    hardware: Hardware, capsys: pytest.CaptureFixture[str]
) -> None:
    node = reported(hardware)
    claim(hardware, "hidden", node, "gpu-1")
    finding = found(str(hardware.stand.cluster.kubeconfig("node-actor")), capsys)["resource claims"]
    assert finding["state"] == "warn"
    assert "may be shown, and given, as free" in finding["detail"]
    assert "deploy/rbac/scheduler.yaml" in finding["remedy"]

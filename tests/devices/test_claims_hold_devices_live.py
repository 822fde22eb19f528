"""On the control plane: what another scheduler's ResourceClaim holds is left alone until it is given back."""

from __future__ import annotations

import msgspec

from tests.devices.scene import FRACTION, Scene, manifest

RESOURCE = "/apis/resource.k8s.io/v1"
DRIVER = "gpu.nvidia.com"


async def test_a_share_waits_for_what_a_claim_holds(scene: Scene) -> None:
    [node] = await scene.nodes(scene.pool("n", gpus=2))
    uuids = [device.uuid for device in scene.scenario(node).devices]
    slices, claims = (
        f"{RESOURCE}/resourceslices",
        f"{RESOURCE}/namespaces/{scene.stage.namespace}/resourceclaims",
    )
    listed = [{"name": f"gpu-{i}", "attributes": {"uuid": {"string": uuid}}} for i, uuid in enumerate(uuids)]
    pool = {"name": node, "generation": 1, "resourceSliceCount": 1}
    spec = {"driver": DRIVER, "nodeName": node, "pool": pool, "devices": listed}
    await scene.stage.post(slices, {"metadata": {"name": node}, "spec": spec})
    ask = {"requests": [{"name": "gpu", "exactly": {"deviceClassName": DRIVER}}]}
    await scene.stage.post(claims, {"metadata": {"name": "other"}, "spec": {"devices": ask}})
    result = {"request": "gpu", "driver": DRIVER, "pool": node, "device": "gpu-1"}
    allocated = {"status": {"allocation": {"devices": {"results": [result]}}}}
    await scene.stage.patch(f"{claims}/other/status", allocated)
    await scene.stage.create([manifest(f"s{i}", words={FRACTION: "0.9"}) for i in range(2)])
    await scene.until(
        lambda pods: sum(bool(pod.devices) for pod in pods.values()) == 1, "one of the shares has its device"
    )
    await scene.stage.beats(3)
    bound = {name: pod.devices for name, pod in scene.stage.pods().items() if pod.devices}
    assert list(bound.values()) == [(uuids[0],)]
    [late] = {"s0", "s1"} - bound.keys()
    await scene.stage.patch(f"{claims}/other/status", {"status": {"allocation": None}})
    await scene.until(lambda pods: pods[late].devices == (uuids[1],), "the other has what was given back")
    await scene.judge()
    await scene.stage.api.request("DELETE", f"{slices}/{node}", body=msgspec.json.encode({}))

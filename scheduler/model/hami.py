"""Devices that HAMi gave a pod, by the annotations that its scheduler writes before it binds the pod.

``UUID,TYPE,MIB,PERCENT:`` for each device, ``;`` after each container (HAMi's ``pkg/device/devices.go``).
Older ones add a MIG instance in brackets to the UUID.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Final

from scheduler.model.devices import WHOLE_GPU
from scheduler.model.objects import Shape

ALLOCATED: Final = "hami.io/vgpu-devices-allocated"
NODE: Final = "hami.io/vgpu-node"
_GIVEN: Final = re.compile(
    r"(GPU-[0-9A-Za-z-]{1,64})(?:\[\d{1,3}-\d{1,3}\])?,[^,]{1,128},\d{1,10},\d{1,10}", re.ASCII
)


def given_by_hami(words: Mapping[str, str], node: str, shape: Shape) -> tuple[str, ...]:
    """UUIDs of the devices of a pod on the node; none where the words cannot be read, are of another node, or
    name more than the pod requests: anybody may write them.
    """
    text = words.get(ALLOCATED, "")
    if not text or words.get(NODE) != node:
        return ()
    found = [_GIVEN.fullmatch(part) for part in re.split("[:;]", text) if part]
    uuids = tuple(dict.fromkeys(one[1] for one in found if one is not None))
    return uuids if all(found) and len(uuids) <= dict(shape.requests).get(WHOLE_GPU, 0) else ()

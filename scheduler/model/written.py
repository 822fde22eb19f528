"""Annotations that we write on pods ourselves, with a Binding or an Eviction."""

from __future__ import annotations

from typing import Final

from scheduler.model.devices import DEVICES

#: The leading term of the write (deploy/admission/epoch-fence.yaml).
EPOCH: Final = "stowplan.dev/epoch"
EVICTED_FOR: Final = "stowplan.dev/evicted-for"
WRITTEN: Final = frozenset({DEVICES, EPOCH, EVICTED_FOR})

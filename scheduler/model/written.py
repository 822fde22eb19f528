"""What we write on pods ourselves: annotations, with a Binding or an Eviction, and a condition."""

from __future__ import annotations

from typing import Final

from scheduler.model.devices import DEVICES

#: The leading term of the write (deploy/admission/epoch-fence.yaml).
EPOCH: Final = "stowplan.dev/epoch"
EVICTED_FOR: Final = "stowplan.dev/evicted-for"
#: Condition of a pod that we evicted. A type of its own: the Eviction API writes DisruptionTarget itself, and
#: over whatever stood there (docs/decisions/0004-a-victim-is-marked-after-its-eviction.md).
EVICTED: Final = "stowplan.dev/Evicted"
WRITTEN: Final = frozenset({DEVICES, EPOCH, EVICTED_FOR})

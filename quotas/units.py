"""GPUs of different models in one unit, so that a share of the cluster means one thing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from quotas.amounts import AMOUNT_MAX

#: Normalised GPUs, in thousandths.
UNITS = "gpu"
#: Prefix of the resource that counts GPUs of one model, in thousandths.
MODEL = "gpu/"
MILLI = 1_000


@dataclass(frozen=True, slots=True, kw_only=True)
class UnitTable:
    """What one GPU of a model counts for, in thousandths of a normalised GPU."""

    by_model: Mapping[str, int] = field(default_factory=dict)
    #: For models that the table does not name, and for work that takes any model.
    default: int = MILLI

    def amounts(self, gpus: Mapping[str, int]) -> dict[str, int]:
        """GPUs by model, in thousandths, as amounts of this library; an empty model is any model.

        Normalised units are rounded up, so that splitting a GPU never makes it cheaper.
        """
        units, found = 0, {}
        for model, count in sorted(gpus.items()):
            bounded = min(max(count, 0), AMOUNT_MAX)
            units += -(-bounded * self.by_model.get(model, self.default) // MILLI)
            if model and bounded:
                found[MODEL + model] = bounded
        return {UNITS: min(units, AMOUNT_MAX)} | found if units else found

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
    #: By model, the names of classes that it belongs to, the widest first: it counts in each of them as well.
    wider: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def unit(self, model: str) -> int:
        """What one counts for: by its own name, else by that of its narrowest class that the table names."""
        names = (*self.wider.get(model, ()), model)
        return next((self.by_model[name] for name in reversed(names) if name in self.by_model), self.default)

    def amounts(self, gpus: Mapping[str, int]) -> dict[str, int]:
        """GPUs by model, in thousandths, as amounts of this library; an empty model is any model.

        Normalised units are rounded up, so that splitting a GPU never makes it cheaper.
        """
        units, found = 0, dict[str, int]()
        for model, count in sorted(gpus.items()):
            bounded = min(max(count, 0), AMOUNT_MAX)
            units += -(-bounded * self.unit(model) // MILLI)
            if model and bounded:
                for name in (*self.wider.get(model, ()), model):
                    found[MODEL + name] = min(AMOUNT_MAX, found.get(MODEL + name, 0) + bounded)
        return {UNITS: min(units, AMOUNT_MAX)} | found if units else found

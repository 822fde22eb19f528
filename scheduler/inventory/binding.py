"""What of ``pynvml`` itself is used besides its calls: its errors, and numbers that it computes."""

from __future__ import annotations

from typing import Final

import pynvml

from scheduler.inventory.nvml import UNKNOWN

NvmlError: type[Exception] = pynvml.NVMLError
#: Raised where an unversioned call is not in the library.
LibraryTooOld: type[Exception] = pynvml.NVMLLibraryMismatchError

MEMORY_V2: Final[int] = pynvml.nvmlMemory_v2
RECOVERY_ACTION: Final[int] = pynvml.NVML_FI_DEV_GET_GPU_RECOVERY_ACTION


def code_of(error: Exception) -> int:
    """The NVML error code of an NvmlError."""
    value = getattr(error, "value", UNKNOWN)
    return value if isinstance(value, int) else UNKNOWN

"""A CUDA process of nobody's: ``python -m tests.gpu.stranger MIB`` holds so much of the first GPU.

Until its standard input ends; through libcuda.so.1 alone, which comes with the driver. Prints its device's
UUID once it holds the memory.
"""

from __future__ import annotations

import ctypes
import sys
import uuid
from typing import Final

_OK: Final = 0


def main() -> int:
    cuda = ctypes.CDLL("libcuda.so.1")
    device, context, memory = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_uint64()
    name = (ctypes.c_ubyte * 16)()
    size = ctypes.c_size_t(int(sys.argv[1]) << 20)
    for code in (
        cuda.cuInit(0),
        cuda.cuDeviceGet(ctypes.byref(device), 0),
        cuda.cuDeviceGetUuid(ctypes.byref(name), device),
        cuda.cuCtxCreate_v2(ctypes.byref(context), 0, device),
        cuda.cuMemAlloc_v2(ctypes.byref(memory), size),
        cuda.cuMemsetD8_v2(memory, 1, size),
    ):
        if code != _OK:
            print(f"CUDA answered {code}", file=sys.stderr)
            return 1
    print(f"GPU-{uuid.UUID(bytes=bytes(name))}", flush=True)
    sys.stdin.read()
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""Emits the part of the fake library that is the same for every call it does not play.

The prototypes come from NVIDIA's header, so the compiler checks every signature and struct layout.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

from deploy.local.nvml.errors import NvmlBuildFailed

HEADER_DISTRIBUTION = "nvidia-nvml-dev"
SOURCE = Path(__file__).with_name("fake_nvml.c")

_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_PROTOTYPE = re.compile(r"nvmlReturn_t\s+DECLDIR\s+(\w+)\s*\(([^;{]*)\)\s*;")
_DEFINITION = re.compile(r"^(?:nvmlReturn_t|const char \*)\s*(nvml\w+)\(", re.MULTILINE)


def header() -> Path:
    """``nvml.h`` of the distribution nvidia-nvml-dev. Raises: NvmlBuildFailed when it is not installed."""
    try:
        listed = files(HEADER_DISTRIBUTION) or ()
    except PackageNotFoundError:
        listed = ()
    for file in listed:
        if file.name == "nvml.h":
            return Path(str(file.locate())).resolve()
    raise NvmlBuildFailed(
        f"no nvml.h: the distribution {HEADER_DISTRIBUTION} is not installed; install stowplan with its "
        "extra `local`"
    )


def prototypes(header_text: str) -> dict[str, str]:
    """Each function of the API to its parameters, as the header writes them."""
    return {name: " ".join(found.split()) for name, found in _PROTOTYPE.findall(_without(header_text))}


def played(source: str) -> frozenset[str]:
    """The functions that the fake's own source defines."""
    return frozenset(_DEFINITION.findall(source))


def stubs(header_text: str, source: str) -> str:
    """C source: every function of the header that ``source`` does not define says it is not supported."""
    known = prototypes(header_text)
    strange = played(source) - known.keys() - {"nvmlErrorString"}
    if strange:
        raise NvmlBuildFailed(f"the header has no {', '.join(sorted(strange))}")
    return "\n".join(_stubs(known, played(source)))


def _stubs(known: dict[str, str], own: frozenset[str]) -> Iterator[str]:
    yield "#define NVML_NO_UNVERSIONED_FUNC_DEFS"
    yield "#include <nvml.h>"
    for name, parameters in known.items():
        if name not in own:
            yield f"nvmlReturn_t {name}({parameters}) {{ return NVML_ERROR_NOT_SUPPORTED; }}"
    yield ""


def _without(header_text: str) -> str:
    return _COMMENT.sub(" ", header_text)

"""JSON nested deeper than a decoder recurses, cut where no field that anybody reads can stand.

The API server nests 10,000 levels, and a tenant writes some of them as they like (``managedFields``).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import msgspec

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

T = TypeVar("T")

#: Levels that are kept; the objects read here have fewer than 30.
DEPTH_MAX = 100
_QUOTE, _BACKSLASH = ord('"'), ord("\\")
_OPENS, _CLOSES = tuple(b"{["), tuple(b"}]")


def decode(decoder: msgspec.json.Decoder[T], body: bytes | msgspec.Raw) -> T:
    """As ``decoder.decode``, also where the body nests too deep. Raises what the decoder raises but that."""
    try:
        return decoder.decode(body)
    except RecursionError:
        return decoder.decode(shallow(bytes(body)))


def shallow(body: bytes) -> bytes:
    """The JSON with ``null`` for every list and object that is nested deeper than ``DEPTH_MAX``.

    Linear, in array operations. What is no JSON comes back as something that is none either, and so does all
    where there is no numpy, as beside a node's agent, which reads no object that a tenant writes.
    """
    try:
        import numpy as np
    except ImportError:
        return b""
    text = np.frombuffer(body, dtype=np.uint8)
    outside = ~_in_strings(text)
    opens = _among(text, _OPENS) & outside
    closes = _among(text, _CLOSES) & outside
    depth = np.cumsum(opens.astype(np.int8) - closes.astype(np.int8), dtype=np.int32)
    first = np.flatnonzero(opens & (depth == DEPTH_MAX + 1)).tolist()
    last = np.flatnonzero(closes & (depth == DEPTH_MAX)).tolist()
    kept: list[bytes] = []
    at = 0
    for start, end in zip(first, last, strict=False):
        kept.append(body[at:start])
        at = end + 1
    return b"null".join((*kept, body[at:]))


def _in_strings(text: NDArray[np.uint8]) -> NDArray[np.bool_]:
    """bool[*]: bytes between quotes, the opening one included."""
    import numpy as np

    quotes = text == _QUOTE
    slashes = np.flatnonzero(text == _BACKSLASH)
    if len(slashes):
        begins = np.flatnonzero(np.diff(slashes, prepend=-2) != 1)
        place = np.arange(len(slashes)) - np.repeat(begins, np.diff(begins, append=len(slashes)))
        escaped = slashes[place % 2 == 0] + 1
        quotes[escaped[escaped < len(text)]] = False
    inside: NDArray[Any] = np.cumsum(quotes, dtype=np.int32) & 1
    return inside.astype(np.bool_)


def _among(text: NDArray[np.uint8], two: tuple[int, ...]) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = (text == two[0]) | (text == two[1])
    return found

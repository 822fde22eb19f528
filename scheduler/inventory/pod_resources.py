"""What the kubelet gave to which pod, as its pod-resources API says (KEP-606, KEP-3695), version 1.

Only the fields that say who holds a device are decoded: pkg kubelet/pkg/apis/podresources/v1/api.proto.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from scheduler.inventory.unary import CallFailed, call

SOCKET: Final = Path("/var/lib/kubelet/pod-resources/kubelet.sock")
LIST: Final = "/v1.PodResourcesLister/List"
TIMEOUT_S: Final = 2.0
#: What the kubelet said counts for so long when it does not answer, as while it restarts.
STALE_S: Final = 60.0
PODS_MAX: Final = 2_000
IDS_MAX: Final = 256
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """Devices of a resource, or of a claim's driver, that a pod was given; ``ids`` as the plugin has them."""

    namespace: str
    name: str
    resource: str
    ids: tuple[str, ...]


class PodResources:
    """Asks one kubelet; remembers its last answer for ``STALE_S``."""

    def __init__(self, socket: Path, *, clock: Callable[[], float]) -> None:
        self._socket = socket
        self._clock = clock
        self._told: tuple[Grant, ...] | None = None
        self._told_s = 0.0

    async def grants(self) -> tuple[Grant, ...] | None:
        """Who was given what; None where no kubelet answers, and has not for a while."""
        try:
            answer = await call(self._socket, LIST, b"", timeout_s=TIMEOUT_S)
            self._told, self._told_s = grants_of(answer), self._clock()
        except (CallFailed, ValueError):
            if self._clock() - self._told_s > STALE_S:
                self._told = None
        return self._told


def grants_of(answer: bytes) -> tuple[Grant, ...]:
    """Of a ListPodResourcesResponse. Raises: ValueError for what is none."""
    found: list[Grant] = []
    for pod in _all(answer, 1)[:PODS_MAX]:
        namespace, name = _word(pod, 2), _word(pod, 1)
        for container in _all(pod, 3):
            for devices in _all(container, 2):
                ids = tuple(_text(one) for one in _all(devices, 2)[:IDS_MAX])
                found.append(Grant(namespace=namespace, name=name, resource=_word(devices, 1), ids=ids))
            for claim in (claim for dynamic in _all(container, 5) for claim in _all(dynamic, 4)):
                found.append(
                    Grant(namespace=namespace, name=name, resource=_word(claim, 2), ids=(_word(claim, 4),))
                )
    return tuple(found)


def _word(message: bytes, number: int) -> str:
    """A string; empty where it is absent, and the last where it is repeated."""
    found = _all(message, number)
    return _text(found[-1]) if found else ""


def _text(value: bytes) -> str:
    return value[:256].decode("utf-8", "replace")


def _all(message: bytes, number: int) -> list[bytes]:
    """The values of one field that are messages or strings."""
    return [value for found, value in _fields(message) if found == number]


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Numbers and values of the fields that are messages or strings. Raises: ValueError."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        kind = key & 7
        if kind == _VARINT:
            _, at = _varint(message, at)
            continue
        if kind == _BYTES:
            length, at = _varint(message, at)
        elif kind in (_FIXED64, _FIXED32):
            length = 8 if kind == _FIXED64 else 4
        else:
            raise ValueError(f"no message: a field of wire type {kind}")
        if at + length > len(message):
            raise ValueError("no message: it ends in the middle of a field")
        if kind == _BYTES:
            yield key >> 3, message[at : at + length]
        at += length


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while at < len(message) and shift < 64:
        byte = message[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if not byte & 0x80:
            return value, at
    raise ValueError("no message: a number without an end")

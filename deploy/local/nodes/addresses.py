"""Loopback addresses for pods: each its own, so that two pods may listen on the same port."""

from __future__ import annotations

# 127.0.0.0/16 stays free for the control plane itself; the rest of 127.0.0.0/8 is ours.
_FIRST = (127 << 24) + (1 << 16) + 1
_LAST = (127 << 24) + (255 << 16) - 1
CAPACITY = _LAST - _FIRST + 1


class NoAddressLeft(RuntimeError):
    """More pods at once than loopback addresses."""


class Addresses:
    """Hands out 127.x.y.z round robin, so that an address is not reused soon after it came back."""

    def __init__(self) -> None:
        self._used: set[int] = set()
        self._next = _FIRST

    def take(self) -> str:
        """A free address. Raises NoAddressLeft."""
        if len(self._used) >= CAPACITY:
            raise NoAddressLeft
        while self._next in self._used:
            self._advance()
        taken = self._next
        self._used.add(taken)
        self._advance()
        return ".".join(str(taken >> shift & 255) for shift in (24, 16, 8, 0))

    def keep(self, address: str) -> str | None:
        """Reserve an address a pod already has; None if it is not ours or somebody else's."""
        number = _number(address)
        if number is None or number in self._used:
            return None
        self._used.add(number)
        return address

    def give_back(self, address: str) -> None:
        """Free an address; giving it back twice, or an empty one, does nothing."""
        number = _number(address)
        if number is not None:
            self._used.discard(number)

    def _advance(self) -> None:
        self._next = self._next + 1 if self._next < _LAST else _FIRST


def _number(address: str) -> int | None:
    parts = address.split(".")
    if len(parts) != 4 or not all(part.isascii() and part.isdecimal() and len(part) <= 3 for part in parts):
        return None
    number = sum(int(part) << shift for part, shift in zip(parts, (24, 16, 8, 0), strict=True))
    return number if _FIRST <= number <= _LAST else None

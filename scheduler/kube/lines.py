"""Cutting a byte stream into lines, however the network cut it."""

from __future__ import annotations

from scheduler.kube.errors import BadAnswer

#: etcd refuses values above 1.5 MiB by default; JSON may be a few times larger than what it stores.
LINE_BYTES_MAX = 16 * 2**20


class LineSplitter:
    """Feeds on chunks, gives whole lines without their newline. Linear in the bytes, whatever the cuts."""

    def __init__(self, line_bytes_max: int = LINE_BYTES_MAX) -> None:
        self._line_bytes_max = line_bytes_max
        self._parts: list[bytes] = []
        self._held = 0

    @property
    def held_bytes(self) -> int:
        """How much of an unfinished line is kept: zero after a clean end."""
        return self._held

    def feed(self, chunk: bytes) -> list[bytes]:
        """Every line that ``chunk`` completes; blank lines are dropped.

        Raises BadAnswer when a line is longer than the limit.
        """
        first, newline, rest = chunk.partition(b"\n")
        self._parts.append(first)
        self._held += len(first)
        if self._held > self._line_bytes_max:
            raise BadAnswer(f"a line of the stream is longer than {self._line_bytes_max} bytes")
        if not newline:
            return []
        *whole, last = (b"".join(self._parts), *rest.split(b"\n"))
        self._parts, self._held = [last], len(last)
        if max(map(len, whole)) > self._line_bytes_max or self._held > self._line_bytes_max:
            raise BadAnswer(f"a line of the stream is longer than {self._line_bytes_max} bytes")
        return [line for line in whole if line]

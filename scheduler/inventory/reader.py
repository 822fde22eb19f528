"""Asks NVML one thing at a time and tells "not supported" from "lost" from "could not be asked"."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from scheduler.inventory import nvml
from scheduler.inventory.binding import LibraryTooOld, NvmlError, code_of

T = TypeVar("T")
P = ParamSpec("P")

ODD_MAX = 32
UNANSWERED_MAX = 16


class DriverGone(Exception):
    """The driver or its library cannot be used; ``code`` is NVML's."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code


class DeviceLost(Exception):
    """The device answers nothing more; ``trouble`` is its kind in the health table, ``code`` NVML's."""

    def __init__(self, trouble: str, code: int) -> None:
        super().__init__(trouble)
        self.trouble = trouble
        self.code = code


class Unanswered(Exception):
    """What every device knows was not told, for no reason that says anything of the device."""


class Reader:
    """Remembers what could not be asked. One a probe; ``begin`` before each device."""

    def __init__(self) -> None:
        self.lacking: set[str] = set()
        self.odd: dict[str, int] = {}
        self.unanswered: dict[str, int] = {}

    def begin(self) -> None:
        """What is not answered from now on is of another device."""
        self.unanswered = {}

    @property
    def failures(self) -> tuple[str, ...]:
        """What was not answered since ``begin``, ``call: code``."""
        return tuple(f"{call}: {code}" for call, code in sorted(self.unanswered.items()))

    def maybe(self, call: str, ask: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
        """The answer, or None where there is none. Raises: DriverGone, DeviceLost."""
        try:
            return ask(*args, **named)
        except LibraryTooOld:
            self.lacking.add(call)
        except NvmlError as error:
            self._sort(call, error)
        return None

    def of_node(self, call: str, ask: Callable[P, T], *args: P.args, **named: P.kwargs) -> T | None:
        """The answer to what concerns no single device. Raises: DriverGone."""
        try:
            return self.maybe(call, ask, *args, **named)
        except DeviceLost as lost:
            self.odd[call] = lost.code
        return None

    def must(self, call: str, ask: Callable[P, T], *args: P.args, **named: P.kwargs) -> T:
        """The answer to what every device knows. Raises: DriverGone, DeviceLost, Unanswered."""
        answer = self.maybe(call, ask, *args, **named)
        if answer is None:
            self.failed(call, self.odd.get(call, nvml.UNKNOWN))
            raise Unanswered(call)
        return answer

    def failed(self, call: str, code: int) -> None:
        """An answer that is none, and no sign of anything."""
        if len(self.odd) < ODD_MAX:
            self.odd[call] = code
        if len(self.unanswered) < UNANSWERED_MAX:
            self.unanswered[call] = code

    def _sort(self, call: str, error: Exception) -> None:
        # The causes are cut off: comparing one of pynvml's errors with another kind of error raises.
        code = code_of(error)
        if code in nvml.DRIVER_CODES:
            raise DriverGone(code, f"{call}: {error}") from None
        if code in nvml.LOST_CODES:
            trouble = "reset-required" if code == nvml.RESET_REQUIRED else "lost"
            raise DeviceLost(trouble, code) from None
        if code in nvml.LACKING_CODES:
            self.lacking.add(call)
        elif code not in nvml.ABSENT_CODES:
            self.failed(call, code)

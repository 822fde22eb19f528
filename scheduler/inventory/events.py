"""XIDs and their like from NVML's event set, in a thread of their own: waiting for one blocks."""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass

from scheduler.inventory import nvml
from scheduler.inventory.binding import NvmlError, code_of
from scheduler.inventory.health import xid
from scheduler.inventory.nvml import EventSet, Handle, Nvml
from scheduler.inventory.scenario import DEVICES_MAX

WAIT_MS = 500
RETRY_S = 1.0

_KINDS = {0x2: "double-bit-ecc", 0x2000: "fatal-poison", 0x4000: "unavailable"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Strike:
    """One event; ``uuid`` is empty where the device could not tell its own any more."""

    uuid: str
    kind: str


class EventWatch:
    """Delivers strikes from ``start`` until ``stop``; may be started again. ``deliver`` runs in its thread.

    The event set is made anew after every error, since a driver that was loaded again knows nothing of it.
    """

    def __init__(self, api: Nvml, deliver: Callable[[Strike], None]) -> None:
        self._api = api
        self._deliver = deliver
        self._stopped = threading.Event()
        self._listening = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        if self._thread is None:
            self._stopped.clear()
            self._thread = threading.Thread(target=self._work, name="nvml-events", daemon=True)
            self._thread.start()

    def stop(self) -> None:
        """Returns once the thread let go of its event set, or after twice its longest wait."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopped.set()
            thread.join(2 * WAIT_MS / 1000)

    def listening(self, timeout_s: float) -> bool:
        """Whether events are delivered, waiting for that up to ``timeout_s``."""
        return self._listening.wait(timeout_s)

    def _work(self) -> None:
        stopped = self._stopped
        while not stopped.is_set():
            try:
                self._listen(stopped)
            except NvmlError:
                # The probe reports what is wrong with the driver; here it is only tried again.
                stopped.wait(RETRY_S)
            finally:
                self._listening.clear()

    def _listen(self, stopped: threading.Event) -> None:
        with closing(_Events(self._api)) as events:
            self._listening.set()
            while not stopped.is_set():
                strike = events.next(WAIT_MS)
                if strike is not None:
                    self._deliver(strike)


class EventPoll:
    """The strikes since the last look, for whoever has no thread to spare for a node.

    The event set is made at the first look and anew after an error; what happened before is not told.
    """

    def __init__(self, api: Nvml) -> None:
        self._api = api
        self._events: _Events | None = None

    def strikes(self) -> list[Strike]:
        """Never blocks longer than NVML itself, never raises for what a driver does."""
        found: list[Strike] = []
        try:
            if self._events is None:
                self._events = _Events(self._api)
            while (strike := self._events.next(0)) is not None:
                found.append(strike)
        except NvmlError:
            self.close()
        return found

    def close(self) -> None:
        """Let go of the event set."""
        events, self._events = self._events, None
        if events is not None:
            with suppress(NvmlError):
                events.close()


class _Events:
    """An event set with every device registered; handle addresses are kept for the day one is lost.

    Nothing is freed but by ``close``: a collection of garbage may run inside a call of pynvml, whose lock a
    finalizer that calls it again would wait for without end. Raises: NvmlError.
    """

    def __init__(self, api: Nvml) -> None:
        self._api = api
        self._handle: EventSet = api.nvmlEventSetCreate()
        try:
            self._known = self._registered()
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Free the set. Raises: NvmlError."""
        self._api.nvmlEventSetFree(self._handle)

    def next(self, wait_ms: int) -> Strike | None:
        """None where nothing that matters came in that time. Raises: NvmlError."""
        try:
            event = self._api.nvmlEventSetWait_v2(self._handle, wait_ms)
        except NvmlError as error:
            if code_of(error) == nvml.TIMEOUT:
                return None
            raise
        kind = xid(event.eventData) if event.eventType == nvml.EVENT_XID else _KINDS.get(event.eventType)
        if kind is None:
            return self.next(0)
        return Strike(uuid=self._known.get(_address(event.device), ""), kind=kind)

    def _registered(self) -> dict[int, str]:
        known: dict[int, str] = {}
        for index in range(min(self._api.nvmlDeviceGetCount(), DEVICES_MAX)):
            try:
                device = self._api.nvmlDeviceGetHandleByIndex(index)
                known[_address(device)] = self._api.nvmlDeviceGetUUID(device)
                wanted = self._api.nvmlDeviceGetSupportedEventTypes(device) & nvml.EVENTS_WANTED
                if wanted:
                    self._api.nvmlDeviceRegisterEvents(device, wanted, self._handle)
            except NvmlError as error:
                if code_of(error) in nvml.DRIVER_CODES:
                    raise
        return known


def _address(device: Handle) -> int:
    return ctypes.cast(device, ctypes.c_void_p).value or 0  # type: ignore[arg-type] # pynvml's handles are pointers

"""Garbage may be collected while pynvml holds its own lock: nothing that is dropped may call NVML again."""

from __future__ import annotations

import gc
from typing import cast

import pynvml

from deploy.local.nvml.library import FakeNode
from scheduler.inventory.events import EventPoll
from scheduler.inventory.nvml import Nvml


class Noted:
    """The real binding, and which of its functions were asked for."""

    def __init__(self) -> None:
        self.names: list[str] = []

    def __getattr__(self, name: str) -> object:
        self.names.append(name)
        return getattr(pynvml, name)


def test_a_poll_that_is_dropped_unclosed_is_collected_in_silence(node: FakeNode) -> None:
    pynvml.nvmlInit()
    try:
        noted = Noted()
        poll = EventPoll(cast(Nvml, noted))
        assert poll.strikes() == []
        assert "nvmlEventSetCreate" in noted.names
        noted.names.clear()
        del poll
        gc.collect()
        assert noted.names == []
    finally:
        pynvml.nvmlShutdown()


def test_a_poll_that_is_closed_frees_its_events_once(node: FakeNode) -> None:
    pynvml.nvmlInit()
    try:
        noted = Noted()
        poll = EventPoll(cast(Nvml, noted))
        poll.strikes()
        poll.close()
        poll.close()
        assert noted.names.count("nvmlEventSetFree") == 1
    finally:
        pynvml.nvmlShutdown()

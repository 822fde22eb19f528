"""Errors by call and code, restarts, boots, replaced hardware, MIG, and time: what is told is true."""

from __future__ import annotations

from pathlib import Path

import pytest

from deploy.local.nvml.library import FakeLibrary
from tests.devices.storm import Storm

#: ``make storms-devices`` runs 10,000.
STORMS = 300
PARTS = 6


@pytest.fixture(scope="session")
def library() -> FakeLibrary:
    return FakeLibrary()


@pytest.mark.parametrize("part", range(PARTS))
def test_no_storm_takes_a_gang_or_a_device_without_evidence(
    library: FakeLibrary, tmp_path: Path, part: int
) -> None:
    for seed in range(part * STORMS // PARTS, (part + 1) * STORMS // PARTS):
        found = Storm(seed, library, tmp_path).run()
        assert found.is_clean, "\n".join(found.story)


def test_a_storm_is_the_same_again(library: FakeLibrary, tmp_path: Path) -> None:
    first = Storm(7, library, tmp_path).run()
    assert Storm(7, library, tmp_path).run() == first

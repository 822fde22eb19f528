"""A seed is the whole of a storm or course: another process, with other hashes, lives through the same."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from simulations.faults.storm import run
from simulations.life import course

AT_ONCE = 3


def elsewhere(first: int, hashes: str, what: str = "simulations.faults") -> list[str]:
    """The digests of storms in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", what, str(first), str(AT_ONCE), "--go-on"],
        env={**os.environ, "PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        check=False,
    )
    return re.findall(r"digest (\w+)", done.stdout)


@pytest.mark.parametrize("first", [10, 20])
def test_another_process_sees_the_same_history(first: int) -> None:
    here = [run(seed).digest for seed in range(first, first + AT_ONCE)]
    assert len(set(here)) == AT_ONCE
    assert elsewhere(first, hashes="1") == elsewhere(first, hashes="2") == here


@pytest.mark.parametrize("first", [0, 15])
def test_another_process_lives_through_the_same_course(first: int) -> None:
    here = [course.run(seed).digest for seed in range(first, first + AT_ONCE)]
    assert len(set(here)) == AT_ONCE
    assert elsewhere(first, "1", "simulations.life") == elsewhere(first, "2", "simulations.life") == here

"""A seed is the whole of a storm: another process, with other hashes, lives through the very same one."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest

from simulations.faults.storm import run

AT_ONCE = 3


def elsewhere(first: int, hashes: str) -> list[str]:
    """The digests of storms in a process of their own."""
    done = subprocess.run(
        [sys.executable, "-m", "simulations.faults", str(first), str(AT_ONCE)],
        env={**os.environ, "PYTHONHASHSEED": hashes},
        capture_output=True,
        text=True,
        check=True,
    )
    return re.findall(r"digest (\w+)", done.stdout)


@pytest.mark.parametrize("first", [10, 20])
def test_another_process_sees_the_same_history(first: int) -> None:
    here = [run(seed).digest for seed in range(first, first + AT_ONCE)]
    assert len(set(here)) == AT_ONCE
    assert elsewhere(first, hashes="1") == elsewhere(first, hashes="2") == here

"""Who is told a part at a time is told all the same, and nobody twice before the others once."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from scheduler.live.rotation import Rotation


@given(st.integers(0, 60), st.integers(1, 20), st.integers(1, 40))
def test_everybody_has_a_turn_before_anybody_has_a_second(many: int, count: int, times: int) -> None:
    rotation, items = Rotation(count), range(many)
    seen: Counter[int] = Counter()
    for _ in range(times):
        some = rotation.of(items)
        assert len(some) == min(many, count)
        seen.update(some)
    assert not many or max(seen.values()) - min(seen.get(each, 0) for each in items) <= 1

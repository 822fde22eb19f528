"""A Binding that gets no answer until its deadline: who came first is tried again before anybody else."""

from __future__ import annotations

import random
from dataclasses import dataclass

from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from simulations.faults import server as api
from simulations.faults.virtual_time import elapse
from simulations.faults.weather import Fate, Weather
from tests.healing.life import Life, lived


@dataclass(frozen=True, slots=True, kw_only=True)
class Lost(Weather):
    """From 4 s on, until then, no write to a pod arrives."""

    lost_until_s: float

    def fate(self, whom: str, path: str, now_s: float, chance: random.Random, *, is_write: bool) -> Fate:
        return "vanishes" if is_write and path == api.PODS and 4.0 < now_s < self.lost_until_s else "ok"


@settings(max_examples=10, deadline=None, phases=[Phase.generate])
@given(after_s=st.floats(1.0, 18.0), lost_until_s=st.floats(17.0, 24.0))
def test_who_came_first_starts_though_its_bindings_were_lost(after_s: float, lost_until_s: float) -> None:
    async def course(life: Life) -> None:
        life.nodes(1)
        await elapse(5.0)
        life.pod("first")
        await elapse(after_s)
        life.pod("second")
        await elapse(180.0 - after_s)

    weather = Lost(spells=(), odds={}, until_s=0.0, delay_s=0.4, lost_until_s=lost_until_s)
    assert lived(course, weather=weather).bound == ["first"]

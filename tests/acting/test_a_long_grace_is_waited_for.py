"""A member takes all of a long grace to stop, as to write a checkpoint: the others stay, whoever waits."""

from __future__ import annotations

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from simulations.faults.virtual_time import elapse
from tests.acting.alive import NAMESPACE, Alive, played


@pytest.mark.parametrize("comes_at_once", [False, True])
@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(size=st.integers(2, 4), grace_s=st.integers(20, 1_500))
def test_who_replaces_it_joins_the_others(comes_at_once: bool, size: int, grace_s: int) -> None:
    async def story() -> None:
        alive = Alive(nodes=size, uses_grace=True)
        keys = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": str(size)}
        for i in range(size):
            alive.pod(f"g-{i}", gpus=8, annotations=keys, grace_s=grace_s)
        while len(alive.bound) < size:
            await elapse(0.1)
        await elapse(5.0)
        alive.pod("waits", gpus=8)
        alive.server.leave((NAMESPACE, "g-0"))
        await elapse(0.0 if comes_at_once else grace_s + 20.0)
        alive.pod("g-again", gpus=8, annotations=keys)
        await elapse(grace_s + 120.0)
        assert alive.bound[size:] == ["g-again"]
        assert alive.evicted == []
        await alive.end()

    played(story)


@settings(max_examples=5, deadline=None, phases=[Phase.generate])
@given(grace_s=st.integers(80, 900), after_s=st.sampled_from([0.5, 20.0, 50.0]))
def test_its_replacement_has_its_time_though_another_was_lost_before(grace_s: int, after_s: float) -> None:
    """The gang is short with nobody leaving; that one comes back, and a second takes its time to go."""

    async def story() -> None:
        alive = Alive(nodes=3, uses_grace=True)
        keys = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": "3"}
        for i in range(3):
            alive.pod(f"g-{i}", gpus=8, annotations=keys, grace_s=grace_s)
        while len(alive.bound) < 3:
            await elapse(0.1)
        wide = {"stowplan.dev/gang": "wide", "stowplan.dev/gang-min-member": "2"}
        for i in range(2):
            alive.pod(f"wide-{i}", gpus=8, annotations=wide)
        alive.delete("g-0")
        await elapse(1.0)
        alive.server.leave((NAMESPACE, "g-1"))
        await elapse(1.0)
        alive.pod("g-0-again", gpus=8, annotations=keys)
        await elapse(grace_s - 1.0 + after_s)
        alive.pod("g-1-again", gpus=8, annotations=keys)
        await elapse(30.0)
        assert alive.bound[3:] == ["g-0-again", "g-1-again"]
        assert alive.evicted == []
        await alive.end()

    played(story)


def test_one_that_never_stops_is_not_waited_for_longer_than_that() -> None:
    async def story() -> None:
        alive = Alive(nodes=2, uses_grace=True)
        keys = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": "2"}
        for i in range(2):
            alive.pod(f"g-{i}", gpus=8, annotations=keys, grace_s=600)
        await elapse(10.0)
        alive.kubelets.silence("n0")
        stays = "g-0" if alive.node_of("g-1") == "n0" else "g-1"
        alive.pod("waits", gpus=8)
        alive.server.leave((NAMESPACE, "g-1" if stays == "g-0" else "g-0"))
        await elapse(620.0)
        assert alive.evicted == []
        await elapse(20.0)
        assert alive.evicted == [stays]
        await alive.end()

    played(story)

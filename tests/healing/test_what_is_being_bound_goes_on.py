"""Deadlines are for time without progress: no gang is taken back because there is much to bind."""

from __future__ import annotations

import pytest

from simulations.faults import server as api
from simulations.faults.virtual_time import elapse
from tests.healing.life import Life, lived, slow


@pytest.mark.parametrize(("gangs", "size"), [(60, 25), (3, 400), (300, 4)])
def test_no_gang_is_taken_back_behind_others_or_for_its_size(gangs: int, size: int) -> None:
    """Forty Bindings a second: the last is sent 30 to 40 s after the first."""

    async def course(life: Life) -> None:
        life.nodes(gangs * size // 50 + 1, gpus=50)
        for i in range(gangs):
            life.gang(f"g{i}", size, gpus=1)
        await elapse(gangs * size / 40 + 60)

    life = lived(course, slow(8), delay_s=0.2)
    assert life.evicted == []
    assert len(life.bound) == gangs * size


@pytest.mark.parametrize("share", [0.1, 0.5, 0.95])
def test_who_leads_next_binds_the_rest_and_evicts_nobody(share: float) -> None:
    size = 64

    async def course(life: Life) -> None:
        life.nodes(size // 8)
        life.gang("train", size, gpus=1)
        while len(life.bound) < share * size:
            await elapse(0.05)
        life.replica.crash()
        await elapse(120)

    life = lived(course, slow(8), delay_s=0.2)
    assert life.evicted == []
    assert len(life.bound) == size


@pytest.mark.parametrize("lasts_s", [4.0, 8.0, 15.0])
def test_a_gang_outlasts_a_busy_api_server(lasts_s: float) -> None:
    """Half of it is bound, and for a while each Binding is answered with 429: nothing was carried out."""

    async def course(life: Life) -> None:
        life.nodes(8)
        life.gang("train", 8)
        while len(life.bound) < 4:
            await elapse(0.02)
        life.server.sheds = lambda call: call.target.part == "binding"
        await elapse(lasts_s)
        life.server.sheds = lambda call: False
        await elapse(120)

    life = lived(course, slow(2), delay_s=0.1)
    assert life.evicted == []
    assert len(life.bound) == 8


@pytest.mark.parametrize("lasts_s", [4.0, 8.0, 15.0])
def test_a_gang_keeps_its_turn_while_the_api_server_is_busy(lasts_s: float) -> None:
    """Its claim is answered with 429 for a while; single pods, which need none, come later."""

    async def course(life: Life) -> None:
        life.nodes(2)
        await elapse(10)
        life.server.sheds = lambda call: call.is_write and call.target.collection == api.GANGS
        life.gang("train", 2)
        await elapse(3)
        life.pod("later")
        await elapse(lasts_s)
        life.server.sheds = lambda call: False
        await elapse(60)

    life = lived(course)
    assert sorted(life.bound) == ["train-0", "train-1"]

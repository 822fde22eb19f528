"""docs/moving-to-stowplan.md, command by command: a Job of the real default scheduler moves, and back."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Final

import pytest
import pytest_asyncio

from deploy.local.nodes.pools import Pool
from tests.dialects.examples import before, text
from tests.frameworks.place import Place, Places, places
from tests.pages import blocks, run

pytestmark = pytest.mark.asyncio(loop_scope="module")

JOB: Final = "job/indexed.yaml"
POOLS: Final = (Pool(name="both", count=2, gpus=2),)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Places]:
    folder = tmp_path_factory.mktemp("movers")
    async with places(folder, POOLS, beside=("kube-controller-manager", "kube-scheduler")) as found:
        yield found


def of(place: Place, scheduler: str) -> Callable[[], bool]:
    """Whether the Job's four pods run, and all of them by this scheduler."""

    def holds() -> bool:
        return (
            [pod.scheduler for pod in place.pods()]
            == [scheduler] * 4
            == [pod.scheduler for pod in place.running()]
        )

    return holds


async def test_a_job_of_the_default_scheduler_moves_and_moves_back(site: Places) -> None:
    find, move = blocks("moving-to-stowplan.md")
    assert f"docs/examples/{JOB}" in move

    async def shell(block: str, *, given: str = "") -> str:
        return await asyncio.to_thread(run, site.kubeconfig, block, given=given)

    async with site.at("default") as place:
        await shell("kubectl create -f -", given=before(text(JOB)))
        await place.until(of(place, "default-scheduler"), "the default scheduler's")
        told = await shell(find)
        assert all(pod.name in told for pod in place.pods())

        told = await shell(move)
        await place.until(of(place, "stowplan"), "stowplan's")
        assert "job.batch/all-reduce replaced" in told
        assert "gang default/all-reduce: Bound" in told, told
        assert "4 bound, 4 needed together, 4 exist" in told
        told = await shell(find)
        assert not any(pod.name in told for pod in place.pods())

        await shell("kubectl replace --force -f -", given=before(text(JOB)))
        await place.until(of(place, "default-scheduler"), "the default scheduler's again")
        assert place.evicted() == set()
        await place.judge()
        await shell("kubectl delete job all-reduce")

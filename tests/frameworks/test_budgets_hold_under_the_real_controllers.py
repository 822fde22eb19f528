"""Who is evicted for higher priority, without teams, where the real disruption controller counts budgets."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from deploy.local.nodes.pools import Pool
from tests.frameworks.place import Place, Places, places

pytestmark = pytest.mark.asyncio(loop_scope="module")

POOLS: Final = (Pool(name="budgets", count=2, gpus=2),)
BUDGETS: Final = "/apis/policy/v1/namespaces/{}/poddisruptionbudgets"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Places]:
    async with places(tmp_path_factory.mktemp("controllers"), POOLS) as found:
        yield found


def _job(name: str, *, priority: str = "") -> dict[str, Any]:
    """Two pods of one GPU that start together."""
    container = {"name": "c", "image": "none", "resources": {"limits": {"nvidia.com/gpu": "1"}}}
    spec = {"schedulerName": "stowplan", "restartPolicy": "Never", "containers": [container]}
    words = {"stowplan.dev/gang-policy": "all-or-nothing"}
    template = {
        "metadata": {"labels": {"app": name}, "annotations": words},
        "spec": spec | ({"priorityClassName": priority} if priority else {}),
    }
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {
            "completions": 2,
            "parallelism": 2,
            "completionMode": "Indexed",
            "backoffLimit": 100,
            "template": template,
        },
    }


def _of(place: Place, job: str) -> set[str]:
    return {pod.uid for pod in place.running() if pod.name.startswith(f"{job}-")}


async def _runs(place: Place, name: str, *, priority: str = "") -> None:
    await place.create(_job(name, priority=priority))
    await place.until(lambda: len(_of(place, name)) == 2, f"{name} runs")


async def test_a_gang_goes_when_its_budget_lets_all_of_it_go_and_not_before(site: Places) -> None:
    async with site.at("budgets") as place:
        classes = "/apis/scheduling.k8s.io/v1/priorityclasses"
        await place.post(classes, {"metadata": {"name": "urgent"}, "value": 1000})
        selector = {"matchLabels": {"app": "guarded"}}
        for name in ("plain", "guarded"):
            await _runs(place, name)
        await place.post(
            BUDGETS, {"metadata": {"name": "guarded"}, "spec": {"minAvailable": 1, "selector": selector}}
        )
        before = {job: _of(place, job) for job in ("plain", "guarded")}
        await _runs(place, "first", priority="urgent")
        assert place.evicted() == before["plain"]
        assert _of(place, "guarded") == before["guarded"]
        await place.create(_job("second", priority="urgent"))
        await place.until(lambda: len(place.waiting()) == 4, "the second is told why it waits")
        assert _of(place, "guarded") == before["guarded"]
        await place.patch(f"{BUDGETS}/guarded", minAvailable=0)
        await place.until(lambda: len(_of(place, "second")) == 2, "the second runs")
        assert place.evicted() == before["plain"] | before["guarded"]
        await place.judge()

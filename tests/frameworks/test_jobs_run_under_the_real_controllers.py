"""Job and StatefulSet through the real kube-controller-manager: start, growth, suspension, success, loss."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from typing import Any, Final

import pytest
import pytest_asyncio

from deploy.local.nodes.pools import RACK_LABEL, Pool
from tests.dialects.examples import documents, text
from tests.frameworks.place import Places, places

pytestmark = pytest.mark.asyncio(loop_scope="module")

POOLS: Final = (
    Pool(name="indexed", count=2, gpus=2),
    Pool(name="elastic", count=1, gpus=3),
    Pool(name="suspended", count=4, gpus=1),
    Pool(name="success", count=1, gpus=3),
    Pool(name="stateful", count=2, gpus=2),
    Pool(name="racks", count=8, gpus=1, racks=2),
    Pool(name="restarts", count=4, gpus=1),
    Pool(name="limit", count=4, gpus=1),
    Pool(name="again", count=1, gpus=4),
    Pool(name="grows", count=1, gpus=4),
    Pool(name="gives-up", count=1, gpus=4),
)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def site(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Places]:
    async with places(tmp_path_factory.mktemp("controllers"), POOLS) as found:
        yield found


def example(file: str, **spec: object) -> dict[str, Any]:
    """A manifest of docs/examples with some of its spec changed."""
    (manifest,) = documents(text(file))
    return {**manifest, "spec": {**manifest["spec"], **spec}}


def gang_of_a_set(size: int) -> tuple[dict[str, Any], dict[str, str]]:
    """A StatefulSet whose pods start together by stowplan's own keys; it makes a lost pod anew at once."""
    manifest = example("statefulset/model-server.yaml", replicas=size, podManagementPolicy="Parallel")
    return manifest, {"gang": "server", "gang-min-member": str(size)}


async def test_an_indexed_job_starts_whole_heals_and_completes(site: Places) -> None:
    async with site.at("indexed") as place:
        await place.create(example("job/indexed.yaml"))
        await place.until_whole(4)
        lost = random.choice(place.pods())
        before = {pod.uid for pod in place.pods()}
        await place.lose(lost)
        await place.until(lambda: lost.uid not in {pod.uid for pod in place.pods()}, "the lost pod is gone")
        await place.until_whole(4)
        assert len(before & {pod.uid for pod in place.pods()}) == 3
        assert place.evicted() == set()
        for pod in place.pods():
            await place.end(pod)
        await place.until_said("Complete")
        await place.judge()


async def test_an_elastic_job_starts_with_its_minimum_shrinks_and_grows(site: Places) -> None:
    async with site.at("elastic") as place:
        await place.create(example("job/elastic.yaml"))
        await place.until(lambda: len(place.running()) == 3 and len(place.waiting()) == 1, "three of four")
        await place.change(parallelism=2, completions=2)
        await place.until_whole(2)
        await place.change(parallelism=3, completions=3)
        await place.until_whole(3)
        assert place.evicted() == set()
        await place.judge()


async def test_a_suspended_job_holds_nothing_and_a_resumed_one_starts_whole(site: Places) -> None:
    async with site.at("suspended") as place:
        await place.create(example("job/indexed.yaml", suspend=True))
        await place.until_said("Suspended")
        assert place.pods() == []
        for _ in range(2):
            await place.change(suspend=False)
            await place.until_whole(4)
            await place.change(suspend=True)
            await place.until(lambda: place.pods() == [], "all pods are gone")
        assert place.evicted() == set()
        await place.judge()


async def test_a_success_policy_ends_the_gang_while_members_still_run(site: Places) -> None:
    async with site.at("success") as place:
        await place.create(example("job/success-policy.yaml"))
        await place.until_whole(3)
        await place.end(place.pods()[0])
        await place.until_said("Complete")
        await place.until(lambda: place.pods() == [], "the others were ended")
        assert place.evicted() == set()
        await place.judge()


async def test_pods_of_a_set_are_no_gang(site: Places) -> None:
    async with site.at("stateful") as place:
        await place.create(example("statefulset/model-server.yaml"))
        await place.until(lambda: len(place.running()) == 3, "three run")
        await place.change(replicas=5)
        await place.until(lambda: len(place.running()) == 4 and len(place.waiting()) == 1, "four of five")
        lost = place.running()[0]
        await place.lose(lost)
        await place.until(
            lambda: len(place.running()) == 4 and lost.uid not in {pod.uid for pod in place.pods()}, "healed"
        )
        assert place.phases() == []
        assert place.evicted() == set()
        await place.judge()


async def test_a_member_lost_with_its_node_comes_back_in_the_rack_of_its_gang(site: Places) -> None:
    async with site.at("racks") as place:
        manifest, words = gang_of_a_set(3)
        await place.create(manifest, **words, **{"topology-required": RACK_LABEL})
        await place.until_whole(3)
        racks = {pod.name: int(pod.node.removeprefix("racks-")) // 4 for pod in place.pods()}
        assert len(set(racks.values())) == 1
        lost = random.choice(place.pods())
        kept = {pod.uid: pod.node for pod in place.pods() if pod.uid != lost.uid}
        await place.lose_node(lost.node)
        await place.until(lambda: lost.uid not in {pod.uid for pod in place.pods()}, "the lost pod is gone")
        await place.until_whole(3)
        assert kept.items() <= {pod.uid: pod.node for pod in place.pods()}.items()
        assert {int(pod.node.removeprefix("racks-")) // 4 for pod in place.pods()} == set(racks.values())
        assert place.evicted() == set()
        await place.judge()


async def test_a_gang_that_takes_no_new_member_restarts_whole(site: Places) -> None:
    async with site.at("restarts") as place:
        manifest, words = gang_of_a_set(4)
        await place.create(manifest, **words, **{"gang-on-loss": "restart"})
        await place.until_whole(4)
        before = {pod.uid for pod in place.pods()}
        lost = random.choice(place.pods())
        await place.lose(lost)
        await place.until(lambda: not before & {pod.uid for pod in place.pods()}, "all members are new")
        await place.until_whole(4)
        assert place.evicted() == before - {lost.uid}
        await place.judge()


async def test_half_a_gang_makes_way_for_who_then_starts_and_for_nobody_else(site: Places) -> None:
    async with site.at("limit") as place:
        manifest, words = gang_of_a_set(4)
        await place.create(manifest, **words)
        await place.until_whole(4)
        before = {pod.uid for pod in place.pods()}
        lost = random.choice(place.pods())
        await place.lose_node(lost.node)
        await place.until(lambda: len(place.waiting()) == 1, "who was made anew does not fit")
        other = example("job/independent.yaml", completions=3, parallelism=3)
        await place.create(other, gang="other", **{"gang-min-member": "3"})
        await place.until(lambda: len(place.waiting()) == 4, "three more wait for the room of half a gang")
        assert place.evicted() == set()
        await place.until(lambda: place.evicted() == before - {lost.uid}, "half a gang is given back")
        await place.until(
            lambda: [pod.name.startswith("model-server") for pod in place.running()] == [False] * 3,
            "who waited starts",
        )
        await place.until(lambda: len(place.waiting()) == 4, "the set waits as a whole, and is told why")
        # Also that nobody held part of a gang that never stood for more than 30 s.
        await place.judge()


async def test_a_gangs_name_used_by_the_next_job_starts_whole_or_not_at_all(site: Places) -> None:
    """As a CronJob with a history does: the pods of the run before are kept."""
    async with site.at("again") as place:
        words = {"gang": "nightly", "gang-min-member": "3"}
        for name in ("nightly-1", "nightly-2"):
            manifest = {**example("job/independent.yaml", completions=3, parallelism=3)}
            manifest["metadata"] = {"name": name}
            before = {pod.uid for pod in place.pods()}
            await place.create(manifest, **words)
            if before:
                await place.until(
                    lambda: len(place.waiting()) == 3, "the second run waits for all of its room"
                )
                assert len(place.running()) == 2
                for pod in place.running():
                    await place.end(pod)
            await place.until(lambda: len(place.running()) == 3, f"{name} runs")
            for pod in place.running()[:3] if name == "nightly-1" else ():
                await place.end(pod)
            if name == "nightly-1":
                await place.until_said("Complete")
                # Somebody else takes half of the room.
                other = example("job/independent.yaml", completions=2, parallelism=2)
                await place.create({**other, "metadata": {"name": "other"}})
                await place.until(lambda: len(place.running()) == 2, "the others run")
        assert place.evicted() == set()
        await place.judge()


async def test_a_set_that_is_scaled_says_its_new_size_through_its_newest_pods(site: Places) -> None:
    async with site.at("grows") as place:
        manifest, words = gang_of_a_set(2)
        manifest = {**manifest, "spec": {**manifest["spec"], "updateStrategy": {"type": "OnDelete"}}}
        await place.create(manifest, **words)
        await place.until_whole(2)
        before = {pod.uid for pod in place.pods()}
        template = {"metadata": {"annotations": {"stowplan.dev/gang-min-member": "4"}}}
        await place.change(replicas=4, template=template)
        await place.until(lambda: len(place.running()) == 4, "the newcomers run")
        assert before <= {pod.uid for pod in place.pods()}
        assert place.evicted() == set()
        await place.judge()


async def test_an_index_that_failed_for_good_ends_nobody_else(site: Places) -> None:
    async with site.at("gives-up") as place:
        spec = {"backoffLimitPerIndex": 0, "maxFailedIndexes": 4}
        await place.create(example("job/indexed.yaml", **spec))
        await place.until_whole(4)
        await place.fail(place.pods()[1])
        await place.until(lambda: len(place.pods()) == 3, "one has failed")
        for pod in place.pods():
            await place.end(pod)
        await place.until_said("Failed")
        assert place.evicted() == set()
        await place.judge()

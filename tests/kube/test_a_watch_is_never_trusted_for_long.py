"""Ageing, probing, resuming, relisting: what the reflector asks for, and when."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable, Callable, Mapping
from itertools import pairwise

import pytest
from prometheus_client import CollectorRegistry

from scheduler.kube import wire
from scheduler.kube.reflector import Reflector, Regressed, Timing
from scheduler.kube.transport import (
    ApiError,
    Forbidden,
    NotFound,
    ServerError,
    TooManyRequests,
    Unauthorized,
    Unreachable,
)
from scheduler.kube.watch_metrics import WatchMetrics
from simulations.faults.virtual_time import elapse, run_virtually
from tests.kube.mirror import Mirror
from tests.kube.store import Fault, MemoryReader, Store

PATH = "/apis/example.dev/v1/things"


def expired(params: Mapping[str, str]) -> Fault:
    return ("gone", 0) if "watch" in params else ("", 0)


class Stage:
    """A store, a reader of it, a reflector and its sink, in virtual time."""

    def __init__(self, reader: MemoryReader | None = None, timing: Timing | None = None) -> None:
        self.store = reader.store if reader else Store()
        self.reader = reader or MemoryReader(self.store)
        self.mirror = Mirror()
        self.registry = CollectorRegistry()
        self.loop = asyncio.get_running_loop()
        self.reflector = Reflector(
            self.reader,
            PATH,
            wire.Namespace,
            self.mirror,
            clock=self.loop.time,
            rng=random.Random(7).random,
            timing=timing,
            metrics=WatchMetrics(self.registry),
        )
        self.running = asyncio.create_task(self.reflector.run())

    async def synced(self) -> None:
        await self.reflector.synced.wait()

    def count(self, name: str, **labels: str) -> float:
        labels = {"resource": "things.v1.example.dev", **labels}
        return self.registry.get_sample_value(f"stowplan_watch_{name}", labels) or 0.0

    async def worst_age_s(self, span_s: float) -> float:
        """The greatest age within a span."""
        worst_s, until_s = 0.0, self.loop.time() + span_s
        while self.loop.time() < until_s:
            await elapse(0.05)
            worst_s = max(worst_s, self.reflector.age_s())
        return worst_s

    def serves(self) -> bool:
        return self.reflector.is_served

    async def stop(self) -> None:
        self.running.cancel()
        await asyncio.gather(self.running, return_exceptions=True)


def staged(story: Callable[[Stage], Awaitable[None]], faults: list[Fault] | None = None) -> None:
    """Run a story on a stage whose first requests meet ``faults``."""

    async def play() -> None:
        stage = Stage(MemoryReader(Store(), faults=faults))
        await story(stage)
        await stage.stop()

    run_virtually(play())


def test_an_idle_healthy_view_is_never_five_seconds_old() -> None:
    async def story(stage: Stage) -> None:
        await stage.synced()
        assert await stage.worst_age_s(1200.0) < 4.0
        assert stage.count("lists_total") == 1
        assert stage.count("breaks_total") == 0

    staged(story)


def test_a_silent_watch_ages_and_is_replaced_once_something_happens() -> None:
    async def story(stage: Stage) -> None:
        await stage.synced()
        stage.store.put("seen")
        await elapse(0.1)
        stage.reader.is_silent = True
        stage.store.put("hidden")
        assert await stage.worst_age_s(6.0) > 5.0, "probes on the same silent network prove nothing"
        stage.reader.is_silent = False
        await elapse(15.0)
        assert stage.mirror.objects == stage.store.contents()
        assert stage.reflector.age_s() < 5.0

    staged(story)


def test_one_stalled_connection_is_dropped_within_seconds_and_resumed_without_a_list() -> None:
    async def story(stage: Stage) -> None:
        await stage.synced()
        await elapse(1.0)
        stage.store.put("hidden")
        await elapse(6.0)
        assert stage.mirror.objects == stage.store.contents()
        assert stage.count("breaks_total") == 1
        assert stage.count("lists_total") == 1

    # The list is well; the first watch stalls after it; its probes are well.
    staged(story, [("", 0), ("stall", 0)])


def test_an_ended_watch_goes_on_from_the_last_bookmark() -> None:
    async def story(stage: Stage) -> None:
        await stage.synced()
        for n in range(5):
            stage.store.put(f"n{n}")
            await elapse(200.0)
        watches = [params for _, params in stage.reader.requests if "watch" in params]
        seconds = {int(params["timeoutSeconds"]) for params in watches} - {1}
        versions = [int(params["resourceVersion"]) for params in watches]
        assert len(seconds) > 1
        assert all(240 <= s <= 480 for s in seconds), "watches end at different times"
        assert versions == sorted(versions)
        assert versions[-1] == stage.store.revision
        assert {params["allowWatchBookmarks"] for params in watches} == {"true"}
        assert stage.count("lists_total") == 1
        assert stage.count("events_total", type="ADDED") == 5

    staged(story)


def test_a_list_is_read_in_pages_of_one_version() -> None:
    async def story(stage: Stage) -> None:
        for n in range(8_000):
            stage.store.put(f"n{n}")
        await stage.synced()
        lists = [params for _, params in stage.reader.requests if "watch" not in params]
        assert [params["limit"] for params in lists] == ["500", "1000", "2000", "4000", "4000"]
        assert ["continue" in params for params in lists] == [False, True, True, True, True]
        assert "resourceVersion" not in lists[0], "the first page must be read from a quorum"
        assert len(stage.mirror.objects) == 8_000

    staged(story)


def test_pages_that_expire_half_way_are_listed_anew_and_what_left_meanwhile_is_gone() -> None:
    async def story(stage: Stage) -> None:
        for n in range(900):
            stage.store.put(f"n{n:03}")

        def vanish(params: Mapping[str, str]) -> None:
            if "continue" in params and stage.store.compacted == 0:
                stage.store.delete("n000")
                stage.store.compact()

        stage.reader.before_page = vanish
        await stage.synced()
        assert "n000" not in stage.mirror.objects
        assert stage.mirror.objects == stage.store.contents()

    staged(story)


def test_pages_of_two_versions_are_no_list() -> None:
    async def story(stage: Stage) -> None:
        for n in range(1200):
            stage.store.put(f"n{n:04}")
        await stage.synced()
        assert stage.mirror.objects == stage.store.contents()
        assert stage.count("breaks_total") == 1

    # The second page is from another time, and says that it is the last.
    staged(story, [("", 0), ("old", 0)])


def test_four_thousand_events_at_once_are_tens_of_calls() -> None:
    async def story(stage: Stage) -> None:
        await stage.synced()
        for n in range(4000):
            stage.store.put(f"n{n}")
        await elapse(1.0)
        assert stage.mirror.puts == 4000
        assert stage.mirror.calls < 100

    staged(story)


class Refusing(MemoryReader):
    """Answers every request with one error until told otherwise."""

    def __init__(self, error: ApiError | Unreachable) -> None:
        super().__init__(Store())
        self.error: ApiError | Unreachable | None = error
        self.times_s: list[float] = []

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> bytes:
        self.times_s.append(asyncio.get_running_loop().time())
        if self.error is not None:
            raise self.error
        return await super().request(method, path, params=params, timeout_s=timeout_s)

    def waits_s(self) -> list[float]:
        return [after - before for before, after in pairwise(self.times_s)]


def refused(error: ApiError | Unreachable, story: Callable[[Stage, Refusing], Awaitable[None]]) -> None:
    async def play() -> None:
        reader = Refusing(error)
        stage = Stage(reader)
        await story(stage, reader)
        await stage.stop()

    run_virtually(play())


@pytest.mark.parametrize("error", [Unreachable("down"), ServerError(503), Forbidden(403)])
def test_a_server_that_is_down_is_asked_ever_less_often_but_not_too_seldom(error: ApiError) -> None:
    async def story(stage: Stage, reader: Refusing) -> None:
        await elapse(300.0)
        waits_s = reader.waits_s()
        assert waits_s[0] < 0.4
        assert 5.0 <= max(waits_s) < 15.1
        assert len(set(waits_s[-10:])) == 10, "clients that failed together must not return together"
        assert stage.reflector.age_s() == float("inf")
        reader.error = None
        await elapse(16.0)
        assert stage.reflector.synced.is_set()

    refused(error, story)


def test_retry_after_is_a_lower_bound() -> None:
    async def story(stage: Stage, reader: Refusing) -> None:
        await elapse(200.0)
        assert all(wait_s >= 7.0 for wait_s in reader.waits_s())
        assert len(reader.waits_s()) > 10

    refused(TooManyRequests(429, retry_after_s=7.0), story)


def test_a_type_that_is_not_served_is_empty_and_looked_for_again() -> None:
    async def story(stage: Stage, reader: Refusing) -> None:
        await stage.synced()
        assert not stage.serves()
        assert stage.reflector.age_s() == 0.0
        await elapse(600.0)
        assert 6 <= len(reader.times_s) <= 21
        stage.store.put("a")
        reader.error = None
        await elapse(100.0)
        assert stage.serves()
        assert stage.mirror.objects == stage.store.contents()
        reader.error = NotFound(404)
        reader.always = expired
        await elapse(10.0)
        assert not stage.serves()
        assert stage.mirror.objects == {}, "the type was taken away with all its objects"

    refused(NotFound(404), story)


def test_a_credential_refused_for_good_ends_the_process() -> None:
    async def story(stage: Stage, reader: Refusing) -> None:
        with pytest.raises(Unauthorized):
            await stage.running
        assert stage.loop.time() > 60.0

    refused(Unauthorized(401), story)


def test_a_list_from_the_past_is_refused_and_in_the_end_fatal() -> None:
    async def story(stage: Stage) -> None:
        stage.store.put("a")
        await stage.synced()
        version = stage.reflector.version
        stage.reader.always = lambda params: ("gone", 0) if "watch" in params else ("old", 0)
        with pytest.raises(Regressed):
            await stage.running
        assert stage.mirror.objects == stage.store.contents()
        assert stage.reflector.version == version
        assert stage.reflector.age_s() > 60.0

    staged(story)

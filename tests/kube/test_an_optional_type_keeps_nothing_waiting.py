"""Types that may not be there: missing, forbidden, taken away, and come with the pods that need them."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping

import pytest

from scheduler.kube import wire
from scheduler.kube.reflector import Reflector, Timing
from scheduler.kube.transport import ApiError, Forbidden, NotFound
from simulations.faults.virtual_time import elapse, run_virtually
from tests.kube.mirror import Mirror
from tests.kube.store import MemoryReader, Store
from tests.kube.test_a_watch_is_never_trusted_for_long import PATH, Refusing, expired

V1, V2, V3 = PATH, PATH.replace("/v1/", "/v2/"), PATH.replace("/v1/", "/v3/")
MISSING_S = Timing().missing_s


class Told:
    """A type, with what it said of being readable, in order."""

    def __init__(self, reader: Refusing, *, is_optional: bool) -> None:
        self.reader = reader
        self.mirror = Mirror()
        self.said: list[str | None] = []
        self.reflector = Reflector(
            reader,
            PATH,
            wire.Namespace,
            self.mirror,
            clock=asyncio.get_running_loop().time,
            rng=random.Random(7).random,
            is_optional=is_optional,
            unreadable=self.said.append,
        )
        self.running = asyncio.create_task(self.reflector.run())


def told(
    error: ApiError | None, story: Callable[[Told], Awaitable[None]], *, is_optional: bool = True
) -> None:
    async def play() -> None:
        reader = Refusing(error or NotFound(404))
        reader.error = error
        one = Told(reader, is_optional=is_optional)
        await story(one)
        one.running.cancel()
        await asyncio.gather(one.running, return_exceptions=True)

    run_virtually(play())


def test_a_missing_type_is_known_to_be_so_at_once() -> None:
    async def story(one: Told) -> None:
        await elapse(0.5)
        assert one.reflector.synced.is_set()
        assert one.said == ["the API is not served"]
        assert one.reflector.age_s() == 0.0

    told(NotFound(404), story)


def test_a_forbidden_type_holds_the_start_up_for_seconds_and_no_longer() -> None:
    async def story(one: Told) -> None:
        await elapse(MISSING_S / 2)
        assert not one.reflector.synced.is_set(), "an API server that just started refuses for a moment"
        await elapse(2 * MISSING_S)
        assert one.reflector.synced.is_set()
        assert one.said == ["forbidden"]

    told(Forbidden(403), story)


@pytest.mark.parametrize("error", [NotFound(404), Forbidden(403)])
def test_a_type_is_found_at_once_when_somebody_asks_for_it(error: ApiError) -> None:
    async def story(one: Told) -> None:
        await elapse(3 * MISSING_S)
        assert one.reflector.looked_age_s() < 3 * MISSING_S
        one.reader.store.put("a")
        one.reader.error = None
        one.reflector.look_again()
        await elapse(0.5)
        assert one.said[-1] is None
        assert one.mirror.objects == one.reader.store.contents()

    told(error, story)


def test_asking_for_a_type_that_still_is_not_there_says_so_again() -> None:
    async def story(one: Told) -> None:
        await elapse(1.0)
        one.reflector.look_again()
        await elapse(0.5)
        assert one.said == ["the API is not served"] * 2
        assert one.reflector.looked_age_s() < 1.0

    told(NotFound(404), story)


@pytest.mark.parametrize(
    ("error", "is_optional"), [(NotFound(404), True), (Forbidden(403), True), (NotFound(404), False)]
)
def test_an_api_server_that_starts_anew_takes_no_type_away(error: ApiError, is_optional: bool) -> None:
    async def story(one: Told) -> None:
        one.reader.store.put("a")
        await elapse(1.0)
        one.reader.always = expired
        one.reader.error = error
        await elapse(MISSING_S / 2)
        assert one.said == [None]
        assert one.mirror.objects == one.reader.store.contents()
        await elapse(3 * MISSING_S)
        assert len(one.said) == 2, "refused for long, it is gone"
        assert one.mirror.objects == {}

    told(None, story, is_optional=is_optional)


class Versioned(MemoryReader):
    """Serves a type under some of its versions; ``asked`` are the paths in the order of the requests."""

    def __init__(self, *served: str) -> None:
        super().__init__(Store())
        self.served = set(served)
        self.asked: list[str] = []

    def _look(self, path: str) -> None:
        self.asked.append(path)
        if path not in self.served:
            raise NotFound(404)

    async def request(
        self, method: str, path: str, *, params: Mapping[str, str] | None = None, timeout_s: float = 10.0
    ) -> bytes:
        self._look(path)
        return await super().request(method, path, params=params, timeout_s=timeout_s)

    def stream_batches(
        self, path: str, *, params: Mapping[str, str], read_timeout_s: float
    ) -> AsyncGenerator[list[bytes], None]:
        self._look(path)
        return super().stream_batches(path, params=params, read_timeout_s=read_timeout_s)


def versioned(
    reader: Versioned, story: Callable[[Reflector[wire.Namespace], Mirror], Awaitable[None]]
) -> None:
    async def play() -> None:
        mirror = Mirror()
        reflector = Reflector(
            reader,
            V1,
            wire.Namespace,
            mirror,
            clock=asyncio.get_running_loop().time,
            rng=random.Random(7).random,
            versions=(V2, V3),
        )
        running = asyncio.create_task(reflector.run())
        await story(reflector, mirror)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    run_virtually(play())


@pytest.mark.parametrize("served", [V1, V2, V3])
def test_whichever_version_is_served_is_read_from_the_start(served: str) -> None:
    reader = Versioned(served)
    reader.store.put("a")

    async def story(reflector: Reflector[wire.Namespace], mirror: Mirror) -> None:
        await elapse(0.5)
        assert reflector.synced.is_set()
        assert reflector.path == served
        assert mirror.objects == reader.store.contents()
        reader.store.put("b")
        await elapse(0.5)
        assert mirror.objects == reader.store.contents()

    versioned(reader, story)


def test_an_upgrade_that_takes_a_version_away_loses_nothing() -> None:
    reader = Versioned(V1)
    reader.store.put("a")

    async def story(reflector: Reflector[wire.Namespace], mirror: Mirror) -> None:
        await elapse(0.5)
        reader.served = {V3}
        reader.store.put("b")
        await elapse(1200.0)
        assert reflector.path == V3
        assert mirror.objects == reader.store.contents()

    versioned(reader, story)


def test_of_a_type_without_any_version_each_is_asked_for_once_a_look() -> None:
    reader = Versioned()

    async def story(reflector: Reflector[wire.Namespace], mirror: Mirror) -> None:
        await elapse(10.0)
        assert reflector.synced.is_set()
        assert not reflector.is_served
        assert reader.asked == [V1, V2, V3]

    versioned(reader, story)

"""The reflector's promise: in the end, and always in order, the sink holds what the server holds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.kube.reflector import Reflector, Timing
from simulations.faults.virtual_time import elapse, run_virtually
from tests.kube.mirror import Mirror
from tests.kube.store import Fault, MemoryReader, Store

NAMES = ("a", "b", "c", "d", "e")
#: What happens on the server: a verb, a name, and how long before.
Step = tuple[str, str, float]

steps = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "put", "odd", "delete", "replace", "compact")),
        st.sampled_from(NAMES),
        st.sampled_from((0.0, 0.0, 0.005, 0.1, 3.0, 70.0)),
    ),
    max_size=25,
)
faults: st.SearchStrategy[list[Fault]] = st.lists(
    st.tuples(
        st.sampled_from(("", "cut", "end", "refuse", "stall", "replay", "expire", "old")), st.integers(0, 4)
    ),
    max_size=12,
)


def move(store: Store, verb: str, name: str) -> None:
    match verb:
        case "put":
            store.put(name)
        case "odd":
            store.put(name, is_odd=True)
        case "delete":
            store.delete(name)
        case "replace":
            store.delete(name)
            store.put(name)
        case "compact":
            store.compact()


async def follow(story: Sequence[Step], broken: list[Fault], seed: int) -> tuple[Store, Mirror]:
    """Run the story under a reflector, then give it time without faults."""
    store, mirror = Store(), Mirror()
    loop = asyncio.get_running_loop()
    reflector = Reflector(
        MemoryReader(store, faults=broken),
        "/api/v1/namespaces",
        wire.Namespace,
        mirror,
        clock=loop.time,
        rng=random.Random(seed).random,
        timing=Timing(page=2),
    )
    running = asyncio.create_task(reflector.run())
    newest = 0
    for verb, name, after_s in story:
        await elapse(after_s)
        move(store, verb, name)
        assert reflector.version >= newest, "the view went back in time"
        newest = reflector.version
    await elapse(300.0)
    assert reflector.synced.is_set()
    assert reflector.age_s() < 5.0
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    return store, mirror


@settings(max_examples=80, deadline=None)
@given(story=steps, broken=faults, seed=st.integers(0, 2**16))
def test_the_sink_ends_with_the_servers_objects(story: list[Step], broken: list[Fault], seed: int) -> None:
    store, mirror = run_virtually(follow(story, broken, seed))
    assert mirror.objects == store.contents()

"""The view's bookkeeping alone: lists and events of a history, in every order a network may bring them."""

from __future__ import annotations

import contextlib

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from scheduler.kube import wire
from scheduler.kube.decoding import Change, Decoded, ObjectDecoder, Undecodable
from scheduler.kube.reflector import Regressed
from scheduler.kube.view import View
from tests.kube.mirror import Mirror
from tests.kube.store import FIRST_REVISION, Store

#: A change of the server, or what the client gets to see of it.
Step = tuple[str, str]

steps = st.lists(
    st.tuples(
        st.sampled_from(("put", "put", "odd", "delete", "replace", "list", "old list", "watch", "replay")),
        st.sampled_from(("a", "b", "c")),
    ),
    max_size=30,
)


class Stage:
    """A server with its history, and a client's view of it."""

    def __init__(self) -> None:
        self.store = Store()
        self.mirror = Mirror()
        self.view: View[wire.Namespace] = View(self.mirror)
        self.decoder = ObjectDecoder(wire.Namespace)

    def list_now(self, *, page: int = 2, revision: int | None = None) -> None:
        token = "" if revision is None else f"{revision}:0"
        is_first = True
        while token or is_first:
            found = self.decoder.page(self.store.page(limit=page, token=token))
            if is_first:
                self.view.open_list(found.version)
            is_first = False
            self.view.add_page(found.items)
            token = found.token
        self.view.close_list()

    def watch_from(self, revision: int) -> None:
        """All events after a revision, in one batch."""
        for line in self.store.events_after(revision):
            event = self.decoder.event(line)
            assert isinstance(event, Change)
            self.view.apply(event)
        self.view.deliver()

    def step(self, verb: str, name: str) -> None:
        match verb:
            case "put":
                self.store.put(name)
            case "odd":
                self.store.put(name, is_odd=True)
            case "delete":
                self.store.delete(name)
            case "replace":
                self.store.delete(name)
                self.store.put(name)
            case "list":
                self.list_now()
            case "old list":
                with contextlib.suppress(Regressed):
                    self.list_now(revision=FIRST_REVISION)
            case "watch":
                self.watch_from(self.view.version)
            case "replay":
                self.watch_from(FIRST_REVISION)


@settings(max_examples=300, deadline=None)
@given(story=steps)
@example(story=[("put", "a"), ("list", ""), ("replace", "a"), ("list", "")])
@example(story=[("list", ""), ("put", "a"), ("delete", "a"), ("watch", ""), ("replay", "")])
@example(story=[("list", ""), ("odd", "a"), ("put", "a"), ("delete", "a"), ("watch", "")])
def test_in_order_and_in_the_end_the_same(story: list[Step]) -> None:
    stage = Stage()
    stage.list_now()
    for verb, name in story:
        before = stage.view.version
        stage.step(verb, name)
        assert stage.view.version >= before
    stage.watch_from(stage.view.version)
    assert stage.mirror.objects == stage.store.contents()
    assert stage.mirror.odd_names == stage.store.odd_names()
    stage.list_now(page=500)
    assert stage.mirror.objects == stage.store.contents()
    assert len(stage.view) == len(stage.mirror.objects)
    stage.view.clear()
    assert stage.mirror.objects == {}


@given(story=steps)
def test_a_list_that_brings_nothing_new_tells_nothing(story: list[Step]) -> None:
    stage = Stage()
    for verb, name in story:
        stage.step(verb, name)
    stage.list_now()
    calls = stage.mirror.calls
    stage.list_now()
    stage.view.advance(stage.view.version + 5)
    assert stage.mirror.calls == calls


def test_a_list_older_than_the_view_is_refused_and_changes_nothing() -> None:
    stage = Stage()
    stage.store.put("a")
    stage.list_now()
    with pytest.raises(Regressed):
        stage.list_now(revision=FIRST_REVISION)
    assert stage.mirror.objects == stage.store.contents()


def test_the_end_of_a_namesake_that_cannot_be_read_ends_nothing() -> None:
    stage = Stage()
    stage.store.put("a")
    stage.list_now()
    odd = Undecodable(namespace="", name="a", uid="another", version=0, reason="unreadable")
    stage.view.apply(Change("DELETED", odd))
    stage.view.deliver()
    assert stage.mirror.objects == stage.store.contents()


def test_a_burst_is_one_call() -> None:
    stage = Stage()
    stage.list_now()
    calls = stage.mirror.calls
    for n in range(1000):
        found = wire.Namespace(wire.Metadata(name=f"n{n}", uid=f"u{n}", resource_version=str(1000 + n)))
        stage.view.apply(Change("ADDED", Decoded(found, 1000 + n)))
    again = msgspec.structs.replace(found.metadata, resource_version="5000")
    stage.view.apply(Change("MODIFIED", Decoded(wire.Namespace(again), 5000)))
    stage.view.deliver()
    assert stage.mirror.calls == calls + 1
    assert stage.mirror.puts == 1001

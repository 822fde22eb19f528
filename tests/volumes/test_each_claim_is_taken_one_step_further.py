"""What is to be done for one claim, and the one write that does it, whatever becomes of its answer."""

from __future__ import annotations

import asyncio
import random
from dataclasses import replace

import pytest

from scheduler.live.storage_feeds import StorageFeeds
from scheduler.live.volume_writes import Again, NotOurs, Outcome, Refused, VolumeWriter, Written
from scheduler.model.volumes import Claim, Claims, PersistentVolume
from scheduler.predicates.mounts import is_for
from scheduler.state import ClusterState
from scheduler.volumes.provide import (
    GIVEN_UP,
    Adopt,
    Asked,
    Fail,
    Ready,
    Select,
    Step,
    Take,
    Wait,
    offers,
    step,
    wanted_of,
)
from simulations.faults import server as api
from simulations.faults.network import Link
from simulations.faults.server import Server
from simulations.faults.storage import CLAIMS, SELECTED, VOLUMES
from simulations.faults.store import Json, Store
from simulations.faults.story import Story
from simulations.faults.virtual_time import run_virtually
from simulations.faults.weather import Fate, Weather
from tests.builders import node
from tests.volumes.storage import HOST, LATE, LOCAL, claim, near, volume

HERE = node("n0")
OPEN = claim("data")
VOLUME = volume("v0", near(HOST, "n0"))
ASKED = Asked(node="n0", version=5)


def known(found: Claim, *volumes: PersistentVolume) -> Claims:
    return Claims(
        claims={found.key: found},
        volumes={v.name: v for v in volumes},
        classes={c.name: c for c in (LATE, LOCAL)},
    )


def of(found: Claim, *volumes: PersistentVolume, asked: Asked | None = None) -> Step:
    claims = known(found, *volumes)
    wanted = wanted_of(found, claims)
    asking = {} if wanted is None else {found.key: (wanted, HERE)}
    return step(found, HERE, claims, asked, offers(asking, claims, ()).get(found.key))


def at(version: int, **fields: object) -> Claim:
    return replace(OPEN, resource_version=str(version), **fields)  # type: ignore[arg-type] # fields of Claim by name


def test_a_claim_without_anything_names_its_node_or_takes_what_is_there() -> None:
    assert of(OPEN) == Select()
    local = replace(OPEN, storage_class="local")
    assert of(local, VOLUME) == Take(VOLUME)
    assert of(local, replace(VOLUME, node_terms=near(HOST, "n1"))) == Select()
    assert of(local, replace(VOLUME, size=0)) == Select()


def test_what_is_written_already_is_waited_for_whoever_wrote_it() -> None:
    assert of(at(3, selected_node="n0")) == Adopt(Asked(node="n0", version=3))
    ours = replace(VOLUME, claim=("team", "data", OPEN.uid), resource_version="7")
    local = replace(OPEN, storage_class="local")
    assert of(local, ours) == Adopt(Asked(node="n0", version=7, volume="v0"))
    assert of(at(3, is_prebound=True)) == Wait()
    assert isinstance(of(at(3, selected_node="n1")), Fail)


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (at(4), Wait()),
        (at(5, selected_node="n0"), Wait()),
        (at(9, selected_node="n0"), Wait()),
        (at(6, is_prebound=True), Wait()),
        (at(6), Fail(f"could not be provisioned for node n0: {GIVEN_UP}", spent=GIVEN_UP)),
        (at(6, selected_node="n1"), Fail("is to be provisioned for node n1 by somebody else's word")),
        (at(6, is_deleting=True), Fail("is being deleted")),
    ],
)
def test_a_provisioner_is_waited_for_until_it_gives_up(found: Claim, expected: Step) -> None:
    assert of(found, asked=ASKED) == expected


def test_a_volume_has_to_be_bound_and_in_reach() -> None:
    bound = at(6, volume="v0")
    assert of(bound, asked=ASKED) == Wait(), "the claim's watch may be faster than the volume's"
    assert of(bound, VOLUME, asked=ASKED) == Ready()
    assert of(bound, replace(VOLUME, node_terms=near(HOST, "n1")), asked=ASKED) == Fail(
        "got volume v0, which node n0 does not reach"
    )
    assert step(None, HERE, Claims(), ASKED) == Fail("is gone")


def test_a_volume_that_goes_to_somebody_else_is_not_waited_for() -> None:
    asked = Asked(node="n0", version=5, volume="v0")
    local = replace(OPEN, storage_class="local")
    ours = replace(VOLUME, claim=("team", "data", OPEN.uid), resource_version="5")
    assert of(local, ours, asked=asked) == Wait()
    assert of(local, replace(VOLUME, resource_version="4"), asked=asked) == Wait()
    theirs = replace(ours, claim=("team", "data", "an-earlier-one"), resource_version="6")
    assert not is_for(theirs, local)
    assert isinstance(of(local, theirs, asked=asked), Fail)
    assert isinstance(of(local, asked=asked), Fail)


class Desk:
    """A writer on an in-memory API server, whose first request meets ``fate``."""

    def __init__(self, fate: Fate, *, may_act: bool = True) -> None:
        clock = asyncio.get_running_loop().time
        self.store = Store(clock, api.SERVED)
        self.state = ClusterState("stowplan")
        self.feeds = StorageFeeds(self.state)
        story = Story(clock)
        weather = Weather(spells=(), odds={fate: 1.0} if fate != "ok" else {}, until_s=0.0005, delay_s=0.001)
        link = Link(
            Server(self.store, clock, is_fenced=False),
            "a",
            chance=random.Random(1),
            weather=weather,
            story=story,
            sending=lambda link, call: None,
        )
        self.writer = VolumeWriter(link, self.feeds, may_act=lambda: may_act, write_timeout_s=1.0)
        spec: Json = {"storageClassName": "late", "resources": {"requests": {"storage": "1Gi"}}}
        self.store.create(CLAIMS, {"metadata": {"namespace": "team", "name": "data"}, "spec": spec})
        self.store.create(VOLUMES, {"metadata": {"name": "v0"}, "spec": {"capacity": {"storage": "1Gi"}}})
        self.look()

    def look(self) -> None:
        """The watch shows everything."""
        claim = self.store.at(CLAIMS).objects[("team", "data")].raw
        volume = self.store.at(VOLUMES).objects[("", "v0")].raw
        self.feeds.claims.put([self.writer._claim.decode(claim)])
        self.feeds.volumes.put([self.writer._volume.decode(volume)])

    @property
    def claim(self) -> Claim:
        return self.state.claims.claims[("team", "data")]

    def named(self) -> str | None:
        words = self.store.at(CLAIMS).objects[("team", "data")].read()["metadata"].get("annotations") or {}
        node: str | None = words.get(SELECTED)
        return node


def on(fate: Fate, *, may_act: bool = True) -> tuple[Outcome, str | None, str]:
    """What one ``select`` comes to; the node named at the API server, and the one that the state knows."""

    async def main() -> tuple[Outcome, str | None, str]:
        desk = Desk(fate, may_act=may_act)
        outcome = await desk.writer.select(desk.claim, "n0")
        return outcome, desk.named(), desk.claim.selected_node

    return run_virtually(main())


def test_a_write_shows_what_it_did() -> None:
    outcome, named, seen = on("ok")
    assert isinstance(outcome, Written)
    assert (named, seen) == ("n0", "n0")


@pytest.mark.parametrize("fate", ["loses", "vanishes"])
def test_an_unknown_outcome_is_read_before_anything_else(fate: Fate) -> None:
    outcome, named, seen = on(fate)
    assert outcome == Again(0.0)
    assert (named or "") == seen


@pytest.mark.parametrize("fate", ["refused", 429, 503])
def test_what_certainly_did_not_land_is_tried_again_later(fate: Fate) -> None:
    outcome, named, _ = on(fate)
    assert isinstance(outcome, Again)
    assert outcome.after_s > 0
    assert named is None


def test_without_the_lease_nothing_is_sent() -> None:
    assert on("ok", may_act=False) == (NotOurs(), None, "")


def test_a_claim_that_changed_meanwhile_is_read_and_left_alone() -> None:
    async def main() -> None:
        desk = Desk("ok")
        before = desk.claim
        desk.store.change(CLAIMS, before.key, lambda c: c["metadata"].update(annotations={SELECTED: "n1"}))
        assert await desk.writer.select(before, "n0") == Again(0.0)
        assert (desk.named(), desk.claim.selected_node) == ("n1", "n1")
        desk.store.remove(CLAIMS, before.key)
        assert isinstance(await desk.writer.select(before, "n0"), Refused)

    run_virtually(main())


def test_a_volume_is_set_aside_for_one_claim() -> None:
    async def main() -> None:
        desk = Desk("ok")
        found = desk.state.claims.volumes["v0"]
        assert isinstance(await desk.writer.take(found, desk.claim), Written)
        assert is_for(desk.state.claims.volumes["v0"], desk.claim)
        other = replace(desk.claim, name="other", uid="another")
        assert await desk.writer.take(found, other) == Again(0.0)
        assert is_for(desk.state.claims.volumes["v0"], desk.claim)

    run_virtually(main())

"""Gang objects as a release wrote them: today's scheduler reads them, and they are stored whole."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Final

import msgspec
import pytest
import yaml

from deploy.local.manifests import DEPLOY
from scheduler.kube import wire
from scheduler.live.claims import Claim, claim_of
from scheduler.model.gang import GangKey

Json = dict[str, Any]
#: A file for each release, never changed afterwards: versions of Gang objects as a watch showed them.
RECORDED: Final = {
    f"{file.stem} {one['metadata']['name']} {one['status']['phase']}": one
    for file in sorted((Path(__file__).parent / "written_by").glob("*.json"))
    for one in json.loads(file.read_text(encoding="utf-8"))
}
each = pytest.mark.parametrize("recorded", RECORDED.values(), ids=RECORDED.keys())


def read(recorded: Json) -> Claim | None:
    return claim_of(msgspec.json.decode(msgspec.json.encode(recorded), type=wire.Gang))


def of_a_later_release(value: Any) -> Any:
    """The same with a field more in every object of it."""
    if isinstance(value, dict):
        return {key: of_a_later_release(inner) for key, inner in value.items()} | {
            "ofALaterRelease": {"a": [1]}
        }
    return [of_a_later_release(inner) for inner in value] if isinstance(value, list) else value


def unknown(value: Any, schema: Json, path: str = "") -> list[str]:
    """Fields that an API server with this schema would drop."""
    if isinstance(value, list):
        return [told for inner in value for told in unknown(inner, schema["items"], f"{path}[]")]
    if not isinstance(value, dict) or "properties" not in schema:
        return []
    fields = schema["properties"]
    return [f"{path}.{key}" for key in value if key not in fields] + [
        told
        for key, inner in value.items()
        if key in fields
        for told in unknown(inner, fields[key], f"{path}.{key}")
    ]


def test_every_phase_of_a_gang_that_is_placed_was_recorded() -> None:
    assert {one["status"]["phase"] for one in RECORDED.values()} >= {"Pending", "Binding", "Bound"}


@each
def test_today_s_scheduler_reads_what_it_said(recorded: Json) -> None:
    claim = read(recorded)
    assert claim is not None
    meta, status = recorded["metadata"], recorded["status"]
    assert claim.key == GangKey(namespace=meta["namespace"], dialect="own", name=meta["name"])
    assert (claim.uid, claim.resource_version) == (meta["uid"], meta["resourceVersion"])
    assert (claim.phase, claim.epoch, claim.reason) == (status["phase"], status["epoch"], status["reason"])
    assert claim.placement == tuple(
        (place["uid"], place["pod"], place["node"]) for place in status.get("placement", ())
    )


@each
def test_fields_of_a_later_release_are_read_past(recorded: Json) -> None:
    later = of_a_later_release(recorded)
    # These two map a tenant's own words, not fields.
    later["metadata"] |= {key: recorded["metadata"][key] for key in ("labels", "annotations")}
    assert read(later) == read(recorded)


@each
def test_every_version_of_today_s_definition_keeps_every_field(recorded: Json) -> None:
    definition = yaml.safe_load((DEPLOY / "crds" / "gangs.yaml").read_text(encoding="utf-8"))
    for version in definition["spec"]["versions"]:
        status = version["schema"]["openAPIV3Schema"]["properties"]["status"]
        assert unknown(recorded["status"], status) == []
        assert unknown(of_a_later_release(recorded)["status"], status) != []

"""docs/moving-to-stowplan.md: each change it shows is the one between its manifest before and after."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest

from tests.dialects.controllers import create
from tests.dialects.examples import EXAMPLES, FOLDER, before, documents, text
from tests.dialects.recorded import metadata_of
from tests.dialects.stage import Stage

PAGE: Final = FOLDER.parent / "moving-to-stowplan.md"
_CHANGE: Final = re.compile(
    r"^```diff\n(.*?)^```\n\nThe whole file: \[[^]]+\]\(examples/([^)]+)\)", re.M | re.S
)
_LINK: Final = re.compile(r"\]\(([^)#:]+)\)")
_MARK: Final = re.compile(r" # (added|was: (.+))$", re.M)

CHANGES: Final = {file: change for change, file in _CHANGE.findall(PAGE.read_text(encoding="utf-8"))}


def test_the_page_shows_a_change_for_each_of_the_four() -> None:
    assert {file.partition("/")[0] for file in CHANGES} == {"job", "volcano", "kai", "kueue"}
    assert set(CHANGES) <= set(EXAMPLES)
    assert PAGE.read_text(encoding="utf-8").count("```diff") == len(CHANGES)


@pytest.mark.parametrize("file", CHANGES)
def test_the_change_leads_from_what_was_to_the_example(file: str) -> None:
    lines = CHANGES[file].splitlines()
    after = "\n".join(line[1:] for line in lines if not line.startswith("-"))
    was = [line[1:].strip() for line in lines if line.startswith("-")]
    assert f"\n{after}\n" in _MARK.sub("", text(file))
    marks = {f"schedulerName: {name}" for _, name in _MARK.findall(text(file)) if name}
    assert set(was) == marks


@pytest.mark.parametrize("file", EXAMPLES)
def test_before_the_change_no_pod_is_ours(file: str) -> None:
    created = create(documents(before(text(file))))
    stage = Stage(nodes=8)
    for made in created.objects:
        stage.give(made)
    for body in (*created.pods, *created.late):
        stage.arrive(body)
    assert not stage.plan().places
    assert {stage.state.gang_of(str(metadata_of(body)["uid"])) for body in created.pods} == {None}


@pytest.mark.parametrize("page", sorted(FOLDER.parent.glob("*.md")), ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text(encoding="utf-8")):
        assert (page.parent / target).exists(), target

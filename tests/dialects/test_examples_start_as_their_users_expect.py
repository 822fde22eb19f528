"""docs/examples: the pods that each controller makes of these very manifests start together, or alone."""

from __future__ import annotations

import random
import re
from collections import Counter
from collections.abc import Iterable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scheduler.gangs.registry import DIALECT_NAMES
from scheduler.model.gang import GangKey
from tests.dialects.controllers import Created, Manifest, create
from tests.dialects.examples import EXAMPLES, FOLDER, NO_GANGS, WITH_KEYS, Start, documents, text
from tests.dialects.recorded import Body, Made, metadata_of
from tests.dialects.stage import Stage

NODES = 8
OURS = re.compile(r"^ *schedulerName: stowplan # (added|was: .+)$")


def test_every_dialect_has_an_example_and_every_file_is_tried() -> None:
    folders = {path.name for path in FOLDER.iterdir() if path.is_dir()} - {"clusters"}
    assert folders == {*DIALECT_NAMES, *NO_GANGS}
    files = {str(path.relative_to(FOLDER)) for name in folders for path in (FOLDER / name).iterdir()}
    assert files == set(EXAMPLES)


@pytest.mark.parametrize("file", EXAMPLES)
@settings(max_examples=4, deadline=None)
@given(shuffle=st.randoms(use_true_random=False))
def test_what_the_manifest_makes_starts_together(file: str, shuffle: random.Random) -> None:
    assert faults(documents(text(file)), EXAMPLES[file], shuffle) == []


@pytest.mark.parametrize("file", EXAMPLES)
def test_without_any_one_of_its_lines_for_the_scheduler_it_does_not(file: str) -> None:
    lines = text(file).splitlines(keepends=True)
    ours = [i for i, line in enumerate(lines) if "schedulerName" in line]
    assert ours
    for i in ours:
        less = "".join(lines[:i] + lines[i + 1 :])
        assert faults(documents(less), EXAMPLES[file], random.Random(i))


@pytest.mark.parametrize("file", [file for file in EXAMPLES if not file.startswith("own/")])
def test_nothing_but_the_scheduler_is_named(file: str) -> None:
    """One line a pod template, marked as what changes, unless a project has no word for a gang."""
    named = [line for line in text(file).splitlines() if "schedulerName" in line]
    assert all(OURS.match(line) for line in named)
    assert ("stowplan.dev/" in text(file)) <= (file.partition("/")[0] in WITH_KEYS)


def faults(manifests: Sequence[Manifest], expected: Sequence[Start], shuffle: random.Random) -> list[str]:
    """What becomes of the manifests otherwise than expected, pods and objects coming in any order."""
    created = create(manifests)
    everything = Stage(nodes=NODES)
    _arrive(everything, [*created.objects, *created.pods, *created.late])
    sizes: Counter[GangKey] = Counter()
    late: Counter[GangKey] = Counter()
    for body in (*created.pods, *created.late):
        key = everything.state.gang_of(str(metadata_of(body)["uid"]))
        if key is None:
            return [
                f"{metadata_of(body)['name']} is not scheduled by stowplan: {everything.state.rejected()}"
            ]
        sizes[key] += 1
        late[key] += body in created.late
    found = sorted((key.dialect, sizes[key]) for key in sizes)
    wanted = sorted((start.dialect, start.pods + start.late) for start in expected)
    if found != wanted:
        return [f"gangs {found}, expected {wanted}"]
    starts = {(start.dialect, start.pods + start.late): start for start in expected}
    return _played(created, {key: starts[key.dialect, count] for key, count in sizes.items()}, shuffle)


def _played(created: Created, starts: dict[GangKey, Start], shuffle: random.Random) -> list[str]:
    stage = Stage(nodes=NODES)
    wrong: list[str] = []
    waves: list[list[Made | Body]] = [[*created.objects, *created.pods], list(created.late)]
    for wave in waves:
        shuffle.shuffle(wave)
        for event in wave:
            _arrive(stage, [event])
            stage.plan()
            bound = _bound(stage)
            for key, start in starts.items():
                allowed = {0, *range(start.minimum, start.pods + 1), start.pods + start.late}
                if bound[key] not in allowed:
                    wrong.append(f"{key}: {bound[key]} bound, allowed {sorted(allowed)}")
            if stage.state.partial():
                wrong.append(f"partly bound: {stage.state.partial()}")
    bound = _bound(stage)
    return wrong + [
        f"{key}: {bound[key]} of {start.pods + start.late} bound in the end"
        for key, start in starts.items()
        if bound[key] != start.pods + start.late
    ]


def _bound(stage: Stage) -> Counter[GangKey]:
    keys = (stage.state.gang_of(stage.pod(name).uid) for name in stage.bound)
    return Counter(key for key in keys if key is not None)


def _arrive(stage: Stage, events: Iterable[Made | Body]) -> None:
    for event in events:
        if isinstance(event, Made):
            stage.give(event)
        else:
            stage.arrive(event)

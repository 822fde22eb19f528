"""The search for guards that a long course shows: what a course tells is read, and known seeds are left out."""

from __future__ import annotations

from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from simulations.life.course import subjects
from tests.mutations.courses import ABOUT, COURSES, GUARDS, NAMES, ROOT, Found, _lived, _stretches


@given(st.integers(0, 50), st.sets(st.integers(0, 49)))
def test_every_seed_is_lived_but_those_left_out(count: int, without: set[int]) -> None:
    inside = sorted(seed for seed in without if seed < count)
    lived = [seed for stretch in _stretches(count, inside) for seed in stretch]
    assert lived == [seed for seed in range(count) if seed not in without]


def _tree(folder: Path, says: str) -> Path:
    package = folder / "simulations" / "life"
    package.mkdir(parents=True)
    for at in (package, package.parent):
        (at / "__init__.py").touch()
    (package / "__main__.py").write_text(says, encoding="utf-8")
    return folder


def test_what_courses_tell_is_read(tmp_path: Path) -> None:
    told = "course 7: 1 s\\n{'safety': 0, 'idle_holes': 2, 'process_ends': 1} in [4, 7]"
    tree = _tree(tmp_path, f'print("""{told}""")')
    assert _lived(tree, range(8), goes_on=True) == Found(seeds=(4, 7), kinds=("idle_holes", "process_ends"))


def test_courses_that_come_to_no_end_are_no_clean_ones(tmp_path: Path) -> None:
    found = _lived(_tree(tmp_path, "raise SystemExit('broken')"), range(8), goes_on=True)
    assert found.fault == "ends with 1: broken"


def test_a_course_of_the_tree_as_it_is_can_be_read() -> None:
    found = _lived(ROOT, range(1), goes_on=False)
    assert not found.fault
    assert not found.seeds


def test_each_matter_of_a_guard_is_that_of_some_course() -> None:
    met = {about for seed in range(COURSES) for about in subjects(seed)}
    assert ABOUT.keys() <= met
    assert {guard.name for guard in GUARDS} == NAMES.keys()

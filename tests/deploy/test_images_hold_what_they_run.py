"""The Dockerfile, its locks and its bases, as far as they can be judged without an image registry."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from deploy.image import bases, contents

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "image"
DOCKERFILE = FOLDER / "Dockerfile"
#: What each image's command imports, all of it.
ENTRIES = {
    "scheduler": ("scheduler.cli.commands", "scheduler.live.run", "scheduler.cli.start", "uvloop"),
    "agent": ("scheduler.cli.agent", "scheduler.cli.main", "pynvml"),
}


_TOLD = """
import importlib, json, re, sys
from importlib.metadata import packages_distributions
names, allowed = json.loads(sys.argv[1]), set(json.loads(sys.argv[2]))
owners = packages_distributions()

class OnlyTheLock:
    def __init__(self, finders):
        self.finders = finders

    def find_spec(self, name, path=None, target=None):
        mine = {re.sub("[-_.]+", "-", owner).lower() for owner in owners.get(name.partition(".")[0], ())}
        if mine and not mine & allowed:
            return None
        found = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((one for one in found if one is not None), None)

sys.meta_path[:] = [OnlyTheLock(list(sys.meta_path))]
for name in names:
    importlib.import_module(name)
"""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked(file: Path) -> dict[str, str]:
    """Version by package; each with at least one hash."""
    found = {}
    for line in file.read_text(encoding="utf-8").splitlines():
        if pin := re.match(r"([A-Za-z0-9][\w.-]*)==(\S+)", line):
            found[normal(pin[1])] = pin[2]
    return found


def test_hadolint_finds_nothing_to_say() -> None:
    tool = Path(sys.executable).with_name("hadolint")
    command = [str(tool), "--failure-threshold", "style", str(DOCKERFILE)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_both_images_run_as_nobody_in_particular() -> None:
    text = DOCKERFILE.read_text(encoding="utf-8")
    parent = dict(re.findall(r"^FROM (\S+) AS (\S+)$", text, re.M))
    stages = {name: base for base, name in re.findall(r"^FROM (\S+) AS (\S+)$", text, re.M)}
    assert parent
    assert {stages[target] for target in contents.TARGETS} == {"base"}
    (base,) = re.findall(r"^FROM \S+ AS base$.*?(?=^FROM )", text, re.M | re.S)
    # The chart asks for the same: tests/deploy/test_the_chart_schedules_gangs.py.
    assert re.findall(r"^USER (.*)$", text, re.M) == ["65532:65532"]
    assert "USER 65532:65532" in base
    assert {one for one in stages.values() if not one.startswith("$")} == {"base"}


@pytest.mark.parametrize("target", contents.TARGETS)
def test_an_image_has_all_that_its_command_imports(target: str) -> None:
    """Its modules are imported where everything that its lock does not name is out of reach."""
    allowed = [*locked(contents.lock_of(target)), "stowplan"]
    command = [sys.executable, "-c", _TOLD, json.dumps(ENTRIES[target]), json.dumps(allowed)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("name", [*contents.TARGETS, "build"])
def test_the_images_hold_the_versions_that_were_tested(name: str) -> None:
    tested = locked(ROOT / "requirements.lock")
    image = locked(FOLDER / f"{name}.lock")
    assert image
    assert {package: version for package, version in image.items() if tested.get(package) != version} == {}


def test_the_agent_has_no_solver() -> None:
    heavy = {"ortools", "numpy", "pandas", "kubernetes", "pydantic", "typer", "rich"}
    assert heavy & set(locked(contents.lock_of("agent"))) == set()
    assert heavy - {"pandas"} <= set(locked(contents.lock_of("scheduler")))


@given(st.text("abcdef0123456789", min_size=64, max_size=64))
def test_only_a_whole_digest_is_a_pin(digest: str) -> None:
    found = {
        "PINNED": f"python:3.13-slim@sha256:{digest}",
        "BARE": f"registry.example/python@sha256:{digest}",
        "SHORT": f"python@sha256:{digest[:63]}",
        "TAG": "python:3.13-slim",
        "OTHER": f"python@md5:{digest}",
        "UPPER": f"python@sha256:{digest[:63]}G",
    }
    text = "".join(f"{name}={image}\n" for name, image in found.items())
    assert bases.unpinned(bases.read(text)) == ["SHORT", "TAG", "OTHER", "UPPER"]


def test_a_release_from_a_tag_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "bases.env"
    file.write_text("# why\nPYTHON_IMAGE=python:3.13-slim\n")
    assert bases.main(["--file", str(file)]) == 1
    told = capsys.readouterr()
    assert told.out == ""
    assert "PYTHON_IMAGE=python:3.13-slim is no digest; add @sha256:..." in told.err
    assert bases.main(["--file", str(file), "--unpinned"]) == 0
    assert capsys.readouterr().out == "--build-arg=PYTHON_IMAGE=python:3.13-slim\n"
    for wrong in ("PYTHON_IMAGE", "python=x", "A=", "A=b\nA=c", "A= b"):
        file.write_text(wrong)
        assert bases.main(["--file", str(file)]) == 1
        assert "line " in capsys.readouterr().err


def test_the_dockerfile_is_built_on_the_pinned_bases(capsys: pytest.CaptureFixture[str]) -> None:
    said = dict(re.findall(r"^ARG (\w+)=(\S+)$", DOCKERFILE.read_text(encoding="utf-8"), re.M))
    assert said == bases.read(bases.FILE.read_text(encoding="utf-8")) != {}
    assert bases.main([]) == 0
    assert capsys.readouterr().out.count("--build-arg=") == len(said)


def test_licences_are_read_from_the_description() -> None:
    described = {
        "components": [
            {
                "name": "b",
                "version": "2",
                "licenses": [{"license": {"id": "MIT"}}, {"license": {"id": "MIT"}}],
            },
            {"name": "a", "version": "1", "licenses": [{"expression": "Apache-2.0 OR MIT"}]},
            {"name": "c", "version": "3", "licenses": [{"license": {"name": "BSD License\nand a text"}}]},
            {"name": "d"},
        ]
    }
    found = contents.packages(described)
    assert [(one.name, *one.licences) for one in found] == [
        ("a", "Apache-2.0 OR MIT"), ("b", "MIT"), ("c", "BSD License"), ("d", contents.UNKNOWN),
    ]  # fmt: skip
    assert "| b | 2 | MIT |\n" in contents.page("agent", found)


@pytest.mark.parametrize(
    "file", sorted((ROOT / ".github" / "workflows").glob("*")), ids=lambda file: file.name
)
def test_workflows_run_only_what_is_pinned_and_need_no_rights(file: Path) -> None:
    document = yaml.safe_load(file.read_text(encoding="utf-8"))
    assert document["permissions"] == {}
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    for job in document["jobs"].values():
        assert job["permissions"] == {"contents": "read"}
        for step in job["steps"]:
            if "uses" in step:
                assert re.fullmatch(r"[\w/-]+@[0-9a-f]{40}", step["uses"]), step
            for target in re.findall(r"\bmake ([a-z-]+)", step.get("run", "")):
                assert f"\n{target}:" in makefile

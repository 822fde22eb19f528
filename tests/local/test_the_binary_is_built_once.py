"""Building, with a ``go`` on PATH that writes down how it was called instead of compiling for minutes."""

from __future__ import annotations

import os
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local import build, toolchain
from deploy.local.build import cached_binary, content_hash, ensure_binary
from deploy.local.errors import BuildFailed

PARTS = ("go.mod", "go.sum", "main.go")
GO = """#!/bin/sh
here=$(dirname "$0")
case "$1" in
  env) echo "$(cat $here/version)" ;;
  mod) echo "fetched one" >&2 ;;
  list) printf 'a\\nb\\nc\\n' ;;
  build)
    echo "$@" >> $here/builds
    echo "a" >&2; echo "b" >&2
    if [ -e $here/broken ]; then echo "main.go:1:1: syntax error" >&2; exit 1; fi
    while [ "$1" != -o ]; do shift; done
    echo binary > "$2" ;;
esac
"""


class Told:
    """A Watcher that keeps what it is told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.steps = 0

    def stage(self, name: str, total: int | None = None) -> None:
        self.stages.append((name, total))

    def step(self) -> None:
        self.steps += 1


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the ``go`` on PATH; ``version``, ``broken`` and ``builds`` lie beside it."""
    folder = tmp_path / "bin"
    folder.mkdir()
    (folder / "go").write_text(GO)
    (folder / "go").chmod(0o755)
    (folder / "version").write_text("go1.26.99")
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setenv("STOWPLAN_CACHE", str(tmp_path / "cache"))
    return folder


def _builds(go: Path) -> int:
    return len((go / "builds").read_text().splitlines()) if (go / "builds").exists() else 0


def test_many_builders_build_once(go: Path) -> None:
    assert cached_binary() is None
    with ThreadPoolExecutor(6) as pool:
        binaries = set(pool.map(lambda _: ensure_binary(), range(6)))
    assert _builds(go) == 1
    assert binaries == {cached_binary()}
    assert binaries.pop().read_text() == "binary\n"


def test_progress_is_told_by_packages(go: Path) -> None:
    told = Told()
    ensure_binary(told)
    assert told.stages == [("fetching Go modules", None), ("compiling", 3)]
    assert told.steps == 3
    ensure_binary(told)
    assert len(told.stages) == 2


def test_a_failed_build_leaves_nothing_and_says_why(go: Path) -> None:
    (go / "broken").touch()
    with pytest.raises(BuildFailed, match=r"main\.go:1:1: syntax error"):
        ensure_binary()
    assert cached_binary() is None
    left = [p.name for p in (go.parent / "cache" / "controlplane").iterdir() if p.suffix != ".lock"]
    assert left == []
    (go / "broken").unlink()
    assert ensure_binary() == cached_binary()


def test_another_compiler_is_another_binary(go: Path) -> None:
    first = ensure_binary()
    (go / "version").write_text("go1.27.0")
    assert ensure_binary() != first
    assert _builds(go) == 2


@pytest.mark.parametrize("version", ["go1.25.9", "go1.9", "devel", ""])
def test_a_compiler_too_old_gives_way_to_the_wheel(go: Path, version: str) -> None:
    (go / "version").write_text(version)
    chosen = toolchain.choose()
    assert chosen.go is None
    assert chosen.version == f"go{toolchain.WHEEL_VERSION}"


@pytest.mark.parametrize("version", ["go1.26.0", "go1.26rc1", "go1.100.2", "go2.0"])
def test_a_compiler_new_enough_is_used(go: Path, version: str) -> None:
    (go / "version").write_text(version)
    assert toolchain.choose() == toolchain.Toolchain(version=version, go=go / "go")


@given(part=st.sampled_from(PARTS), extra=st.binary(min_size=1, max_size=8), at=st.integers(0, 200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=40)
def test_each_byte_of_the_source_counts(tmp_path: Path, part: str, extra: bytes, at: int) -> None:
    module = tmp_path / "module"
    shutil.copytree(build.MODULE, module, dirs_exist_ok=True)
    before = content_hash(module, "go1.26.0")
    file = module / part
    content = file.read_bytes()
    file.write_bytes(content[:at] + extra + content[at:])
    assert content_hash(module, "go1.26.0") != before
    file.write_bytes(content)
    assert content_hash(module, "go1.26.0") == before


def test_a_byte_that_moves_between_files_counts(tmp_path: Path) -> None:
    hashes = set()
    for number, contents in enumerate([(b"a", b"bc", b""), (b"ab", b"c", b""), (b"abc", b"", b"")]):
        module = tmp_path / str(number)
        module.mkdir()
        for part, content in zip(PARTS, contents, strict=True):
            (module / part).write_bytes(content)
        hashes.add(content_hash(module, "go1.26.0"))
    assert len(hashes) == 3


def test_the_module_names_the_version_that_the_binary_will_tell() -> None:
    text = (build.MODULE / "go.mod").read_text()
    assert f"k8s.io/kubernetes {build.KUBERNETES_VERSION}\n" in text
    staging = f"v0.{build.KUBERNETES_VERSION.removeprefix('v1.')}"
    replaced = [line.split()[-1] for line in text.splitlines() if " => k8s.io/" in line]
    assert len(replaced) == 33
    assert set(replaced) == {staging}

"""``stowplan local``, as its user runs it."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from scheduler.cli.local import ClusterReport
from scheduler.cli.main import main


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("STOWPLAN_STATE", str(tmp_path))
    return tmp_path


def run(*arguments: str) -> int:
    """The exit code of ``stowplan local ARGUMENTS``."""
    try:
        main(["local", *arguments])
    except SystemExit as ending:
        return ending.code if isinstance(ending.code, int) else int(ending.code is not None)
    return 0


def test_from_up_to_down(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        assert run("up", "-o", "json") == 0
        up = msgspec.json.decode(capsys.readouterr().out, type=ClusterReport)
        assert up.state == "running"
        running = {c.component: c.pid for c in up.components if c.state == "running"}
        assert set(running) == {"etcd", "kube-apiserver"}

        assert run("up", "-o", "json") == 0
        assert msgspec.json.decode(capsys.readouterr().out, type=ClusterReport) == up
        assert run("status", "-o", "json") == 0
        assert msgspec.json.decode(capsys.readouterr().out, type=ClusterReport) == up

        assert run("kubeconfig", "--as", "stowplan", "--path") == 0
        file = Path(capsys.readouterr().out.strip())
        assert run("kubeconfig", "--as", "stowplan") == 0
        assert capsys.readouterr().out == file.read_text()
        assert up.url is not None
        assert up.url in file.read_text()

        assert run("down", "--keep-data") == 0
        assert run("status") == 1
        assert "cluster default: stopped" in capsys.readouterr().out
    finally:
        assert run("down") == 0
    assert not (state / "clusters" / "default").exists()


def test_what_is_not_there_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("status", "--name", "none") == 1
    assert "cluster none: absent" in capsys.readouterr().out
    assert run("kubeconfig", "--name", "none") == 1
    assert "stowplan local up --name none" in capsys.readouterr().err
    assert run("down", "--name", "none") == 0
    assert "no cluster none" in capsys.readouterr().out


@pytest.mark.parametrize("command", ["up", "down", "status", "kubeconfig"])
@pytest.mark.parametrize("name", ["../up", "", "A", "a/b", "-a", "a" * 41, "a b", "ä"])
def test_a_name_stays_inside_its_folder(command: str, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(command, "--name", name) == 2
    assert "--name" in capsys.readouterr().err


def test_an_unknown_component_names_the_known_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("up", "--with", "kubelet") == 2
    assert "controller-manager, scheduler" in capsys.readouterr().err


def test_a_spoilt_state_file_is_named_with_the_remedy(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = state / "clusters" / "odd"
    folder.mkdir(parents=True)
    (folder / "cluster.json").write_text("{")
    assert run("status", "--name", "odd") == 1
    assert f"remove {folder} to start anew" in capsys.readouterr().err

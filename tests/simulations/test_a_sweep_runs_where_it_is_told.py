"""A sweep on a Dask cluster that is there already gives what it gives here, and says what is in the way.

Ray is not among the locked packages: of it there is here what is refused before it is asked, and the rest in
``sweep_on_ray.py``, which ``make test-ray`` runs in an environment of its own.
"""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from distributed import Client, LocalCluster, get_task_stream

from scheduler.cli.main import main

POLICY = "apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n"


def cluster(workers: int) -> LocalCluster:
    """Workers of one thread, each a process of its own, in the directory of this call."""
    return LocalCluster(  # type: ignore[no-untyped-call] # of Dask's own
        n_workers=workers, threads_per_worker=1, dashboard_address="127.0.0.1:0"
    )


@pytest.fixture(scope="module")
def dask() -> Iterator[str]:
    with cluster(2) as found:
        yield str(found.scheduler_address)


@pytest.fixture
def nobody() -> Iterator[str]:
    """An address where nobody listens, and nobody else can."""
    with socket.socket() as held:
        held.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{held.getsockname()[1]}"


@pytest.fixture
def somebody() -> Iterator[str]:
    """An address where something listens."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield f"127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Two policies on a small cluster, and a trace named as from where the command is given."""
    (tmp_path / "fifo.yaml").write_text(POLICY)
    (tmp_path / "short.yaml").write_text(POLICY + "policy: {order: shortest-service, displaces: true}\n")
    (tmp_path / "small.yaml").write_text("pools: [{name: a, count: 2, gpus: 8}]\n")
    rows = [f"{i * 10},{100 + i % 7},{1 + i % 8}" for i in range(30)]
    (tmp_path / "jobs.csv").write_text("submit_s,duration_s,gpus\n" + "\n".join(rows) + "\n")
    monkeypatch.chdir(tmp_path)
    return ["compare", "fifo.yaml", "short.yaml", "--cluster", "small.yaml", "--seeds", "3", "-o", "json"]


def answer(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    told = capsys.readouterr()
    return int(ended.value.code or 0), told.out, told.err


@pytest.mark.parametrize("load", ["jobs.csv", "poisson:jobs=30,load=1.4,largest=8"])
def test_a_dask_cluster_answers_as_this_computer_does(
    load: str, dask: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    here = answer([*asked, "--load", load, "--processes", "1"], capsys)
    with (
        Client(dask, set_as_default=False) as watching,  # type: ignore[no-untyped-call] # of Dask's own
        get_task_stream(watching) as stream,
    ):
        there = answer([*asked, "--load", load, "--backend", f"dask:{dask}"], capsys)
        workers = set(watching.scheduler_info()["workers"])
    ran = {task["worker"] for task in stream.data if "simulated" in task["key"]}
    assert (here[0], here[1]) == (there[0], there[1])
    assert here[0] == 0
    assert "short" in here[1]
    assert ran
    assert ran <= workers


def test_workers_of_another_version_are_refused(
    dask: str, asked: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulations.backends.VERSION", "0.0.1")
    code, _, said = answer([*asked, "--load", "poisson", "--backend", f"dask:{dask}"], capsys)
    assert code == 1
    assert "here is 0.0.1" in said
    assert "where it runs" in said


@pytest.mark.parametrize(
    ("backend", "expected"),
    [
        ("spark:localhost:1", "no backend 'spark:localhost:1'; give dask:HOST:PORT of a scheduler or ray:"),
        ("dask", "no backend 'dask'"),
        ("dask:nowhere", "no Dask scheduler at nowhere: not an address; give HOST:PORT"),
        ("dask:tcp://nowhere:many", "no Dask scheduler at tcp://nowhere:many: not an address"),
        ("ray:auto", "no Ray head at auto: not an address; give HOST:PORT"),
        ("ray:ray://head:10001", "no Ray head at ray://head:10001: not an address; give HOST:PORT"),
    ],
)
def test_what_is_no_backend_is_told(
    backend: str, expected: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = answer([*asked, "--load", "poisson:jobs=5", "--backend", backend], capsys)
    assert code == 1
    assert expected in said


@pytest.mark.parametrize(("name", "what"), [("dask", "Dask scheduler"), ("ray", "Ray head")])
def test_an_address_where_nobody_listens_is_told(
    name: str, what: str, nobody: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = answer([*asked, "--load", "poisson:jobs=5", "--backend", f"{name}:{nobody}"], capsys)
    assert code == 1
    assert f"no {what} at {nobody}: Connection refused; give one that runs" in said


def test_somebody_who_is_no_dask_scheduler_is_told(
    somebody: str, asked: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulations.backends.CONNECT_S", 1.0)
    code, _, said = answer([*asked, "--load", "poisson:jobs=5", "--backend", f"dask:{somebody}"], capsys)
    assert code == 1
    assert f"no Dask scheduler at {somebody}: no handshake within 1 s; give one that runs" in said


def test_ray_that_is_not_installed_is_told(
    somebody: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = answer([*asked, "--load", "poisson:jobs=5", "--backend", f"ray:{somebody}"], capsys)
    assert code == 1
    assert "ray is not installed; install ray" in said


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        (["--backend", "dask:a:1", "--processes", "2"], "--processes counts the cores here"),
        (["--backend", "dask:a:1", "--processes", "-1"], "leave one of them out"),
        (["--processes", "0"], "--processes 0: expected 1 or more, or -1 for one a core"),
    ],
)
def test_processes_are_counted_here_alone(
    more: list[str], expected: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, said = answer([*asked, "--load", "poisson:jobs=5", *more], capsys)
    assert code == 2
    assert expected in said


def test_a_dask_cluster_without_workers_is_told(
    asked: list[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("simulations.backends.CONNECT_S", 2.0)
    with cluster(0) as found:
        address = found.scheduler_address
        code, _, said = answer([*asked, "--load", "poisson:jobs=5", "--backend", f"dask:{address}"], capsys)
    assert code == 1
    assert f"no Dask worker at {address}" in said
    assert "start one: dask worker" in said


def test_a_single_thread_is_refused(asked: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    """joblib would run the sweep here instead, and say nothing."""
    with cluster(1) as found:
        address = found.scheduler_address
        code, _, said = answer([*asked, "--load", "poisson:jobs=5", "--backend", f"dask:{address}"], capsys)
    assert code == 1
    assert f"the Dask cluster at {address} has 1 thread" in said
    assert "start another worker" in said


def test_a_broken_trace_is_told_before_anything_runs(
    dask: str, asked: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    Path("jobs.csv").write_text("submit_s,duration_s,gpus\n1,2,many\n")
    code, _, said = answer([*asked, "--load", "jobs.csv", "--backend", f"dask:{dask}"], capsys)
    assert code == 2
    assert "jobs.csv:2: column gpus" in said

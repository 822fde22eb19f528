"""Arguments and files: what is plain starts fast, what is wrong is told with a remedy and an exit code."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scheduler.cli.gangs import age
from scheduler.cli.main import RUN_OPTIONS, main, run_options
from scheduler.live.config import schema
from tests.faces.board import kubeconfig

VALUES = st.from_regex(r"[A-Za-z0-9_./][-A-Za-z0-9_./]{0,20}", fullmatch=True)


def _code(arguments: list[str]) -> int:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    return int(ended.value.code or 0)


@given(st.dictionaries(st.sampled_from(RUN_OPTIONS), VALUES), st.data())
def test_a_plain_run_is_read_in_both_spellings(options: dict[str, str], data: st.DataObject) -> None:
    words = ["run"]
    for name, value in options.items():
        words += [f"{name}={value}"] if data.draw(st.booleans()) else [name, value]
    assert run_options(words) == options


@given(
    st.lists(
        st.sampled_from(["run", "--help", "--config", "--config=", "--context=a", "-x", "a"]), max_size=5
    )
)
def test_whatever_is_not_plain_is_left_to_the_parser(words: list[str]) -> None:
    options = run_options(words)
    if options is not None:
        assert words[0] == "run"
        assert set(options) <= set(RUN_OPTIONS)
        assert all(value and not value.startswith("-") for value in options.values())
        assert "--help" not in words
        assert len(words) - 1 <= 2 * len(options)


def test_a_wrong_configuration_ends_with_every_problem(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stowplan.yaml"
    file.write_text("apiVersion: v1\nkind: SchedulerConfiguration\nlog: {level: loud}\n")
    for arguments in (["config", "check", str(file)], ["run", "--config", str(file)]):
        assert _code(arguments) == 2
        lines = capsys.readouterr().err.splitlines()
        assert [line.split(": ")[:3] for line in lines] == [
            ["error", str(file), "apiVersion"],
            ["error", str(file), "log.level"],
        ]


def test_a_right_configuration_is_said_to_be_valid(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "stowplan.yaml"
    file.write_text("apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n")
    assert _code(["config", "check", str(file)]) == 0
    assert capsys.readouterr().out == f"{file}: valid\n"


def test_the_schema_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code(["config", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == schema()


def test_a_missing_kubeconfig_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["gangs"], ["why", "x"], ["doctor"], ["run"]):
        assert _code([*command, "--kubeconfig", str(tmp_path / "none")]) == 2
        assert str(tmp_path / "none") in capsys.readouterr().err


def test_an_api_server_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = kubeconfig(tmp_path, "http://127.0.0.1:9")
    assert _code(["doctor", "--kubeconfig", str(file)]) == 1
    assert "error: http://127.0.0.1:9: " in (err := capsys.readouterr().err)
    assert "is the API server up, and this its address?" in err


@pytest.mark.parametrize(
    "arguments", [["nonsense"], ["why"], ["run", "--confg", "x"], ["gangs", "-o", "xml"]]
)
def test_wrong_arguments_are_a_usage_error(arguments: list[str]) -> None:
    assert _code(arguments) == 2


def test_starting_does_not_load_what_running_does_not_need() -> None:
    """Libraries for command lines and tables, the solver and the generated client stay outside."""
    heavy = ("typer", "rich", "ortools", "kubernetes", "cryptography", "pygments")
    code = (
        "import sys; from scheduler.cli.main import main; import scheduler.cli.start, scheduler.live.run;"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    shown = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


AGES = {
    ("2026-01-01T00:00:00Z", 0): "0s",
    ("2026-01-01T00:00:00Z", 59): "59s",
    ("2026-01-01T00:00:00Z", 61): "1m1s",
    ("2026-01-01T00:00:00Z", 7205): "2h0m",
    ("2026-01-01T00:00:00Z", 90_061): "1d1h",
    ("2026-01-01T00:00:00Z", -5): "0s",
    ("", 5): "?",
    ("yesterday", 5): "?",
}


@pytest.mark.parametrize("case", AGES)
def test_an_age_has_two_units(case: tuple[str, int]) -> None:
    created, after_s = case
    assert age(created, 1_767_225_600 + after_s) == AGES[case]

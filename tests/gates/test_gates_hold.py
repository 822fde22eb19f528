"""The repository keeps its own rules, and each rule can tell."""

from __future__ import annotations

from functools import cache

import pytest

from tests.gates.files import Text, texts
from tests.gates.rules import RULES, Rule

BREACHES = {
    "a function of 71 lines": (
        "functions_are_short",
        Text("quotas/long.py", "def long() -> None:\n" + "    ...\n" * 70),
    ),
    "a module of 501 lines": ("modules_are_short", Text("quotas/long.py", "x = 1\n" * 501)),
    "a module called utils": ("modules_have_names_that_say_something", Text("quotas/utils.py", "")),
    "a package called helpers": ("modules_have_names_that_say_something", Text("quotas/helpers/a.py", "")),
    "a clock in the core": ("the_core_is_pure", Text("quotas/a.py", "import time\n")),
    "a submodule of os in the core": (
        "the_core_is_pure",
        Text("scheduler/state/cluster.py", "import os.x\n"),
    ),
    "from-import in the core": ("the_core_is_pure", Text("binpacking/a.py", "from random import Random\n")),
    "numpy's randomness in the core": ("the_core_is_pure", Text("binpacking/a.py", "np.random.seed(1)\n")),
    "the date in the core": ("the_core_is_pure", Text("scheduler/gangs/a.py", "datetime.now(UTC)\n")),
    "a file in the core": ("the_core_is_pure", Text("scheduler/parse/a.py", "open('a')\n")),
    "noqa without code": ("silenced_checks_give_a_code_and_a_reason", Text("quotas/a.py", "x = 1  # noqa\n")),
    "noqa without reason": (
        "silenced_checks_give_a_code_and_a_reason",
        Text("quotas/a.py", "x = 1  # noqa: E501\n"),
    ),
    "type: ignore without reason": (
        "silenced_checks_give_a_code_and_a_reason",
        Text("tests/a.py", "x = 1  # type: ignore[arg-type]\n"),
    ),
    "a note to oneself": ("nothing_is_left_for_later", Text("quotas/a.py", "# TODO: later\n")),
    "assert in source": ("checks_survive_optimisation", Text("scheduler/live/a.py", "assert x\n")),
    "except Exception that goes on": (
        "errors_are_not_swallowed",
        Text("scheduler/live/a.py", "try:\n    f()\nexcept (ValueError, Exception):\n    pass\n"),
    ),
    "a bare except": ("errors_are_not_swallowed", Text("deploy/a.py", "try:\n    f()\nexcept:\n    pass\n")),
    "a sleeping test": (
        "tests_neither_sleep_nor_skip_nor_mock",
        Text("tests/a.py", "import asyncio\nasyncio.sleep(0.1)\n"),
    ),
    "a skipped test": (
        "tests_neither_sleep_nor_skip_nor_mock",
        Text("tests/a.py", "@pytest.mark.skipif(True)\ndef test(): ...\n"),
    ),
    "a mock": (
        "tests_neither_sleep_nor_skip_nor_mock",
        Text("tests/a.py", "from unittest.mock import Mock\n"),
    ),
    "a registry": (
        "nothing_names_a_registry_or_a_machine",
        Text("a.lock", "url = 'https://files.pythonhosted.org/packages/x'\n"),
    ),
    "a mirror": ("nothing_names_a_registry_or_a_machine", Text("Makefile", "pip install --index-url X\n")),
    "a home directory": ("nothing_names_a_registry_or_a_machine", Text("a.md", "see /home/ada/notes\n")),
}

LAWFUL = {
    "a function of 70 lines": Text("quotas/a.py", "def long() -> None:\n" + "    ...\n" * 69),
    "a clock in a shell": Text("scheduler/live/a.py", "import time\n"),
    "a word that begins like a module": Text("quotas/a.py", "import timeit_like\n"),
    "a reasoned noqa": Text("quotas/a.py", "x = 1  # noqa: E501 - the table reads better in one line\n"),
    "a reasoned type: ignore": Text("quotas/a.py", "x = 1  # type: ignore[misc]  # untyped in the library\n"),
    "noqa inside a string": Text("quotas/a.py", "x = '# noqa'\n"),
    "assert in a test": Text("tests/a.py", "assert x\n"),
    "catching all to log and raise": Text(
        "scheduler/live/a.py", "try:\n    f()\nexcept Exception:\n    log()\n    raise\n"
    ),
    "giving way to other tasks": Text("tests/a.py", "asyncio.sleep(0)\n"),
    "a project's web page": Text("README.md", "https://kubernetes.io/docs/ and ~/.cache/stowplan\n"),
    "a relative path": Text("a.md", "shared/work/tmp is fine, and so is $HOME/tmp/x\n"),
}


@cache
def _files() -> tuple[Text, ...]:
    return tuple(texts())


def _named(name: str) -> Rule:
    return next(rule for rule in RULES if rule.__name__ == name)


@pytest.mark.parametrize("case", BREACHES)
def test_a_breach_is_found(case: str) -> None:
    rule, text = BREACHES[case]
    assert list(_named(rule)(text))


@pytest.mark.parametrize("case", LAWFUL)
def test_what_is_lawful_passes_every_gate(case: str) -> None:
    assert [finding for rule in RULES for finding in rule(LAWFUL[case])] == []


def test_every_gate_has_a_breach_that_shows_it() -> None:
    assert {rule for rule, _ in BREACHES.values()} == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
def test_the_repository_passes(rule: Rule) -> None:
    assert [str(finding) for file in _files() for finding in rule(file)] == []

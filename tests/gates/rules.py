"""The rules, each a function from one file to its findings. CONTRIBUTING.md gives the reasons."""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from tests.gates.files import Text

FUNCTION_LINES_MAX = 70
MODULE_LINES_MAX = 500

#: The core decides; shells bring time, chance, ids and the network in as arguments.
CORE = (
    "binpacking/",
    "quotas/",
    "scheduler/model/",
    "scheduler/predicates/",
    "scheduler/gangs/",
    "scheduler/parse/",
    "scheduler/explain/",
    "scheduler/state/",
    "scheduler/columns.py",
    "scheduler/translation.py",
    "scheduler/planner.py",
    "scheduler/planning/",
)
IMPURE = frozenset(
    {
        "aiohttp",
        "asyncio",
        "concurrent",
        "http",
        "kubernetes",
        "multiprocessing",
        "os",
        "random",
        "requests",
        "secrets",
        "select",
        "shutil",
        "signal",
        "socket",
        "ssl",
        "subprocess",
        "tempfile",
        "threading",
        "time",
        "urllib",
        "uuid",
    }
)
IMPURE_CALLS = frozenset({"open", "input", "eval", "exec", "breakpoint"})
IMPURE_ATTRIBUTES = frozenset({"now", "utcnow", "today", "random"})
VAGUE_NAMES = frozenset({"utils", "util", "helpers", "helper", "common", "manager", "misc"})
REASON_LENGTH_MIN = 8


@dataclass(frozen=True, order=True)
class Finding:
    path: str
    line: int
    text: str

    def __str__(self) -> str:
        return f"{self.path}:{self.line}: {self.text}"


Rule = Callable[[Text], Iterator[Finding]]


def functions_are_short(file: Text) -> Iterator[Finding]:
    if not file.is_python:
        return
    for node in ast.walk(file.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES_MAX:
                text = f"function {node.name} has {length} lines, at most {FUNCTION_LINES_MAX}"
                yield Finding(file.path, node.lineno, text)


def modules_are_short(file: Text) -> Iterator[Finding]:
    if file.is_python and len(file.lines) > MODULE_LINES_MAX:
        yield Finding(file.path, 1, f"{len(file.lines)} lines, at most {MODULE_LINES_MAX}")


def modules_have_names_that_say_something(file: Text) -> Iterator[Finding]:
    if file.is_python:
        for part in file.path.removesuffix(".py").split("/"):
            if part.strip("_") in VAGUE_NAMES:
                yield Finding(file.path, 1, f"{part!r} says nothing about what is inside")


def the_core_is_pure(file: Text) -> Iterator[Finding]:
    if not (file.is_python and file.path.startswith(CORE)):
        return
    for node in ast.walk(file.tree):
        for name in _impurities(node):
            yield Finding(file.path, getattr(node, "lineno", 1), f"the core names {name}")


def _impurities(node: ast.AST) -> Iterator[str]:
    match node:
        case ast.Import(names=names):
            yield from (alias.name for alias in names if alias.name.split(".")[0] in IMPURE)
        case ast.ImportFrom(module=str(module), level=0) if module.split(".")[0] in IMPURE:
            yield module
        case ast.Call(func=ast.Name(id=name)) if name in IMPURE_CALLS:
            yield f"{name}()"
        case ast.Attribute(value=ast.Name(id=owner), attr=attribute):
            if owner in ("datetime", "date", "np", "numpy") and attribute in IMPURE_ATTRIBUTES:
                yield f"{owner}.{attribute}"
        case _:
            return


_SILENCED = re.compile(r"#\s*(?:noqa|type:\s*ignore|pragma:)(?P<rest>.*)", re.IGNORECASE)
_CODES = re.compile(
    r"^\s*(?::\s*[A-Z]+[0-9]+(?:\s*,\s*[A-Z]+[0-9]+)*|\[[a-z-]+(?:\s*,\s*[a-z-]+)*\]|no\s+\w+)"
)


def silenced_checks_give_a_code_and_a_reason(file: Text) -> Iterator[Finding]:
    for line, comment in _comments(file):
        silenced = _SILENCED.search(comment)
        if silenced is None:
            continue
        codes = _CODES.match(silenced["rest"])
        if codes is None:
            yield Finding(file.path, line, "a check is silenced without saying which")
        elif len(silenced["rest"][codes.end() :].strip(" -#:;,")) < REASON_LENGTH_MIN:
            yield Finding(file.path, line, "a check is silenced without a written reason")


def nothing_is_left_for_later(file: Text) -> Iterator[Finding]:
    for line, comment in _comments(file):
        if re.search(r"\b(TODO|FIXME|XXX|HACK)\b", comment):
            yield Finding(file.path, line, "do it now, or file an issue")


def checks_survive_optimisation(file: Text) -> Iterator[Finding]:
    if not file.is_source:
        return
    for node in ast.walk(file.tree):
        if isinstance(node, ast.Assert):
            yield Finding(file.path, node.lineno, "assert vanishes under -O; use require")


def errors_are_not_swallowed(file: Text) -> Iterator[Finding]:
    """Catching everything is for an outermost loop, which logs and raises again."""
    if not file.is_source:
        return
    for node in ast.walk(file.tree):
        if isinstance(node, ast.ExceptHandler) and _catches_everything(node.type):
            reraises = any(isinstance(inner, ast.Raise) for inner in ast.walk(node))
            if not reraises:
                yield Finding(file.path, node.lineno, "catches everything and does not raise again")


def _catches_everything(caught: ast.expr | None) -> bool:
    match caught:
        case None:
            return True
        case ast.Name(id="Exception" | "BaseException"):
            return True
        case ast.Tuple(elts=parts):
            return any(_catches_everything(part) for part in parts)
        case _:
            return False


def tests_neither_sleep_nor_skip_nor_mock(file: Text) -> Iterator[Finding]:
    if not file.is_test:
        return
    for node in ast.walk(file.tree):
        match node:
            case ast.Call(func=ast.Attribute(value=ast.Name(id="time" | "asyncio" as module), attr="sleep")):
                is_yield = isinstance(node.args[0], ast.Constant) and node.args[0].value == 0
                if not is_yield:
                    yield Finding(file.path, node.lineno, f"{module}.sleep: wait for the event instead")
            case ast.Attribute(attr="skip" | "skipif" | "xfail" | "importorskip" as name):
                yield Finding(file.path, node.lineno, f"{name}: a test that does not run shows nothing")
            case ast.ImportFrom(module=str(module)) if module.split(".")[:2] == ["unittest", "mock"]:
                yield Finding(file.path, node.lineno, "a mock shows what the mock does")
            case _:
                continue


_REGISTRY = re.compile(
    r"https?://[^\s\"'<>]*(?:pypi|pythonhosted|goproxy|proxy\.golang|sum\.golang|npmjs|artifactory|nexus|/simple/)"
    r"|--(?:extra-)?index-url\b|\bGOPROXY=",
    re.IGNORECASE,
)
_MACHINE_PATH = re.compile(r"(?<![\w.$}~-])/(?:home/\w|root/|work/|Users/\w|tmp/\w)")


def nothing_names_a_registry_or_a_machine(file: Text) -> Iterator[Finding]:
    if file.path == "tests/gates/rules.py" or file.path.startswith("tests/gates/test_"):
        return  # They hold the very patterns.
    for number, line in enumerate(file.lines, 1):
        if _REGISTRY.search(line):
            yield Finding(file.path, number, "names a package registry; resolve through the ordinary client")
        if _MACHINE_PATH.search(line):
            yield Finding(file.path, number, "names a path of one machine")


RULES: tuple[Rule, ...] = (
    functions_are_short,
    modules_are_short,
    modules_have_names_that_say_something,
    the_core_is_pure,
    silenced_checks_give_a_code_and_a_reason,
    nothing_is_left_for_later,
    checks_survive_optimisation,
    errors_are_not_swallowed,
    tests_neither_sleep_nor_skip_nor_mock,
    nothing_names_a_registry_or_a_machine,
)


def _comments(file: Text) -> Iterator[tuple[int, str]]:
    if not file.is_python:
        return
    for token in tokenize.generate_tokens(io.StringIO(file.content).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string

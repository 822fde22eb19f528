"""docs/packing.md, docs/quotas.md: their code runs as it stands there and gives what they say it gives."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
ARROW = re.compile(r"  # -> (.*)$")


def said(source: str) -> list[tuple[str, str]]:
    """Expressions of a block and what the page says they are."""
    lines = source.splitlines()
    found = []
    for statement in ast.parse(source).body:
        arrow = ARROW.search(lines[(statement.end_lineno or 1) - 1])
        if isinstance(statement, ast.Expr) and arrow is not None:
            found.append((ast.unparse(statement.value), arrow[1]))
    return found


@pytest.mark.parametrize(("page", "least"), [("packing.md", 10), ("quotas.md", 12)])
def test_what_the_page_says_is_so(page: str, least: int) -> None:
    names: dict[str, object] = {}
    count = 0
    for source in BLOCK.findall((DOCS / page).read_text()):
        told = iter(said(source))
        lines = source.splitlines()
        for statement in ast.parse(source).body:
            is_told = isinstance(statement, ast.Expr) and ARROW.search(lines[(statement.end_lineno or 1) - 1])
            if not is_told:
                exec(compile(ast.Module([statement], []), page, "exec"), names)
                continue
            expression, expected = next(told)
            assert repr(eval(expression, names)) == expected, expression
            count += 1
    # An arrow that nobody reads any more would leave the page unchecked.
    assert count >= least
    assert count == len(re.findall(r"^[^#\n].*  # -> ", (DOCS / page).read_text(), re.MULTILINE))


def test_every_page_with_such_code_is_read() -> None:
    pages = {path.name for path in DOCS.glob("*.md") if "```python" in path.read_text()}
    assert pages == {"packing.md", "quotas.md"}

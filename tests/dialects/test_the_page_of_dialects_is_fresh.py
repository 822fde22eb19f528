"""docs/dialects.md says what the code does."""

from __future__ import annotations

from pathlib import Path

import msgspec
import yaml

from scheduler.gangs.registry import DIALECTS
from scheduler.gangs.table import page

PAGE = Path(__file__).parents[2] / "docs" / "dialects.md"


def test_the_page_is_what_the_dialects_say() -> None:
    assert PAGE.read_text() == page()


def test_every_example_is_yaml() -> None:
    for dialect in DIALECTS:
        for document in yaml.safe_load_all(dialect.doc.example):
            assert msgspec.to_builtins(document)

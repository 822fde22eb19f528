"""Answers as a table for people, or as JSON or YAML for programs."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import Literal

import msgspec

Output = Literal["table", "json", "yaml"]


def emit(records: object, output: Literal["json", "yaml"]) -> None:
    """Write msgspec Structs, or a list of them, to standard output."""
    if output == "json":
        text = msgspec.json.format(msgspec.json.encode(records), indent=2).decode()
    else:
        import yaml

        text = yaml.safe_dump(msgspec.to_builtins(records), sort_keys=False, allow_unicode=True).rstrip()
    sys.stdout.write(f"{text}\n")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], *, last_folds: bool = True) -> None:
    """A table without lines, as kubectl's; the last column takes what the terminal leaves.

    Without a terminal nothing is cut: programs and logs read whole messages.
    """
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 4096
    drawn = Table(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False, expand=False)
    for column in columns:
        is_last = column == columns[-1] and last_folds
        drawn.add_column(column.upper(), no_wrap=not is_last, overflow="fold" if is_last else "ellipsis")
    for row in rows:
        drawn.add_row(*(Text(cell) for cell in row))
    console.print(drawn)

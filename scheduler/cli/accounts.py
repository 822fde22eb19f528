"""What became of the records of a trace, in words."""

from __future__ import annotations

from collections.abc import Iterator

from simulations.workload import Account, Counted


def show_account(account: Account | None) -> None:
    """Print as what a file was read, and every reason for which a record is no job; nothing of no file."""
    if account is not None:
        for line in told(account):
            print(line)


def told(account: Account) -> Iterator[str]:
    """One line for the whole and one for each reason."""
    yield f"read {account.jobs:,} jobs of {account.records:,} records as {account.form} ({account.units})"
    for word, found in (("left out", account.left_out), ("folded", account.folded), ("noted", account.noted)):
        for one in found:
            yield f"{one.count:,} {word}: {one.reason} ({_places(one, account.counts)})"


def _places(one: Counted, counts: str) -> str:
    shown = ", ".join(str(line) for line in one.lines)
    more = ", ..." if one.count > len(one.lines) else ""
    return f"{counts}{'s' if one.count > 1 else ''} {shown}{more}"

"""Our own mistakes, as errors: a tenant or the network never causes one of these."""

from __future__ import annotations


class BrokenInvariant(Exception):
    """A bug of ours. The shell must not act on what came with it and must stop."""


def require(condition: bool, message: str) -> None:
    """Check that stays on under ``-O``. Raises: BrokenInvariant."""
    if not condition:
        raise BrokenInvariant(message)

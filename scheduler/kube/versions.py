"""The one place where resourceVersions are compared.

Since Kubernetes 1.35 (KEP-5504) they are integers that grow within one resource type; comparing across types
or clusters means nothing.
"""

from __future__ import annotations

DIGITS_MAX = 20


def parse_version(text: str) -> int | None:
    """The resourceVersion as an integer; None if it is none, as from an API server that keeps no order."""
    if not text.isascii() or not text.isdecimal() or len(text) > DIGITS_MAX:
        return None
    return int(text)

"""How the local control plane fails."""

from __future__ import annotations


class LocalError(Exception):
    """The local control plane could not be built, started or reached; the message says the remedy."""


class BuildFailed(LocalError):
    """The Go toolchain is missing or refused the module."""


class ComponentDied(LocalError):
    """A component ended before it was ready; the message holds the end of its log."""

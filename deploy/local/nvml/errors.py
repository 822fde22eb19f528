"""How the fake library fails to come about."""

from __future__ import annotations

from deploy.local.errors import LocalError


class NvmlBuildFailed(LocalError):
    """The header or the compiler is missing, or the compiler refused; the message says the remedy."""


class ScenarioError(LocalError):
    """A scenario file says something it cannot mean; the message names file and field."""

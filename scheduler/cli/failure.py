"""How a command fails: one message that names the object, what is wrong and the remedy."""

from __future__ import annotations

#: What was asked could not be done, or a check failed.
EXIT_FAILED = 1
#: The request itself is wrong: arguments or a file.
EXIT_USAGE = 2


class Failure(Exception):
    """Ends the command with a message and an exit code, without a traceback."""

    def __init__(self, message: str, *, code: int = EXIT_FAILED) -> None:
        super().__init__(message)
        self.code = code

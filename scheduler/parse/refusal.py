"""Saying no to tenant input: a reason that names the field and the remedy, safe to show and to log."""

from __future__ import annotations

from scheduler.model.objects import Rejected

REASON_MAX = 512
SHOWN_MAX = 64


class Refusal(Exception):
    """A piece of an object that cannot be accepted. Raised and caught inside ``scheduler.parse`` only.

    The doors of the package never raise it: they give ``rejected`` back.
    """

    def __init__(self, field: str, problem: str) -> None:
        super().__init__(field, problem)
        self.rejected = reject(field, problem)


def reject(field: str, problem: str) -> Rejected:
    """``field: problem``, cut to 512 characters, with every control character escaped."""
    return Rejected(reason=printable(f"{field}: {problem}")[:REASON_MAX])


def shown(value: object) -> str:
    """A tenant's value as it may appear in a reason: quoted, ASCII, one line, cut."""
    text = value if isinstance(value, str) else str(value)
    return ascii(text if len(text) <= SHOWN_MAX else text[:SHOWN_MAX] + "...")


def printable(text: str) -> str:
    """The text in ASCII without control characters, so that it can neither forge nor garble a line."""
    if text.isascii() and text.isprintable():
        return text
    return ascii(text)[1:-1]

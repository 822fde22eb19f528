"""What can go wrong between us and the API server, told apart by what a caller may do next."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from scheduler.kube.depth import decode

MESSAGE_LENGTH_MAX = 2048
RETRY_AFTER_S_MAX = 600.0


class ClusterError(Exception):
    """The API or the network failed, not this program."""


class EndpointError(ClusterError):
    """No usable way to an API server; the message names the file, the field and the remedy."""


class Unreachable(ClusterError):
    """Nothing was changed: the request never left, or it was a read. Safe to send again."""


class OutcomeUnknown(ClusterError):
    """A write left and its answer did not come: it may have been applied. Read before deciding."""


class BadAnswer(ClusterError):
    """The answer to a read is not what the API promises: undecodable, or longer than its limit."""


class TooLong(BadAnswer):
    """The answer to a read is longer than its limit."""


class Cause(msgspec.Struct, frozen=True, gc=False):
    """One entry of ``Status.details.causes``."""

    reason: str = ""
    message: str = ""
    field: str = ""


class _Details(msgspec.Struct, rename="camel", frozen=True):
    causes: tuple[Cause, ...] | None = None
    retry_after_seconds: int | None = None


class Status(msgspec.Struct, frozen=True):
    """``meta.k8s.io/v1 Status``: the body of an error answer, and the object of an ERROR event."""

    message: str | None = ""
    reason: str | None = ""
    code: int | None = 0
    details: _Details | None = None


class ApiError(ClusterError):
    """The API server answered with an error status. Raised as the subclass of its status where one exists.

    ``retry_after_s`` is what the server asked for; None if it did not ask.
    """

    def __init__(
        self,
        status: int,
        reason: str = "",
        message: str = "",
        *,
        retry_after_s: float | None = None,
        causes: tuple[Cause, ...] = (),
    ) -> None:
        super().__init__(f"{status} {reason}: {message}" if reason else f"{status}: {message}")
        self.status = status
        self.reason = reason
        self.message = message
        self.retry_after_s = retry_after_s
        self.causes = causes


class Unauthorized(ApiError):
    """401: the credential is missing, expired or unknown."""


class Forbidden(ApiError):
    """403: known to the server, and not allowed; also an admission policy's refusal."""


class NotFound(ApiError):
    """404: no such object, or no such type."""


class Conflict(ApiError):
    """409: a precondition (UID, resourceVersion, not yet assigned) does not hold."""


class AlreadyExists(Conflict):
    """409 on create: the name is taken."""


class Gone(ApiError):
    """410: the resourceVersion or the continue token is older than the server's history."""


class Invalid(ApiError):
    """422: the object breaks its schema; ``causes`` names the fields."""


class TooManyRequests(ApiError):
    """429: the server sheds load, or a disruption budget refuses an eviction now."""


class ServerError(ApiError):
    """5xx."""


_BY_STATUS: Mapping[int, type[ApiError]] = {
    401: Unauthorized,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    410: Gone,
    422: Invalid,
    429: TooManyRequests,
}
#: Answers to a write that do not say whether it was applied: the storage's or a proxy's timeout or failure.
_UNTOLD = frozenset({500, 502, 504})
_status = msgspec.json.Decoder(Status)


def answer_error(status: int, body: bytes, retry_after: str | None = None) -> ApiError:
    """The error of an answer with an HTTP status of 300 or more.

    The body is a ``Status`` when the API server wrote it, and anything at all when a proxy did.
    """
    try:
        told = decode(_status, body)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        told = Status(message=body[:MESSAGE_LENGTH_MAX].decode("utf-8", "replace"))
    return _build(status, told, retry_after)


def failure(
    what: str, status: int, body: bytes, retry_after: str | None = None, *, is_write: bool
) -> ClusterError:
    """The error of an answer, where a write may be of unknown outcome. what: the request, for people."""
    answered = answer_error(status, body, retry_after)
    if is_write and status in _UNTOLD:
        unknown = OutcomeUnknown(f"{what}: {answered}")
        unknown.__cause__ = answered
        return unknown
    return answered


def event_error(told: Status) -> ApiError:
    """The error that a watch's ERROR event carries."""
    return _build(told.code or 500, told, None)


def lacks_role(error: ApiError) -> bool:
    """Whether the authorizer refused it, not an admission policy.

    An API server that has just started says so of everything until it has loaded its roles. The words are
    those of ``responsewriters.Forbidden`` (k8s.io/apiserver): 'User "x" cannot create resource "y"'.
    """
    return isinstance(error, Forbidden) and 'User "' in error.message and "cannot " in error.message


def _build(status: int, told: Status, retry_after: str | None) -> ApiError:
    reason = told.reason or ""
    kind = _BY_STATUS.get(status, ServerError if status >= 500 else ApiError)
    if kind is Conflict and reason == "AlreadyExists":
        kind = AlreadyExists
    details = told.details or _Details()
    return kind(
        status,
        reason,
        (told.message or "")[:MESSAGE_LENGTH_MAX],
        retry_after_s=_seconds(retry_after, details.retry_after_seconds),
        causes=details.causes or (),
    )


def _seconds(header: str | None, in_body: int | None) -> float | None:
    """The Retry-After header in its form as seconds (the only one the API server uses), else the body's."""
    if header is not None and header.strip().isdecimal() and len(header) < 10:
        return min(float(header), RETRY_AFTER_S_MAX)
    if in_body is not None and in_body > 0:
        return min(float(in_body), RETRY_AFTER_S_MAX)
    return None

"""Where the API server is, and one-shot calls to it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TypeVar

from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.kube.endpoint import Endpoint, EndpointError
from scheduler.kube.transport import ClusterError, Forbidden, Transport, Unauthorized, Unreachable

T = TypeVar("T")

CONNECTIONS_MAX = 8


def endpoint(kubeconfig: Path | None, context: str | None) -> Endpoint:
    """The API server that was named, else KUBECONFIG's, else the one of the pod we run in.

    Raises: Failure naming the file and the remedy.
    """
    try:
        return Endpoint.default(None if kubeconfig is None else str(kubeconfig), context)
    except (EndpointError, OSError, ValueError) as error:
        raise Failure(str(error), code=EXIT_USAGE) from error


def ask(kubeconfig: Path | None, context: str | None, question: Callable[[Transport], Awaitable[T]]) -> T:
    """The answer to one question to the API server. Raises: Failure when there is none."""
    where = endpoint(kubeconfig, context)

    async def asked() -> T:
        async with Transport(where, user_agent="stowplan-cli", connections_max=CONNECTIONS_MAX) as transport:
            return await question(transport)

    try:
        return asyncio.run(asked())
    except Unreachable as error:
        raise Failure(f"{where.base_url}: {error}; is the API server up, and this its address?") from error
    except Unauthorized as error:
        raise Failure(f"{where.base_url}: {error}; the credentials are not accepted") from error
    except Forbidden as error:
        raise Failure(f"{error}; ask for the right, or use another --context") from error
    except ClusterError as error:
        raise Failure(f"{where.base_url}: {error}") from error

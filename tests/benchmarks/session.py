"""A benchmark as a command: its end by a signal, its failure, its exit code."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections.abc import Coroutine
from typing import TypeVar

from deploy.local.errors import LocalError
from scheduler.kube.transport import ClusterError
from tests.benchmarks.control import BenchmarkFailed

T = TypeVar("T")

FAILURES = (BenchmarkFailed, ClusterError, LocalError)


def carried_out(work: Coroutine[object, object, T]) -> T:
    """The result of a benchmark; whatever ends it, what it started is ended first.

    Raises SystemExit: 1 when it failed, 130 when SIGINT or SIGTERM stopped it.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        return asyncio.run(work)
    except KeyboardInterrupt:
        sys.exit(130)
    except FAILURES as error:
        print(f"error: {error}", file=sys.stderr)
    except ExceptionGroup as group:
        known, unknown = group.split(FAILURES)
        if unknown is not None or known is None:
            raise
        print(f"error: {_first(known)}", file=sys.stderr)
    sys.exit(1)


def _first(error: BaseException) -> BaseException:
    """What broke inside nested groups."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error

"""How long to wait before the next try."""

from __future__ import annotations

from collections.abc import Callable

from scheduler.kube.errors import ApiError, ClusterError


class Backoff:
    """Exponential, with jitter, bounded. Waits lie in [d/2, 3d/2) for d = first_s, 2 first_s, ... most_s.

    rng: uniform in [0, 1). Jitter keeps clients that failed together from coming back together.
    """

    def __init__(self, *, first_s: float, most_s: float, rng: Callable[[], float]) -> None:
        self._first_s = first_s
        self._most_s = most_s
        self._rng = rng
        self._next_s = first_s

    def wait_s(self, error: ClusterError | None = None) -> float:
        """The next wait; never shorter than what the API server asked for in ``error``."""
        wait_s = self._next_s * (0.5 + self._rng())
        self._next_s = min(2 * self._next_s, self._most_s)
        asked_s = error.retry_after_s if isinstance(error, ApiError) else None
        if asked_s is None:
            return wait_s
        return max(wait_s, asked_s * (1.0 + 0.25 * self._rng()))

    def reset(self) -> None:
        """Something worked: begin again with the first wait."""
        self._next_s = self._first_s

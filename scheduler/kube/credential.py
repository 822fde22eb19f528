"""The bearer token of a running process: kept fresh without making requests wait for it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from scheduler.kube.errors import EndpointError

REFRESH_S = 30.0


class Credential:
    """Loads a token in a thread; a token older than ``refresh_s`` is loaded anew beside the requests.

    load: may block (an exec plugin, a projected file); raises EndpointError.
    clock: monotonic, in seconds.
    """

    def __init__(
        self,
        load: Callable[[], str | None],
        *,
        is_refreshing: bool,
        clock: Callable[[], float],
        refresh_s: float = REFRESH_S,
    ) -> None:
        self._load = load
        self._is_refreshing = is_refreshing
        self._clock = clock
        self._refresh_s = refresh_s
        self._token: str | None = None
        self._loaded_s: float | None = None
        self._loading: asyncio.Task[str | None] | None = None

    async def current(self) -> str | None:
        """The token to send. Waits only for the very first; raises EndpointError if that cannot be had."""
        if self._loaded_s is None:
            return await self._join()
        if self._is_refreshing and self._clock() - self._loaded_s > self._refresh_s:
            self._start()
        return self._token

    async def renew(self, refused: str | None) -> str | None:
        """A token in place of one that the server refused; the same one if there is no other."""
        if not self._is_refreshing or self._token != refused:
            return self._token
        return await self._join()

    async def close(self) -> None:
        """Stop waiting for a load in progress."""
        if self._loading is not None:
            self._loading.cancel()
            await asyncio.gather(self._loading, return_exceptions=True)

    def _start(self) -> asyncio.Task[str | None]:
        if self._loading is None or self._loading.done():
            self._loading = asyncio.create_task(self._reload(), name="credential")
        return self._loading

    async def _join(self) -> str | None:
        # Shielded: a caller that is cancelled must not take the load away from the others.
        return await asyncio.shield(self._start())

    async def _reload(self) -> str | None:
        try:
            token = await asyncio.to_thread(self._load) if self._is_refreshing else self._load()
        except EndpointError:
            if self._loaded_s is None:
                raise
            # The old token may still be good; if it is not, the API server's 401 tells.
            return self._token
        finally:
            if self._loaded_s is not None:
                self._loaded_s = self._clock()
        self._token, self._loaded_s = token, self._clock()
        return token

"""Prometheus and promtool, built from Go modules and kept outside the checkout.

``python -m deploy.local.prometheus`` builds both; cold this takes about four minutes on two cores. Built
without cloud discovery, which is most of its dependencies: targets are named in a file here.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import yaml

from deploy.local import processes
from deploy.local.errors import LocalError
from deploy.local.gotools import GoTool

MODULE: Final = Path(__file__).with_name("prometheusmodule")
TAGS: Final = ("remove_all_sd",)
OLDEST: Final = (1, 26, 7)
PROMETHEUS: Final = GoTool(
    name="prometheus",
    module=MODULE,
    package="github.com/prometheus/prometheus/cmd/prometheus",
    tags=TAGS,
    oldest=OLDEST,
)
PROMTOOL: Final = GoTool(
    name="promtool",
    module=MODULE,
    package="github.com/prometheus/prometheus/cmd/promtool",
    tags=TAGS,
    oldest=OLDEST,
)
COMMAND_S_MAX: Final = 120.0
READY_S_MAX: Final = 60.0
REQUEST_S_MAX: Final = 20.0
POLL_S: Final = 0.05
SCRAPE_INTERVAL: Final = "500ms"
ERROR_CHARACTERS_MAX: Final = 4_000


class PromtoolRefused(LocalError):
    """promtool found something wrong; the message is what it said."""


class QueryRefused(LocalError):
    """Prometheus cannot evaluate an expression; the message is what it said."""


class Series(msgspec.Struct, frozen=True):
    """One series of an instant query: its labels, and (seconds since 1970, the value as text)."""

    metric: dict[str, str]
    value: tuple[float, str]


class _Data(msgspec.Struct, frozen=True):
    result: list[Series] = []


class _Answer(msgspec.Struct, frozen=True):
    status: str
    data: _Data = _Data()
    error: str = ""


def promtool(arguments: Sequence[str], *, given: str = "") -> str:
    """Both outputs of one promtool command. Raises: BuildFailed, PromtoolRefused."""
    done = PROMTOOL.run(arguments, given=given, timeout_s=COMMAND_S_MAX)
    if done.returncode != 0:
        raise PromtoolRefused((done.stdout + done.stderr)[-ERROR_CHARACTERS_MAX:])
    return done.stdout + done.stderr


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """A running Prometheus."""

    url: str
    session: aiohttp.ClientSession

    async def query(self, expression: str) -> list[Series]:
        """An instant query. Raises: QueryRefused."""
        async with self.session.get(f"{self.url}/api/v1/query", params={"query": expression}) as answer:
            told = msgspec.json.decode(await answer.read(), type=_Answer)
        if told.status != "success":
            raise QueryRefused(f"{expression}: {told.error}")
        return told.data.result

    async def until(self, expression: str, *, within_s: float) -> list[Series]:
        """The first answer with any series. Raises: TimeoutError, QueryRefused."""
        async with asyncio.timeout(within_s):
            while not (found := await self.query(expression)):
                await asyncio.sleep(POLL_S)
        return found


@asynccontextmanager
async def running_prometheus(
    folder: Path, port: int, targets: Mapping[str, Sequence[str]], rules: Sequence[Path] = ()
) -> AsyncIterator[Server]:
    """Prometheus until the block is left. targets: addresses as HOST:PORT by the job they are scraped under.

    Raises: BuildFailed, LocalError when it does not get ready.
    """
    binary = await asyncio.to_thread(PROMETHEUS.ensure)
    folder.mkdir(parents=True, exist_ok=True)
    configuration = folder / "prometheus.yaml"
    configuration.write_text(yaml.safe_dump(_configuration(targets, rules)), encoding="utf-8")
    log = folder / "prometheus.log"
    command: list[str | Path] = [
        binary,
        f"--config.file={configuration}",
        f"--storage.tsdb.path={folder / 'data'}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    process = processes.spawn(command, directory=folder, log=log, is_tethered=False)
    url = f"http://127.0.0.1:{port}"
    try:
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=REQUEST_S_MAX)) as session:
            await _ready(session, url, process, log)
            yield Server(url=url, session=session)
    finally:
        await asyncio.to_thread(processes.end, process)


def _configuration(targets: Mapping[str, Sequence[str]], rules: Sequence[Path]) -> dict[str, object]:
    interval = {"scrape_interval": SCRAPE_INTERVAL, "evaluation_interval": SCRAPE_INTERVAL}
    jobs = [
        {"job_name": job, "scrape_timeout": SCRAPE_INTERVAL, "static_configs": [{"targets": list(addresses)}]}
        for job, addresses in targets.items()
    ]
    return {"global": interval, "rule_files": [str(file) for file in rules], "scrape_configs": jobs}


async def _ready(session: aiohttp.ClientSession, url: str, process: processes.Process, log: Path) -> None:
    try:
        async with asyncio.timeout(READY_S_MAX):
            while process.is_alive:
                try:
                    async with session.get(f"{url}/-/ready") as answer:
                        if answer.status == 200:
                            return
                except aiohttp.ClientConnectionError:
                    pass
                await asyncio.sleep(POLL_S)
    except TimeoutError:
        pass
    raise LocalError(f"Prometheus is not ready; its log ends with:\n{processes.log_tail(log)}")


if __name__ == "__main__":
    try:
        print(PROMETHEUS.ensure())
        print(PROMTOOL.ensure())
    except LocalError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)

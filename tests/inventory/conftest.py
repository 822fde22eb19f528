"""The fake library behind the real ``pynvml``, and one node of it a test."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from deploy.local.cluster import Cluster
from deploy.local.manifests import DEPLOY, apply, until_served
from deploy.local.nvml.library import FakeLibrary, FakeNode, shipped
from scheduler.inventory.writer import PATH
from tests.inventory.stage import PATIENCE_S, Stage, admin

CRD = DEPLOY / "crds" / "gpunodes.yaml"


@pytest.fixture(scope="session")
def library() -> FakeLibrary:
    return FakeLibrary()


@pytest.fixture
def node(library: FakeLibrary, tmp_path: Path) -> FakeNode:
    """Eight H100 on NVSwitches; this thread's NVML calls are about it."""
    made = FakeNode(tmp_path, "n", shipped("h100-nvswitch"))
    library.use(made.table_file)
    return made


@pytest.fixture(scope="session")
def served(cluster: Cluster) -> Cluster:
    """A cluster that serves GPUNodes."""

    async def install() -> None:
        async with admin(cluster) as api:
            await apply(api, [CRD])
            async with asyncio.timeout(PATIENCE_S):
                await until_served(api, [PATH])

    asyncio.run(install())
    return cluster


@pytest.fixture
async def stage(served: Cluster, library: FakeLibrary, tmp_path: Path) -> AsyncIterator[Stage]:
    async with admin(served) as api:
        yield Stage(library, tmp_path, api)

"""The agent's own client of the kubelet's pod-resources API, against gRPC's own server and the actor's."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.nodes.devices import Given
from deploy.local.nodes.pod_resources import PodResourcesServer, listed
from scheduler.inventory.holders import holders
from scheduler.inventory.pod_resources import LIST, STALE_S, Grant, PodResources, grants_of
from scheduler.inventory.processes import unknown_owner
from scheduler.inventory.report import Device, Instance
from scheduler.inventory.unary import CallFailed, call, shut
from scheduler.kube.wire.inventory import GPUHolder

_NAME = st.text("abcdefghijklmnopqrstuvwxyz0123456789-", min_size=1, max_size=63)
_GIVEN = st.lists(
    st.builds(
        Given,
        _NAME,
        _NAME,
        st.sampled_from(["nvidia.com/gpu", "nvidia.com/mig-1g.10gb", "rdma/hca"]),
        st.lists(_NAME.map(lambda name: f"GPU-{name}"), min_size=1, max_size=8, unique=True).map(tuple),
    ),
    max_size=200,
    unique_by=lambda one: (one.namespace, one.name),
)


@pytest.fixture
def folder() -> Iterator[Path]:
    """A short path: a unix socket's has 108 bytes at most."""
    with TemporaryDirectory(prefix="kubelet-") as made:
        yield Path(made)


@contextmanager
def grpc_kubelet(socket: Path, answer: Callable[[bytes], bytes]) -> Iterator[None]:
    """gRPC's own server, which speaks HTTP/2 in full: compressed headers, windows, pings."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc] # grpc carries no types
        def service(self, call: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler | None:
            if call.method != LIST:
                return None
            return grpc.unary_unary_rpc_method_handler(lambda request, context: answer(request))

    server = grpc.server(ThreadPoolExecutor(2), handlers=[Handler()])
    server.add_insecure_port(f"unix:{socket}")
    server.start()
    try:
        yield
    finally:
        server.stop(None).wait()


def _as_grants(given: list[Given]) -> set[Grant]:
    return {Grant(namespace=g.namespace, name=g.name, resource=g.resource, ids=g.devices) for g in given}


@settings(max_examples=20, deadline=None)
@given(given=_GIVEN)
def test_any_list_is_read_from_either_server(given: list[Given]) -> None:
    with TemporaryDirectory(prefix="kubelet-") as made:
        socket = Path(made) / "s"
        with grpc_kubelet(socket, lambda _: listed(given)):
            told = asyncio.run(PodResources(socket, clock=float).grants())
        assert told is not None
        assert set(told) == _as_grants(given)

        async def of_the_actor() -> tuple[Grant, ...] | None:
            server = PodResourcesServer(Path(made) / "a", lambda: given)
            await server.open()
            try:
                return await PodResources(server.socket, clock=float).grants()
            finally:
                await server.close()

        told = asyncio.run(of_the_actor())
        assert told is not None
        assert set(told) == _as_grants(given)


def test_gRPCs_own_client_reads_the_actors_server(folder: Path) -> None:
    given = [Given("ns", f"pod-{i}", "nvidia.com/gpu", (f"GPU-{i}" * 20,)) for i in range(400)]

    async def asked() -> bytes:
        server = PodResourcesServer(folder / "a", lambda: given)
        await server.open()
        try:
            async with grpc.aio.insecure_channel(f"unix:{server.socket}") as channel:
                answer: bytes = await channel.unary_unary(LIST)(b"")
                return answer
        finally:
            await server.close()

    answer = asyncio.run(asked())
    assert len(answer) > 1 << 16, "more than a frame and more than a window"
    assert set(grants_of(answer)) == _as_grants(given)


@pytest.mark.parametrize("how", ["nobody", "refuses", "nonsense", "other", "hangs"])
async def test_who_gives_no_answer_is_no_kubelet(folder: Path, how: str) -> None:
    socket = folder / "s"

    async def odd(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if how == "nonsense":
            writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 50)
        else:
            await reader.read()
        await shut(writer)

    if how in ("nonsense", "hangs"):
        server = await asyncio.start_unix_server(odd, str(socket))
        with pytest.raises(CallFailed):
            await call(socket, LIST, b"", timeout_s=0.2)
        server.close()
    elif how in ("refuses", "other"):

        def refuse(_: bytes) -> bytes:
            raise RuntimeError("not today")

        with grpc_kubelet(socket, refuse), pytest.raises(CallFailed):
            await call(socket, LIST if how == "refuses" else "/v1.Other/List", b"", timeout_s=5.0)
    else:
        with pytest.raises(CallFailed):
            await call(socket, LIST, b"", timeout_s=0.2)


async def test_a_kubelet_that_restarts_is_believed_for_a_minute(folder: Path) -> None:
    now = [1_000.0]
    given = [Given("ns", "p", "nvidia.com/gpu", ("GPU-0",))]
    kubelet = PodResources(folder / "a", clock=lambda: now[0])
    assert await kubelet.grants() is None
    server = PodResourcesServer(folder / "a", lambda: given)
    await server.open()
    told = await kubelet.grants()
    await server.close()
    assert set(told or ()) == _as_grants(given)
    now[0] += STALE_S
    assert await kubelet.grants() == told
    now[0] += 1.0
    assert await kubelet.grants() is None


@given(data=st.binary(max_size=200))
def test_whatever_a_server_says_is_read_or_refused(data: bytes) -> None:
    with suppress(ValueError):
        grants_of(data)


MIG = (Instance(uuid="MIG-a", profile="1g.10gb", gpu_instance=7, compute_instance=0),)
DEVICES = (Device(index=0, uuid="GPU-a", minor=3), Device(index=1, uuid="GPU-b", minor=1, instances=MIG))


@pytest.mark.parametrize(
    ("resource", "name", "uuid"),
    [
        ("nvidia.com/gpu", "GPU-a", "GPU-a"),
        ("nvidia.com/gpu", "GPU-a::5", "GPU-a"),
        ("nvidia.com/gpu.shared", "GPU-b::0", "GPU-b"),
        ("nvidia.com/mig-1g.10gb", "MIG-a", "MIG-a"),
        ("nvidia.com/mig-1g.10gb", "MIG-a::1", "MIG-a"),
        ("nvidia.com/gpu", "nvidia3", "GPU-a"),
        ("nvidia.com/gpu", "nvidia1/gi7", "MIG-a"),
        ("nvidia.com/gpu", "nvidia3/vgpu2", "GPU-a"),
        ("nvidia.com/gpu", "1", "GPU-b"),
        ("gpu.nvidia.com", "gpu-3", "GPU-a"),
        ("gpu.nvidia.com", "gpu-1-mig-1g.10gb-19-0", "GPU-b"),
        ("nvidia.com/gpu", "nvidia9", None),
        ("nvidia.com/gpu", "GPU-elsewhere", None),
        ("rdma/hca", "GPU-a", None),
    ],
)
def test_each_plugins_names_are_known(resource: str, name: str, uuid: str | None) -> None:
    grant = Grant(namespace="ns", name="p", resource=resource, ids=(name,))
    found = holders(DEVICES, [grant], unknown_owner)
    assert found.evidence == "kubelet"
    assert found.by_uuid == ({} if uuid is None else {uuid: (GPUHolder(namespace="ns", name="p"),)})

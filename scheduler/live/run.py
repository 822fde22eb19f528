"""``stowplan run``: the parts of the live shell, put together for one process life."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path

from scheduler.gangs.attempt import Attempt, Limits
from scheduler.kube.client import Client
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.lease import Elector, Terms
from scheduler.kube.transport import Transport
from scheduler.live.actor import Actor
from scheduler.live.announcer import Announcer
from scheduler.live.binder import Binder
from scheduler.live.claims import ClaimBook
from scheduler.live.config import SchedulerConfiguration
from scheduler.live.cordoner import Cordoner
from scheduler.live.decisions import Decisions
from scheduler.live.devices import DeviceReporter
from scheduler.live.evictor import Evictor
from scheduler.live.fence import Term, raised
from scheduler.live.health import Health, HealthServer
from scheduler.live.logs import logger
from scheduler.live.loop import Loop
from scheduler.live.metrics import Metrics
from scheduler.live.node_events import NodeEvents
from scheduler.live.noticeboard import Noticeboard
from scheduler.live.provisioner import Provisioner
from scheduler.live.surroundings import Surroundings
from scheduler.live.teamboard import Teamboard
from scheduler.live.views import Views
from scheduler.live.volume_binder import VolumeBinder
from scheduler.live.volume_writes import VolumeWriter
from scheduler.model.objects import Pod
from scheduler.model.plan import Budget
from scheduler.state import ClusterState

log = logger("run")

#: After SIGTERM, attempts under way may end for this long.
DRAIN_S = 5.0
#: Of the lease alone, so that no renewal waits behind anything else that is written or read.
LEASE_CONNECTIONS = 2


class Scheduler:
    """One process: views that fill the state, a lease, and the loop that acts while the lease is ours."""

    def __init__(
        self,
        config: SchedulerConfiguration,
        transport: Client,
        surroundings: Surroundings | None = None,
        *,
        lease: Client | None = None,
    ) -> None:
        """lease: by which the lease is renewed, where that has connections of its own."""
        self._config = config
        self._transport = transport
        self._around = around = surroundings or Surroundings()
        self._clock = around.clock
        self.metrics = Metrics()
        self.state = ClusterState(config.scheduler_name, config.teams.units())
        self._lost = asyncio.Event()
        self._elector = self._make_elector(lease or transport)
        self.claims = ClaimBook(
            transport,
            clock=self._clock,
            may_act=self._holds_lease,
            write_timeout_s=config.api.write_timeout_seconds,
        )
        self.views = self._make_views()
        self.announcer = Announcer(
            transport,
            metrics=self.metrics,
            clock=self._around.wall,
            carried=self.views.pods.carried,
            may_act=self._holds_lease,
            controller="stowplan.dev/scheduler",
            instance=self._around.instance,
        )
        self.noticeboard = Noticeboard(self.claims)
        self.binder = Binder(
            transport,
            clock=self._clock,
            may_act=self._holds_lease,
            term=Term(self._elector.is_ours),
            write_timeout_s=config.api.write_timeout_seconds,
        )
        self.volumes = self._make_volume_binder()
        self.evictor = self._make_evictor()
        self.teamboard = Teamboard(
            transport, self.state, metrics=self.metrics, clock=self._around.wall, may_act=self._holds_lease
        )
        self.provisioner = self._make_provisioner()
        events = self._make_node_events()
        self.reporter, self.cordoner = self._make_reporter(events), self._make_cordoner(events)
        self.health = Health(unsynced=self.views.unsynced, clock=self._clock)
        self.loop = self._make_loop()

    async def lead(self) -> int:
        """Wait for the lease, schedule under it; the exit code when it is lost."""
        ready = asyncio.Event()
        async with asyncio.TaskGroup() as group:
            election = group.create_task(self._elected(ready))
            await self.views.synced()
            self.loop.learn()
            self.health.role = "standby"
            ready.set()
        epoch = election.result()
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(work) for work in (self._hold_lease(), self._act(epoch))]
            await self._lost.wait()
            self.loop.actor.abandon()
            self.metrics.leadership(is_leading=False, epoch=epoch)
            for task in tasks:
                task.cancel()
        return 1

    async def _act(self, epoch: int) -> None:
        """Schedule until cancelled, once no write of an earlier term can land any more."""
        await raised(
            self._transport,
            namespace=self._config.leader_election.namespace,
            epoch=epoch,
            took_over=self._elector.took_over,
            write_timeout_s=self._config.api.write_timeout_seconds,
        )
        self.health.role = "leading"
        self.metrics.leadership(is_leading=True, epoch=epoch)
        async with asyncio.TaskGroup() as group:
            for work in (
                self.loop.actor.run(),
                self.volumes.run(),
                self.evictor.run(),
                self.teamboard.run(),
                self.announcer.run(),
                self.noticeboard.run(),
                self.provisioner.run(),
                self.reporter.run(),
                self.cordoner.run(),
                self.loop.run(epoch),
            ):
                group.create_task(work)

    async def drain(self) -> None:
        """Let attempts under way end, then give the lease back."""
        self.health.role = "stopping"
        self.loop.pause()
        until_s = self._clock() + DRAIN_S
        while not self.loop.actor.is_idle and self._clock() < until_s:
            await asyncio.sleep(0.02)
        self.loop.actor.abandon()
        # Who takes a released lease acts at once: by then no write of ours may be under way.
        until_s = self._clock() + self._config.api.write_timeout_seconds
        while self.binder.in_flight and self._clock() < until_s:
            await asyncio.sleep(0.02)
        await self._elector.release()

    async def _elected(self, ready: asyncio.Event) -> int:
        if self._config.leader_election.enabled:
            return await self._elector.acquire(ready)
        await ready.wait()
        return 0

    async def _hold_lease(self) -> None:
        if self._config.leader_election.enabled:
            await self._elector.hold()
            self._lost.set()
        else:
            await asyncio.Event().wait()

    def _holds_lease(self) -> bool:
        return not self._config.leader_election.enabled or self._elector.may_act()

    def _may_plan(self) -> bool:
        """The lease is ours and every view is complete and fresh (INV6)."""
        return self._holds_lease() and self._is_current()

    def _is_current(self) -> bool:
        return not self.views.stale(float(self._config.watch.stale_seconds))

    def _wake(self) -> None:
        self.loop.wake()
        self.volumes.wake()

    def _beat(self) -> None:
        """The loop lives; time passes for what agents told."""
        self.health.beat()
        self.state.at(self._around.wall())

    def _seen(self, uid: str, pod: Pod | None) -> None:
        self.loop.actor.observe(uid, pod)
        if pod is None:
            self.announcer.withdraw((uid,))

    def _make_elector(self, transport: Client) -> Elector:
        config, around = self._config, self._around
        election = config.leader_election
        return Elector(
            transport,
            namespace=election.namespace,
            name=election.name,
            me=f"{around.instance}_{around.serial}",
            terms=Terms(
                lease_s=float(election.lease_seconds),
                renew_deadline_s=election.renew_deadline_seconds,
                retry_s=election.retry_seconds,
                write_timeout_s=config.api.write_timeout_seconds,
            ),
            clock=self._clock,
            rng=around.chance,
            stamp=lambda: datetime.fromtimestamp(around.wall(), UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            epoch_floor=lambda: max((claim.epoch for claim in self.claims.all()), default=0),
        )

    def _make_views(self) -> Views:
        return Views(
            self._transport,
            self.state,
            self.claims,
            registry=self.metrics.registry,
            seen=self._seen,
            wake=self._wake,
            clock=self._clock,
            chance=self._around.chance,
            timing=self._around.timing,
        )

    def _make_reporter(self, events: NodeEvents) -> DeviceReporter:
        self.state.devices.needs_report = self._config.policy.inventory == "required"
        return DeviceReporter(self.state, metrics=self.metrics, events=events, may_act=self._holds_lease)

    def _make_volume_binder(self) -> VolumeBinder:
        writer = VolumeWriter(
            self._transport,
            self.views.storage,
            may_act=self._holds_lease,
            write_timeout_s=self._config.api.write_timeout_seconds,
        )
        return VolumeBinder(
            self.state,
            writer,
            clock=self._clock,
            bound_s=self._config.volumes.bind_timeout_seconds,
            may_act=self._may_plan,
            lost=self._lost.set,
            wake=self._wake,
        )

    def _make_evictor(self) -> Evictor:
        return Evictor(
            state=self.state,
            binder=self.binder,
            announcer=self.announcer,
            metrics=self.metrics,
            clock=self._around.wall,
            wake=self._wake,
            lost=self._lost.set,
        )

    def _make_node_events(self) -> NodeEvents:
        return NodeEvents(
            self._transport,
            clock=self._around.wall,
            controller="stowplan.dev/scheduler",
            instance=self._around.instance,
        )

    def _make_cordoner(self, events: NodeEvents) -> Cordoner:
        return Cordoner(
            self._transport,
            self.state,
            policy=self._config.policy.as_cordon(),
            metrics=self.metrics,
            events=events,
            clock=self._around.wall,
            may_act=self._may_plan,
        )

    def _make_provisioner(self) -> Provisioner:
        asked = self._config.provisioning
        return Provisioner(
            self._transport,
            self.claims,
            policy=None if asked is None else asked.as_policy(),
            clock=self._clock,
            wall=self._around.wall,
            may_act=self._may_plan,
            write_timeout_s=self._config.api.write_timeout_seconds,
        )

    def _make_loop(self) -> Loop:
        config = self._config
        return Loop(
            state=self.state,
            actor=self._make_actor,
            claims=self.claims,
            evictor=self.evictor,
            announcer=self.announcer,
            noticeboard=self.noticeboard,
            metrics=self.metrics,
            policy=config.policy.as_policy(),
            budget=Budget(per_gang=config.policy.solver.per_gang, total=config.policy.solver.total),
            clock=self._clock,
            wall=self._around.wall,
            may_act=self._may_plan,
            beat=self._beat,
            healing=config.gangs.as_healing(),
            teamboard=self.teamboard,
            provisioner=self.provisioner,
            volumes=self.volumes,
            cycle_max_s=self._around.cycle_max_s,
            recorder=self._recorder(),
        )

    def _recorder(self) -> Callable[[bytes], None] | None:
        record = self._config.record
        if not record.path:
            return None
        return Decisions(Path(record.path), mebibytes_max=record.mebibytes_max).write

    def _make_actor(self, ended: Callable[[Attempt], None]) -> Actor:
        config = self._config
        return Actor(
            state=self.state,
            binder=self.binder,
            volumes=self.volumes,
            claims=self.claims,
            announcer=self.announcer,
            metrics=self.metrics,
            clock=self._clock,
            wall=self._around.wall,
            limits=Limits(
                deadline_s=0.8 * config.gangs.partial_seconds,
                write_timeout_s=config.api.write_timeout_seconds,
            ),
            is_current=self._is_current,
            workers=config.api.binds_in_flight,
            ended=ended,
            lost=self._lost.set,
        )


async def run(config: SchedulerConfiguration, endpoint: Endpoint) -> int:
    """Schedule until SIGTERM or SIGINT (exit code 0) or until leadership is lost (1)."""
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with AsyncExitStack() as stack:
        transport = await stack.enter_async_context(
            Transport(endpoint, connections_max=config.api.connections)
        )
        lease = await stack.enter_async_context(Transport(endpoint, connections_max=LEASE_CONNECTIONS))
        scheduler = Scheduler(config, transport, lease=lease)
        server = await stack.enter_async_context(
            HealthServer(
                scheduler.health,
                scheduler.metrics.registry,
                address=config.health.address,
                port=config.health.port,
            )
        )
        _say_ready(config.health.address, server.port)
        return await serve(scheduler, stop)


async def serve(scheduler: Scheduler, stop: asyncio.Event) -> int:
    """One life: watch, and lead when the lease is ours, until ``stop`` (exit code 0) or its term ends (1)."""
    viewing = asyncio.create_task(scheduler.views.run())
    leading = asyncio.create_task(scheduler.lead())
    stopping = asyncio.create_task(_stopped(stop))
    try:
        await asyncio.wait({viewing, leading, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if not stopping.done():
            return await _first(leading, viewing)
        await scheduler.drain()
        return 0
    finally:
        for task in (leading, viewing, stopping):
            task.cancel()
        await asyncio.gather(leading, viewing, stopping, return_exceptions=True)


async def _first(leading: asyncio.Task[int], viewing: asyncio.Task[None]) -> int:
    """The exit code of whichever ended; raises what it raised."""
    if leading.done():
        return leading.result()
    viewing.result()
    return 1


async def _stopped(stop: asyncio.Event) -> None:
    await stop.wait()


def _say_ready(address: str, port: int) -> None:
    """One line on standard output for whoever started the process."""
    print(f"stowplan ready health=http://{address}:{port} pid={os.getpid()}", flush=True, file=sys.stdout)

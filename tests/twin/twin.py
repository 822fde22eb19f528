"""The same course on a real API server with ``stowplan run``, and in the simulator's shell.

The simulator is shown the objects as the API server has them (names, UIDs, times of creation) and nothing
of what the live scheduler did with them, but for two times. The choice of victims weighs how many GPU-seconds
each would lose, and so depends on the second in which it is made, which no two processes share: so the
simulator learns when the API server bound a pod, and chooses victims at the instant at which the live
scheduler did, as its decision record has it. Neither is a decision. After each step both must have the same
pods on the same nodes and devices, have evicted the same ones, and say the same of each that waits. The live
process is stopped while a step is applied, so that it sees the step whole, as the simulator does.
"""

from __future__ import annotations

import asyncio
import itertools
import re
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Final

import msgspec

from deploy.local.audit import Overdue
from scheduler.inventory.writer import GPUNodes
from scheduler.kube import wire
from scheduler.kube.transport import AlreadyExists
from scheduler.kube.wire.inventory import GPUDevice, GPUNode, GPUNodeStatus
from scheduler.live.announcements import Condition
from scheduler.live.devices import PATH, GPUNodeFeed
from scheduler.live.feeds import NamespaceFeed, NodeFeed, TeamQuotaFeed
from scheduler.model.objects import Pod, Rejected
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.parse.pod import parse_pod
from scheduler.record import read
from scheduler.records import devices_of
from simulations.shell import Shell
from simulations.virtual import VirtualCluster
from tests.devices.scene import FRACTION
from tests.faults.scheduler import SchedulerProcess, Terms
from tests.faults.stage import Json, gang, pod
from tests.faults.watches import Shown
from tests.teams.stage import QUOTAS, TeamStage
from tests.twin.course import GPUS, NODES, PRIORITIES, TEAMS, End, Submit, course

CLASSES: Final = "/apis/scheduling.k8s.io/v1/priorityclasses"
CYCLES_MAX: Final = 100
STEP_S: Final = 60.0
#: Renewals of the lease, with several cycles in each, after which nothing more is expected.
BEATS: Final = 3

#: A lease that outlives the stops.
TERMS: Final = Terms(lease_s=15, renew_deadline_s=10.0, write_timeout_s=2.0, partial_s=10.0)
#: By (team, pod): the node and the devices, or why it waits; what is gone is absent.
Picture = dict[tuple[str, str], tuple[str, tuple[str, ...], str, str]]
#: The word of an agent lives for 30 s.
PROBE_S: Final = 10.0


class _List(msgspec.Struct):
    items: list[wire.Pod]


class _Nodes(msgspec.Struct):
    items: list[wire.Node]


class _Namespaces(msgspec.Struct):
    items: list[wire.Namespace]


class _Quotas(msgspec.Struct):
    items: list[wire.TeamQuota]


class _GPUNodes(msgspec.Struct):
    items: list[GPUNode]


#: How much there is, as it was when the verdict was found: it stays so until something is released.
COUNTS: Final = re.compile(r", \d+ can be had where it may go| \(\d+/\d+ nodes .*\)$")


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """What a course came to."""

    steps: int
    bound: int
    #: Of these, how many the devices were named.
    on_devices: int
    evicted: int
    waited: int


class Simulated:
    """The simulator's side."""

    def __init__(self) -> None:
        self._cluster = VirtualCluster()
        self.shell = Shell(
            self._cluster,
            policy=Policy(),
            budget=Budget(),
            bound=lambda pod: None,
            evicted=self._evicted,
            clears=lambda clearing: None,
            later=lambda after_s, call: None,
        )
        self.evicted = 0
        self._last: Plan | None = None

    def _evicted(self, uid: str) -> None:
        self.evicted += 1

    def sees(self, found: wire.Pod) -> None:
        """A pod that was created."""
        parsed = parse_pod(found)
        assert not isinstance(parsed, Rejected), parsed
        self._cluster.pods[parsed.uid] = parsed
        self.shell.state.set_pod(parsed)

    def times(self, found: wire.Pod) -> None:
        """When a pod that both have bound was bound."""
        parsed = parse_pod(found)
        known = self._cluster.pods.get(found.metadata.uid)
        if known is not None and known.node_name and not isinstance(parsed, Rejected):
            self._cluster.pods[known.uid] = replace(known, started_s=parsed.started_s)
            self.shell.state.set_pod(self._cluster.pods[known.uid])

    def loses(self, uid: str) -> None:
        self._cluster.delete(uid)
        self.shell.state.remove_pod(uid)

    def pods(self) -> Mapping[str, Pod]:
        return self._cluster.pods

    async def settle(self, when_s: Callable[[Plan], Awaitable[float]]) -> None:
        """Cycles until one decides nothing more; ``when_s``: at what instant victims are chosen."""
        self.shell.state.at(time.time())
        for _ in range(CYCLES_MAX):
            now_s = time.time()
            about = self.shell.cycles.begin(now_s, now_s).plan()
            self._last = self.shell.cycle(await when_s(about) if about.clearings else now_s)
            if not self._last.places and not self._last.clearings:
                return
        raise AssertionError("the simulator does not come to rest")

    def picture(self, team_of: Mapping[str, str]) -> Picture:
        found: Picture = {
            (team_of[one.namespace], one.name): (one.node_name, devices_of(one), "", "")
            for one in self._cluster.pods.values()
        }
        for verdict in self._last.verdicts if self._last is not None else ():
            for member in self.shell.state.members(verdict.key):
                if not member.node_name:
                    place = (team_of[member.namespace], member.name)
                    said = Condition.of(verdict.reason, verdict.message)
                    found[place] = ("", (), said.reason, _without_counts(said.message))
        return found


class Twin:
    def __init__(self, teams: TeamStage) -> None:
        self._teams = teams
        self._api = teams.stage.api
        self._simulated = Simulated()
        self._team_of = {teams.namespace(team): team for team in TEAMS}
        self._nodes: list[str] = []
        self._probed_s = -PROBE_S
        #: What the live scheduler was sent.
        self._shown = Shown()

    async def run(self, seed: int, gangs: int) -> Counted:
        """Raises: Overdue or AssertionError where the two differ."""
        await self._set_up()
        self._teams.stage.proxy.add(
            lambda call: call.is_watch and call.resource in ("pods", "nodes"), watch=self._shown
        )
        live = await self._teams.stage.start()
        steps = waited = 0
        for step in course(seed, gangs):
            where = f"seed {seed}, step {steps}: {step}"
            await self._probe()
            live.pause()
            records = len(live.decisions())
            try:
                await self._apply(step)
            finally:
                live.resume()
            await self._simulated.settle(self._chosen_s(live, records, where))
            await self._until_same(where)
            await self._tell_times()
            steps += 1
            waited += sum(not node for node, *_ in self._wanted().values())
        await self._teams.stage.beats(BEATS)
        await self._until_same(f"seed {seed}, in the end")
        bound = [one for one in self._simulated.pods().values() if one.node_name]
        return Counted(
            steps=steps,
            bound=len(bound),
            on_devices=sum(bool(devices_of(one)) for one in bound),
            evicted=self._simulated.evicted,
            waited=waited,
        )

    def _chosen_s(
        self, live: SchedulerProcess, records: int, where: str
    ) -> Callable[[Plan], Awaitable[float]]:
        """Of each choice of victims in a step, when the live scheduler made it; before it, ``records`` are
        there.
        """
        index = itertools.count(records)

        async def when_s(about: Plan) -> float:
            at = next(index)
            try:
                # The record is written before the first eviction, which the auditor then sees.
                await self._teams.stage.until(
                    lambda _: len(live.decisions()) > at, "victims are chosen", timeout_s=STEP_S
                )
            except Overdue as error:
                told = [
                    f"{clearing.rule} for {clearing.beneficiaries[0].key}" for clearing in about.clearings
                ]
                text = f"{where}\nlive evicts nobody, simulated: {told}\n{str(error)[:2_000]}"
                raise AssertionError(text) from error
            return read(live.decisions()[at]).snapshot.at_s

        return when_s

    async def _set_up(self) -> None:
        for value, name in enumerate(PRIORITIES):
            body = {"metadata": {"name": name}, "value": value * 100}
            try:
                await self._api.request("POST", CLASSES, body=msgspec.json.encode(body))
            except AlreadyExists:
                continue
        self._nodes = await self._teams.stage.nodes(NODES, gpus=GPUS)
        for team in TEAMS:
            await self._teams.team(team, guaranteed={"gpu": NODES * GPUS // len(TEAMS)})
        state = self._simulated.shell.state
        NamespaceFeed(state).put((await self._api.get("/api/v1/namespaces", _Namespaces)).items)
        TeamQuotaFeed(state).put((await self._api.get(QUOTAS, _Quotas)).items)
        NodeFeed(state).put((await self._api.get("/api/v1/nodes", _Nodes)).items)

    async def _probe(self) -> None:
        """Agents tell of every node, in time."""
        if time.monotonic() - self._probed_s < PROBE_S:
            return
        self._probed_s = time.monotonic()
        for name in self._nodes:
            await GPUNodes(self._api, name, counted=lambda: None).write(_status(name))
        told = (await self._api.get(PATH, _GPUNodes)).items
        feed = GPUNodeFeed(self._simulated.shell.state)
        feed.put([one for one in told if one.metadata.name in self._nodes])

    async def _apply(self, step: Submit | End) -> None:
        match step:
            case Submit():
                await self._submit(step)
            case End(what="node"):
                name = step.among(self._nodes)
                self._nodes.remove(name)
                await self._api.delete(f"/api/v1/nodes/{name}", grace_s=0)
                self._simulated.shell.state.remove_node(name)
                await self._end(
                    {self._gang(one) for one in self._simulated.pods().values() if one.node_name == name}
                )
                await self._until_shown({("DELETED", "", name)})
            case End():
                running = {self._gang(one) for one in self._simulated.pods().values() if one.node_name}
                if running:
                    await self._end({tuple(step.among(["/".join(place) for place in running]).split("/"))})

    async def _tell_times(self) -> None:
        """When the API server says each pod was bound."""
        for team in TEAMS:
            for found in await self._listed(team):
                self._simulated.times(found)

    async def _listed(self, team: str) -> Sequence[wire.Pod]:
        path = f"/api/v1/namespaces/{self._teams.namespace(team)}/pods"
        return (await self._api.get(path, _List)).items

    async def _submit(self, step: Submit) -> None:
        extra: Json = {"priorityClassName": step.priority}
        if step.size == 1:
            pods = [pod(f"{step.name}-0", gpus=step.gpus, **extra)]
        else:
            pods = gang(step.name, step.size, gpus=step.gpus, **extra)
        if step.share:
            for body in pods:
                body["metadata"]["annotations"][FRACTION] = step.share
                body["spec"]["containers"][0]["resources"] = {"limits": {"cpu": "1"}}
        await self._teams.create(step.team, pods)
        known = self._simulated.pods()
        for found in await self._listed(step.team):
            if found.metadata.name.startswith(f"{step.name}-") and found.metadata.uid not in known:
                self._simulated.sees(found)

    async def _end(self, gangs: set[tuple[str, ...]]) -> None:
        """The pods of these gangs are over; they leave together."""
        over = [one for one in self._simulated.pods().values() if self._gang(one) in gangs]
        for one in over:
            await self._api.delete(f"/api/v1/namespaces/{one.namespace}/pods/{one.name}", grace_s=0)
            self._simulated.loses(one.uid)
        await self._until_shown({("DELETED", one.namespace, one.name) for one in over})

    async def _until_shown(self, events: set[tuple[str, str, str]]) -> None:
        """The stopped process has been sent all of a step before it goes on."""
        async with asyncio.timeout(STEP_S):
            await self._shown.until(events)

    def _gang(self, one: Pod) -> tuple[str, ...]:
        return (one.namespace, one.name.rpartition("-")[0])

    def _wanted(self) -> Picture:
        return self._simulated.picture(self._team_of)

    async def _until_same(self, where: str) -> None:
        wanted = self._wanted()
        stage = self._teams.stage

        def live() -> Picture:
            found: Picture = {}
            for team in TEAMS:
                for name, seen in stage.auditor.pods(self._teams.namespace(team)).items():
                    reason, said = ("", "") if seen.node or seen.told is None else seen.told[1:]
                    found[team, name] = (seen.node, seen.devices, reason, _without_counts(said))
            return found

        try:
            await stage.until(lambda _: live() == wanted, where, timeout_s=STEP_S)
        except Overdue as error:
            text = "\n".join([where, *_differences(live(), wanted), str(error)[:2_000]])
            raise AssertionError(text) from error


def _status(node: str) -> GPUNodeStatus:
    """What the agent of a healthy node says now."""
    now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    devices = tuple(
        GPUDevice(
            index=index,
            uuid=f"GPU-{uuid.uuid5(uuid.NAMESPACE_DNS, f'{node}/{index}')}",
            model="NVIDIA-H100-80GB-HBM3",
            memory_bytes=80 << 30,
            state="Healthy",
        )
        for index in range(GPUS)
    )
    return GPUNodeStatus(
        state="Ready",
        last_probe=now,
        last_heartbeat=now,
        gpus=GPUS,
        healthy=GPUS,
        usable=GPUS,
        devices=devices,
    )


def _without_counts(message: str) -> str:
    """What a pod is told but for the counts, which depend on the moment."""
    return COUNTS.sub("", message)


def _differences(live: Picture, wanted: Picture) -> Sequence[str]:
    return [
        f"{'/'.join(place)}: live {live.get(place, 'gone')}, simulated {wanted.get(place, 'gone')}"
        for place in sorted({*live, *wanted})
        if live.get(place) != wanted.get(place)
    ]

"""Plays the story: cluster, nodes, scheduler, manifests, and the judgement in the end."""

from __future__ import annotations

import asyncio
import io
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path

from msgspec import convert

from deploy.local.audit.auditor import Auditor
from deploy.local.build import ensure_binary
from deploy.local.cluster import Cluster, running_cluster
from deploy.local.demo import judge, lending, view
from deploy.local.demo.scheduler import SchedulerEnded, log_tail, running_scheduler
from deploy.local.demo.screen import Screen
from deploy.local.demo.story import ACTS, LOAN, NODES, Act, manifests
from deploy.local.demo.submit import make_namespace, submit
from deploy.local.identities import Identity
from deploy.local.nodes.actor import NodeActor, Settings
from deploy.local.nodes.pools import read_pools
from deploy.local.progress import shown
from scheduler.kube.endpoint import Endpoint
from scheduler.kube.transport import Transport
from scheduler.kube.wire import Node, PodGroup, TeamQuota

#: The whole story after the cluster is up; it takes about 20 s.
PLAY_S_MAX = 80.0
#: One manifest until each of its gangs is placed or says why not.
ACT_S_MAX = 20.0
VIOLATIONS_SHOWN_MAX = 5
#: What the scheduler writes beside the binds (a team's status, Events) is read again after this.
AGAIN_S = 0.25


class Play:
    """One performance on a running cluster."""

    def __init__(self, transport: Transport, auditor: Auditor, screen: Screen) -> None:
        self._transport = transport
        self._auditor = auditor
        self._screen = screen
        self._view = view.View(transport, self._changed)
        self._nodes: list[Node] = []
        self._groups: list[PodGroup] = []
        self._quotas: list[TeamQuota] = []
        self._lent: lending.Lent | None = None
        self.waited: dict[str, judge.Waited] = {}

    async def perform(self) -> list[judge.Judgement]:
        """Submit every act, wait for its outcome, judge. Raises: ClusterError."""
        self._nodes = await view.read_nodes(self._transport)
        await make_namespace(self._transport)
        watching = asyncio.create_task(self._view.run())
        try:
            late = await self._acts(watching)
        finally:
            watching.cancel()
        return [*await self._judge(), *late]

    async def _acts(self, watching: asyncio.Task[None]) -> list[judge.Judgement]:
        """What did not come in time, as judgements."""
        for act in ACTS:
            self._screen.say(f"{act.file}: {act.says}")
            objects = act.manifests()
            # Known before their pods come, so that no pod is ever taken for a single one.
            self._groups += [convert(each, PodGroup) for each in objects if each["kind"] == "PodGroup"]
            await submit(self._transport, objects)
            if not await self._in_time(watching, partial(self._is_settled, act), ACT_S_MAX):
                return [_late(act)]
        await self._borrow_and_take_back(watching)
        waiting = [act for act in ACTS if act.outcome == "whole"]
        if not await self._in_time(watching, lambda: all(map(self._is_whole, waiting)), PLAY_S_MAX):
            return [_late(act) for act in waiting if not self._is_whole(act)]
        return []

    async def _borrow_and_take_back(self, watching: asyncio.Task[None]) -> None:
        """The loan, step by step; what did not come about is for the judge to say."""
        self._screen.say(f"{LOAN.quotas}: two teams, each guaranteed half of the {LOAN.product} GPUs")
        await submit(self._transport, manifests(LOAN.quotas))
        self._quotas = await view.read_team_quotas(self._transport)
        self._screen.say(f"{LOAN.borrows}: {LOAN.borrower} takes all of them")
        borrowing = manifests(LOAN.borrows)
        await submit(self._transport, borrowing)
        if not await self._in_time(
            watching, lambda: self._all_hold(LOAN.borrower, len(borrowing)), ACT_S_MAX
        ):
            return
        await self._until_told()
        self._lent = lending.lent(await view.read_pods(self._transport), self._quotas)
        self._screen.say(f"{LOAN.takes_back}: {LOAN.lender} asks for its guarantee")
        claiming = manifests(LOAN.takes_back)
        await submit(self._transport, claiming)
        await self._in_time(watching, lambda: self._all_hold(LOAN.lender, len(claiming)), ACT_S_MAX)

    async def _until_told(self) -> None:
        """Until the borrower's TeamQuota says that it borrows, or long enough."""
        for _ in range(int(ACT_S_MAX / AGAIN_S)):
            self._quotas = await view.read_team_quotas(self._transport)
            if lending.told_borrowed(self._quotas, LOAN.borrower):
                return
            await asyncio.sleep(AGAIN_S)

    def _all_hold(self, team: str, pods: int) -> bool:
        return len(lending.holders(self._view.pods.values(), team)) == pods

    async def _in_time(self, watching: asyncio.Task[None], holds: Callable[[], bool], limit_s: float) -> bool:
        """Whether it became true in time. Raises what the watch raised."""
        seen = asyncio.create_task(self._view.until(holds))
        done, _ = await asyncio.wait({seen, watching}, timeout=limit_s, return_when=asyncio.FIRST_COMPLETED)
        seen.cancel()
        if watching in done:
            watching.result()
        return seen in done

    def _changed(self) -> None:
        found = self._subjects()
        self._screen.show(found)
        if self._quotas:
            self._screen.show_teams(lending.states(list(self._view.pods.values()), self._quotas))
        for name, subject in found.items():
            if name not in self.waited and subject.waits_as_one:
                room = judge.room(self._nodes, subject.members, self._view.pods.values())
                ((_, message),) = subject.reasons
                self.waited[name] = judge.Waited(message=message, room=room)

    def _subjects(self) -> dict[str, judge.Subject]:
        return judge.subjects(self._view.pods.values(), self._groups)

    def _is_settled(self, act: Act) -> bool:
        """Placed, or told why not; a pod of another scheduler is settled by being there."""
        found = self._subjects()
        return all(
            name in found and (act.outcome == "alone" or found[name].is_whole or found[name].waits_as_one)
            for name in act.subjects
        )

    def _is_whole(self, act: Act) -> bool:
        found = self._subjects()
        return all(name in found and found[name].is_whole for name in act.subjects)

    async def _judge(self) -> list[judge.Judgement]:
        pods = await view.read_pods(self._transport)
        self._groups = await view.read_groups(self._transport)
        self._nodes = await view.read_nodes(self._transport)
        lines = judge.judge(ACTS, judge.subjects(pods, self._groups), self._nodes, self.waited)
        lines += lending.judge_loan(
            self._lent,
            quotas=await view.read_team_quotas(self._transport),
            pods=pods,
            events=await view.read_events(self._transport, LOAN.borrower),
            nodes=self._nodes,
        )
        over = judge.overcommitted(self._nodes, pods)
        text = "; ".join(over) if over else f"no GPU given out twice on {len(self._nodes)} nodes"
        nodes = judge.Judgement(subject="all nodes", is_right=not over, found=text)
        return [*lines, nodes, await self._audited()]

    async def _audited(self) -> judge.Judgement:
        """What the invariants say of every revision, by an auditor that watched from the first."""
        broken = await self._auditor.violations(is_served=True)
        text = (
            "; ".join(map(str, broken[:VIOLATIONS_SHOWN_MAX]))
            or "gangs atomic, no overcommit, one bind a pod, no useless eviction"
        )
        return judge.Judgement(subject="all revisions", is_right=not broken, found=text)


def _late(act: Act) -> judge.Judgement:
    return judge.Judgement(subject=act.subjects[0], is_right=False, found="its outcome did not come in time")


def play(*, keep: bool) -> int:
    """The exit code: 0 only if every judgement is right. Raises: LocalError, ClusterError, SchedulerEnded."""
    # Told to stop is the same as Ctrl-C: leave every block in order.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Whoever reads a pipe sees each step when it happens.
        sys.stdout.reconfigure(line_buffering=True)
    with shown() as watcher:
        ensure_binary(watcher)
    began_s = time.monotonic()
    with Screen(ACTS, lambda: time.monotonic() - began_s) as screen:
        screen.say("booting etcd and kube-apiserver")
        with running_cluster() as cluster, tempfile.TemporaryDirectory(prefix="stowplan-demo-") as folder:
            return asyncio.run(_on_cluster(cluster, Path(folder), screen, keep=keep))


async def _on_cluster(cluster: Cluster, folder: Path, screen: Screen, *, keep: bool) -> int:
    async with AsyncExitStack() as stack:
        admin = await stack.enter_async_context(_transport(cluster, "admin"))
        kubelets = await stack.enter_async_context(_transport(cluster, "node-actor"))
        pools = read_pools(NODES)
        settings = Settings(logs=folder)
        actor = await stack.enter_async_context(NodeActor(kubelets, pools, settings=settings))
        auditor = await stack.enter_async_context(Auditor(admin))
        screen.say(f"{len(actor.nodes)} nodes are ready; starting stowplan run")
        scheduler = await stack.enter_async_context(running_scheduler(cluster.kubeconfig("stowplan"), folder))
        lines = await _unless_it_ends(scheduler, Play(admin, auditor, screen).perform(), folder)
        screen.summary(lines)
        is_right = all(line.is_right for line in lines)
        if not is_right:
            screen.say(f"the scheduler's last words:\n{log_tail(folder)}")
        screen.say(
            "every gang is whole, or wholly pending with a true reason; what was lent came back"
            if is_right
            else "not as promised"
        )
        if keep:
            screen.say(f"left running; export KUBECONFIG={cluster.admin_kubeconfig}; Ctrl-C ends it")
            await scheduler.wait()
        return 0 if is_right else 1


def _transport(cluster: Cluster, identity: Identity) -> Transport:
    endpoint = Endpoint.from_kubeconfig(cluster.kubeconfig(identity))
    return Transport(endpoint, user_agent="stowplan-demo")


async def _unless_it_ends(
    process: asyncio.subprocess.Process,
    performance: Coroutine[None, None, list[judge.Judgement]],
    folder: Path,
) -> list[judge.Judgement]:
    """The judgements. Raises: SchedulerEnded when the scheduler's process ends before."""
    ended = asyncio.create_task(process.wait())
    playing = asyncio.create_task(performance)
    await asyncio.wait({ended, playing}, return_when=asyncio.FIRST_COMPLETED)
    ended.cancel()
    if not playing.done():
        playing.cancel()
        await asyncio.wait({playing})
        raise SchedulerEnded(
            f"stowplan run ended with exit code {process.returncode}; its log ends with:\n{log_tail(folder)}"
        )
    return playing.result()

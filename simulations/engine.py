"""The event engine: virtual time jumps from one thing that happens to the next.

Deterministic: same workload, nodes, policy and budget, same outcome. Assumptions, which every report
repeats: a write is answered at once; a job starts when ``min_pods`` of it are bound and then runs for its
duration; a job that was evicted has a checkpoint and goes on from there after ``restart_s``. What becomes of
a gang that lost pods with their node is decided by the cycle rules, as live (``scheduler.losses``).
"""

from __future__ import annotations

import heapq
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

from scheduler.gangs.healing import Healing
from scheduler.model.objects import GPU, Node, Pod
from scheduler.model.plan import Budget, Clearing, Plan, Policy
from scheduler.records import devices_of
from simulations.node_events import NodeChange
from simulations.nodes import MODEL_LABEL, device_numbers, inventory
from simulations.outcome import Absences, Curve, Due, Eviction, Outcome, Stay, Stays, Story
from simulations.shell import Shell
from simulations.speeds import Speeds
from simulations.teams import Teams, due
from simulations.underway import Cause, Life, Place
from simulations.virtual import VirtualCluster, milli_of
from simulations.workload import MILLI, Workload, gpus, until

Progress = Callable[[int, float], None]
#: Moments of the teams that are remembered; at the last, every second one is dropped.
DUES_MAX = 480


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """How to run a workload. ``restart_s`` is lost each time an evicted job starts again; ``cycle_s`` is the
    least time between cycles (the live loop's is 10 ms); ``patience_s`` how long a job waits to start at all;
    ``checkpoint_s`` the time at work between two checkpoints, from the last of which a job goes on whose node
    failed (0: it loses no work; one that is evicted never does). Figures are of jobs submitted from
    ``warm_up_s`` on; at ``horizon_s`` the run ends, whatever runs or waits.
    """

    policy: Policy = field(default_factory=Policy)
    budget: Budget = field(default_factory=Budget)
    restart_s: float = 0.0
    cycle_s: float = 0.01
    patience_s: float | None = None
    checkpoint_s: float = 0.0
    warm_up_s: float = 0.0
    horizon_s: float | None = None
    changes: Sequence[NodeChange] = ()
    #: Who may use how much; a job's team is its namespace. ``grace_s``: what an evicted pod takes to be gone.
    teams: Teams = field(default_factory=Teams)
    grace_s: float = 0.0
    healing: Healing = field(default_factory=Healing)
    #: How fast jobs run on each model; None: as long as their durations everywhere.
    speeds: Speeds | None = None


class Engine:
    def __init__(self, workload: Workload, nodes: Sequence[Node], setting: Setting) -> None:
        """Raises: BadSpeeds where one is missing."""
        self.now_s = 0.0
        self._workload = workload = until(workload, setting.horizon_s)
        self._setting = setting
        self._nodes = {node.name: node for node in nodes}
        self._lost: dict[str, Node] = {}
        self._absences = Absences()
        self._cluster = VirtualCluster()
        self._shell = Shell(
            self._cluster,
            policy=setting.policy,
            budget=setting.budget,
            bound=self._bound,
            evicted=self._evicted,
            clears=self._clears,
            later=self._later,
            grace_s=setting.grace_s,
            units=setting.teams.units,
            healing=setting.healing,
        )
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._sequence = 0
        self._stories = [Story(job) for job in workload.jobs]
        self._stays = Stays()
        self._evictions: list[Eviction] = []
        self._curve = Curve()
        self._lives: dict[int, Life] = {}
        self._life_of: dict[str, Life] = {}
        self._waiting = 0
        self._waiting_milli = 0
        #: Pods that no node was found for yet.
        self._unbound = 0
        self._used: Counter[str] = Counter()
        self._sizes: dict[str, int] = {}
        #: In thousandths of a GPU, as all sums here.
        self._allocated = self._capacity = self._scattered = 0
        #: Devices are told apart only where somebody shares one: choosing them takes time.
        self._tells_devices = any(job.share_milli for job in workload.jobs)
        self._is_dirty = False
        self._cycled_s = -1e18
        self._cycles = 0
        self._ended = 0
        self._arrived = 0
        self._last: Plan | None = None
        self._dues: list[Due] = []
        self._due_s, self._due_every_s = 0.0, max(setting.cycle_s, _least_span_s(workload) / DUES_MAX)
        setting.teams.tell(self._shell.state, {job.team for job in workload.jobs})
        if setting.speeds is not None:
            setting.speeds.check(workload.jobs, (*nodes, *(change.node for change in setting.changes)))
        for node in nodes:
            self._join(node)

    def run(self, progress: Progress | None = None) -> Outcome:
        """Until nothing is left to happen, or the horizon. ``progress`` is told (jobs ended, virtual time)
        now and then.
        """
        self._later_at(0.0, self._arrive)
        for change in self._setting.changes:
            self._later_at(change.at_s, partial(self._change, change))
        horizon_s = math.inf if self._setting.horizon_s is None else self._setting.horizon_s
        while self._queue and self._queue[0][0] < horizon_s:
            self.now_s = self._queue[0][0]
            cycles = self._cycles
            while self._queue and self._queue[0][0] <= self.now_s:
                heapq.heappop(self._queue)[2](self.now_s)
            is_news = self._is_dirty
            if is_news:
                self._cycle_when_due(self.now_s)
            if is_news or self._cycles > cycles:
                self._note()
            if progress is not None and self._sequence % 64 == 0:
                progress(self._ended, self.now_s)
        if self._queue:
            self.now_s = horizon_s
        self._explain_rest()
        self._leave_open()
        return Outcome(
            workload=self._workload,
            nodes=tuple(self._nodes.values()),
            lost=tuple(node for name, node in self._lost.items() if name not in self._nodes),
            stories=self._stories,
            stays=self._stays,
            evictions=self._evictions,
            curve=self._curve,
            cycles=self._cycles,
            end_s=self.now_s,
            warm_up_s=self._setting.warm_up_s,
            horizon_s=self._setting.horizon_s,
            dues=self._dues,
            absences=self._absences.all(),
        )

    # -- time ------------------------------------------------------------------------------------

    def _later(self, after_s: float, call: Callable[[float], None]) -> None:
        self._later_at(self.now_s + after_s, call)

    def _later_at(self, at_s: float, call: Callable[[float], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (at_s, self._sequence, call))

    def _arrive(self, now_s: float) -> None:
        """Submit what is due. One arrival at a time is in the queue, so that it stays short."""
        jobs = self._workload.jobs
        while self._arrived < len(jobs) and jobs[self._arrived].submit_s <= now_s:
            self._submit(self._arrived)
            self._arrived += 1
        if self._arrived < len(jobs):
            self._later_at(jobs[self._arrived].submit_s, self._arrive)

    def _cycle_when_due(self, now_s: float) -> None:
        due_s = self._cycled_s + self._setting.cycle_s
        self._is_dirty = False
        if due_s > now_s:
            self._later_at(due_s, self._cycle)
        else:
            self._cycle(now_s)

    def _cycle(self, now_s: float) -> None:
        if self._cycled_s == now_s:
            return
        self._cycled_s = now_s
        if not self._unbound and not self._setting.teams.quotas:
            # With nobody to place a cycle decides nothing; only the use that teams are charged goes on.
            return
        self._last = self._shell.cycle(now_s)
        if self._last.left_open:
            self._later(self._setting.cycle_s, self._cycle)
        self._cycles += 1
        due_s = self._shell.cycles.due_s(now_s)
        if due_s is not None:
            self._later_at(max(due_s, now_s + self._setting.cycle_s), self._cycle)

    # -- what happens ------------------------------------------------------------------------------

    def _submit(self, index: int) -> None:
        life = Life(index, {}, self._workload.jobs[index].duration_s, self.now_s)
        self._lives[index] = life
        self._create(life)
        if self._setting.patience_s is not None:
            self._later(self._setting.patience_s, partial(self._give_up, life))

    def _create(self, life: Life) -> None:
        job = self._workload.jobs[life.index]
        self._queues(life, job.total_milli)
        for pod in self._cluster.create(job, life.index, life.life, job.duration_s - life.left_s):
            life.pods[pod.uid] = None
            self._unbound += 1
            self._life_of[pod.uid] = life
            self._shell.state.set_pod(pod)
        self._is_dirty = True

    def _queues(self, life: Life, milli: int | None) -> None:
        """The job waits for so many thousandths of a GPU; None: not any more."""
        self._waiting += (milli is not None) - (life.waits_for is not None)
        self._waiting_milli += (milli or 0) - (life.waits_for or 0)
        life.waits_for = milli

    def _bound(self, pod: Pod) -> None:
        life = self._life_of[pod.uid]
        job = self._workload.jobs[life.index]
        milli = milli_of(pod.shape)
        devices = device_numbers(devices_of(pod)) if self._tells_devices else ()
        life.pods[pod.uid] = Place(pod.node_name, self.now_s, milli, devices)
        life.bound += 1
        self._unbound -= 1
        self._use(pod.node_name, milli)
        if life.bound >= job.min_pods and life.running_since_s is None:
            self._start(life)

    def _start(self, life: Life) -> None:
        story = self._stories[life.index]
        self._queues(life, None)
        overhead_s = 0.0 if story.started_s is None else self._setting.restart_s
        life.start(self.now_s, overhead_s, self._speed(life))
        story.queued_s += self.now_s - life.queued_since_s
        if story.started_s is None:
            story.started_s = self.now_s
        number = life.run
        self._later(life.overhead_s + life.left_s / life.speed, lambda at_s: self._finish(life, number))
        for wait_s in self._setting.teams.waits_s:
            self._later(wait_s, self._look_again)

    def _speed(self, life: Life) -> float:
        if self._setting.speeds is None:
            return 1.0
        models = (self._nodes[place.node].labels[MODEL_LABEL] for place in life.places() if place.milli)
        return self._setting.speeds.slowest(self._workload.jobs[life.index], models)

    def _look_again(self, _: float) -> None:
        """Time alone changed what may be decided."""
        self._is_dirty = True

    def _finish(self, life: Life, number: int) -> None:
        """The job's processes end, unless it was stopped since."""
        if life.run != number:
            return
        self._leave_nodes(life)
        for uid in life.pods:
            self._remove(uid)
        life.run += 1
        self._stories[life.index].ended_s = self.now_s
        del self._lives[life.index]
        self._ended += 1
        self._is_dirty = True

    def _leave_nodes(self, life: Life) -> None:
        for place, pods in Counter(life.places()).items():
            self._leave(life, place, pods)

    def _leave(self, life: Life, place: Place, pods: int) -> None:
        """Pods of a job that were bound together to a node are gone from it."""
        self._use(place.node, -pods * place.milli)
        self._stayed(life, place, pods)

    def _stayed(self, life: Life, place: Place, pods: int) -> None:
        """Pods of a job held their GPUs until now."""
        node, since_s, milli, devices = place
        works_s, held = life.works_s(since_s, self.now_s), gpus(pods * milli)
        self._stays.append(Stay(life.index, node, pods, since_s, self.now_s, works_s, held, devices))
        if life.stopped_by == "fault":
            self._stories[life.index].lost_gpu_s += held * (min(works_s, self.now_s) - since_s)

    def _remove(self, uid: str) -> None:
        self._cluster.delete(uid)
        self._shell.state.remove_pod(uid)
        life = self._life_of.pop(uid, None)
        if life is not None and uid in life.pods and life.pods[uid] is None:
            self._unbound -= 1

    def _evicted(self, uid: str) -> None:
        """A pod was taken back: its job's controller starts all of the job anew, from its checkpoint."""
        life = self._life_of.get(uid)
        if life is None:
            return
        if uid in life.parts:
            self._replace(life, life.parts.pop(uid))
            return
        self._anew(life, "eviction")

    def _anew(self, life: Life, cause: Cause) -> None:
        """All pods of a job are gone, or go now, and its controller makes them anew."""
        milli = life.milli
        self._leave_nodes(life)
        if life.running_since_s is not None:
            self._stop(life, cause, milli)
        self._queues(life, None)
        for other in life.pods:
            self._remove(other)
        life.pods.clear()
        life.parts.clear()
        life.life, life.bound = life.life + 1, 0
        self._later(0.0, lambda at_s: self._create(life))

    def _stop(self, life: Life, cause: Cause, milli: int) -> None:
        """A job that ran, on so many thousandths of a GPU, does not any more; its stays are closed."""
        story = self._stories[life.index]
        again_s = life.stop(self.now_s, cause, self._setting.checkpoint_s if cause == "fault" else 0.0)
        story.stopped(cause)
        story.lost_gpu_s += again_s * gpus(milli)

    def _lose(self, life: Life, uids: Sequence[str], cause: Cause) -> None:
        """Pods of a job are gone with their node. Where others stand, these are made anew beside them; fewer
        than the job's minimum hold what they have and do no work, until the cycle rules say what comes of it.
        """
        job, milli = self._workload.jobs[life.index], life.milli
        if len(uids) == life.bound:
            self._anew(life, cause)
            return
        for uid in uids:
            life.parts.pop(uid, None)
            self._replace(life, self._cluster.pods[uid])
        if life.bound >= job.min_pods:
            return
        if life.running_since_s is not None:
            for uid, place in life.pods.items():
                if place is not None:
                    self._stayed(life, place, 1)
                    life.pods[uid] = place._replace(since_s=self.now_s)
            self._stop(life, cause, milli)
        self._queues(life, job.total_milli - life.milli)

    def _replace(self, life: Life, pod: Pod) -> None:
        """A pod is gone and others of its job stay: another waits in its place."""
        place = life.pods.pop(pod.uid)
        if place is not None:
            self._leave(life, place, 1)
            life.bound -= 1
            self._unbound += 1
        self._remove(pod.uid)
        fresh = self._cluster.again(pod)
        life.pods[fresh.uid] = None
        self._life_of[fresh.uid] = life
        self._shell.state.set_pod(fresh)
        self._is_dirty = True

    def _clears(self, clearing: Clearing) -> None:
        """Victims are about to be told to go."""
        jobs = {self._life_of[p.uid].index for gang in clearing.beneficiaries for p in gang.pods}
        for victim in clearing.victims:
            life = self._life_of[victim.pods[0].uid]
            since_s = max(pod.started_s or 0.0 for pod in victim.pods)
            if victim.is_whole:
                since_s = since_s if life.running_since_s is None else life.running_since_s
            else:
                life.parts |= {pod.uid: pod for pod in victim.pods}
            self._evictions.append(
                Eviction(
                    at_s=self.now_s,
                    job=life.index,
                    pods=len(victim.pods),
                    is_whole=victim.is_whole,
                    ran_s=self.now_s - since_s,
                    rule=clearing.rule,
                    beneficiaries=tuple(sorted(jobs)),
                )
            )

    def _change(self, change: NodeChange, _: float) -> None:
        """The node is lost or cordoned before its pods are gone, so that nobody takes their rooms."""
        node = change.node
        if change.does != "joins" and node.name not in self._nodes:
            return
        self._absences.note(change, node.allocatable.get(GPU, 0))
        match change.does:
            case "joins":
                self._nodes[node.name] = node
                self._join(node)
            case "fails":
                self._lost[node.name] = self._nodes.pop(node.name)
                self._shell.state.remove_node(node.name)
                self._empty(node, "fault")
            case "drains":
                self._shell.state.set_node(replace(node, is_unschedulable=True))
                self._empty(node, "drain")
        self._is_dirty = True

    def _join(self, node: Node) -> None:
        self._shell.state.set_node(node)
        if self._tells_devices and node.allocatable.get(GPU, 0):
            self._shell.state.set_inventory(inventory(node))
        self._resize(node, node.allocatable.get(GPU, 0))

    def _empty(self, node: Node, cause: Cause) -> None:
        """Nothing runs on the node any more, and nothing will."""
        for life in list(self._lives.values()):
            if uids := life.on(node.name):
                self._lose(life, uids, cause)
        self._resize(node, 0)

    def _give_up(self, life: Life, _: float) -> None:
        """The owner deletes a job that has not started in time."""
        story = self._stories[life.index]
        if story.started_s is not None or life.index not in self._lives:
            return
        story.verdict = f"its owner gave up after {self._setting.patience_s:g} s"
        self._queues(life, None)
        for uid in life.pods:
            self._remove(uid)
        del self._lives[life.index]

    # -- what is remembered ------------------------------------------------------------------------

    def _note(self) -> None:
        self._curve.add(
            self.now_s,
            allocated=gpus(self._allocated),
            capacity=self._capacity // MILLI,
            jobs=self._waiting,
            gpus=gpus(self._waiting_milli),
            scattered=gpus(self._scattered),
        )
        if self._setting.teams.quotas and self.now_s >= self._due_s:
            self._note_due()

    def _note_due(self) -> None:
        found = due(self._shell.state, self.now_s)
        self._due_s = self.now_s + self._due_every_s
        if found is not None:
            self._dues.append(found)
        if len(self._dues) >= DUES_MAX:
            del self._dues[1::2]
            self._due_every_s *= 2

    def _use(self, name: str, milli: int) -> None:
        """Pods came to a node or left it."""
        before = self._used[name]
        self._used[name] = after = before + milli
        self._allocated += milli
        size = self._sizes.get(name, 0)
        self._scattered += (max(0, size - after) if after else 0) - (max(0, size - before) if before else 0)

    def _resize(self, node: Node, count: int) -> None:
        """A node joined with these GPUs, or left with none; nothing runs on it at this moment."""
        self._capacity += MILLI * count - self._sizes.get(node.name, 0)
        self._sizes[node.name] = MILLI * count

    def _leave_open(self) -> None:
        """Jobs that have not ended: they run or wait until the end of the run."""
        for life in self._lives.values():
            story = self._stories[life.index]
            if life.running_since_s is None:
                story.queued_s += self.now_s - life.queued_since_s
            story.stands = "waiting" if life.running_since_s is None else "running"
            for place, pods in Counter(life.places()).items():
                self._stayed(life, place, pods)

    def _explain_rest(self) -> None:
        """Jobs that never started, in the words of the last plan."""
        if self._last is None:
            return
        for verdict in (*self._last.verdicts, *self._shell.cycles.apart.verdicts()):
            gang = self._shell.state.view(verdict.key)
            life = None if gang is None or not gang.pods else self._life_of.get(gang.pods[0].uid)
            if life is not None:
                self._stories[life.index].verdict = verdict.message


def _least_span_s(workload: Workload) -> float:
    """No run of these jobs is shorter."""
    jobs = workload.jobs
    return max((job.submit_s + job.duration_s for job in jobs), default=0.0) - (
        jobs[0].submit_s if jobs else 0.0
    )

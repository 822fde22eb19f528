"""What if: a snapshot of a cluster with something changed, and how it would go on from there.

Both courses, changed and unchanged, go through the same planner, cycle rules and gang machine as the live
scheduler. Time passes only by ends that are known: a gang that says how long it runs, or for which a
limit is set, ends then (``simulations.lengths``); of others nobody knows, and they stay.
"""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import msgspec

from scheduler.gangs.registry import resolve
from scheduler.model.gang import GangKey
from scheduler.model.objects import GPU, Node, Pod
from scheduler.model.plan import Budget, Clearing, Plan, Policy
from simulations.lengths import Lengths
from simulations.shell import Shell
from simulations.snapshots import ClusterSnapshot
from simulations.submitted import Submitted
from simulations.teams import Teams
from simulations.virtual import VirtualCluster, milli_of
from simulations.workload import gpus as in_gpus

CYCLES_MAX = 20_000
#: The least time between two cycles, as live.
CYCLE_S = 0.01
DAEMONS = "DaemonSet"


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """What is different. ``teams`` replaces quotas of the same name; drained nodes lose what runs on them."""

    adds: Sequence[Node] = ()
    drains: frozenset[str] = frozenset()
    teams: Teams = field(default_factory=Teams)
    submits: Submitted = field(default_factory=Submitted)
    policy: Policy | None = None
    budget: Budget | None = None
    #: How long gangs are taken to run of which nothing says it; None: nobody knows, and they stay.
    default_s: float | None = None


class Displaced(msgspec.Struct, frozen=True, kw_only=True):
    """Pods of a gang that leave: when, in seconds from now, by which rule, for whom."""

    gang: str
    pods: int
    at_s: float
    rule: str
    beneficiary: str


class Start(msgspec.Struct, frozen=True, kw_only=True):
    """When a gang that waits starts, in seconds from now; None where nothing that is known to end lets it.

    One that runs now and is displaced is here too, with the time when it runs again. ``message`` says why it
    does not start under the change, in the scheduler's words.
    """

    gang: str
    pods: int
    is_submitted: bool
    is_running: bool
    before_s: float | None
    after_s: float | None
    message: str
    #: Of the pods that wait, or had to leave.
    gpus: float = 0.0


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """``displaced_before`` would have happened all the same."""

    starts: list[Start]
    displaced: list[Displaced]
    displaced_before: list[Displaced]
    #: Running gangs whose end nobody told.
    endless: int
    #: Gangs whose end was expected under the change, by what says it (``simulations.lengths``).
    ends_by: dict[str, int]
    horizon_s: float


@dataclass(slots=True, kw_only=True)
class Course:
    """How one world goes on. Keys are names as people see them."""

    starts: dict[str, float] = field(default_factory=dict)
    waiting: dict[str, int] = field(default_factory=dict)
    #: Pods that were made anew after they had to leave.
    again: dict[str, int] = field(default_factory=dict)
    messages: dict[str, str] = field(default_factory=dict)
    displaced: list[Displaced] = field(default_factory=list)
    endless: int = 0
    #: Thousandths of a GPU of ``waiting`` and of ``again``, by gang; and those held, from when on.
    milli: dict[str, int] = field(default_factory=dict)
    held: list[tuple[float, int]] = field(default_factory=list)
    #: GPUs of the nodes that pods may go to.
    capacity: int = 0
    #: What says when a gang ends, by gang.
    ends_by: dict[str, str] = field(default_factory=dict)


def what_if(
    snapshot: ClusterSnapshot, change: Change, *, policy: Policy, budget: Budget, horizon_s: float
) -> Answer:
    """What starts, when, and who is displaced, with the change and without it."""
    before, after = courses(snapshot, change, policy=policy, budget=budget, horizon_s=horizon_s)
    return answered(before, after, change, horizon_s)


def courses(
    snapshot: ClusterSnapshot, change: Change, *, policy: Policy, budget: Budget, horizon_s: float
) -> tuple[Course, Course]:
    """How the cluster goes on as it is, and with the change."""
    unchanged = Change(teams=Teams(units=change.teams.units), default_s=change.default_s)
    before = World(snapshot, unchanged, policy, budget, horizon_s).run()
    after = World(snapshot, change, change.policy or policy, change.budget or budget, horizon_s).run()
    return before, after


def answered(before: Course, after: Course, change: Change, horizon_s: float) -> Answer:
    """What the two courses say."""
    submitted = {gang_name(pod) for pod in change.submits.pods}
    pods = {**before.waiting, **after.again, **after.waiting}
    running = set(after.again) - set(after.waiting)
    starts = [
        Start(
            gang=name,
            pods=count,
            is_submitted=name in submitted,
            is_running=name in running,
            before_s=0.0 if name in running else before.starts.get(name),
            after_s=after.starts.get(name),
            message=after.messages.get(name, ""),
            gpus=in_gpus((after if name in after.milli else before).milli.get(name, 0)),
        )
        for name, count in pods.items()
    ]
    return Answer(
        starts=starts,
        displaced=after.displaced,
        displaced_before=before.displaced,
        endless=after.endless,
        ends_by=dict(sorted(Counter(after.ends_by.values()).items())),
        horizon_s=horizon_s,
    )


class World:
    """One course of a cluster from its snapshot on. Times inside are those of the snapshot's clock."""

    def __init__(
        self, snapshot: ClusterSnapshot, change: Change, policy: Policy, budget: Budget, horizon_s: float
    ) -> None:
        self._from_s = snapshot.taken_s
        self._now_s = snapshot.taken_s
        self._until_s = snapshot.taken_s + horizon_s
        self._change = change
        self._cluster = VirtualCluster()
        self._shell = Shell(
            self._cluster,
            policy=policy,
            budget=budget,
            bound=self._bound,
            evicted=self._evicted,
            clears=self._clears,
            later=self._later,
            units=change.teams.units,
            scheduler_name=snapshot.scheduler_name,
        )
        self._queue: list[tuple[float, int, Callable[[float], None]]] = []
        self._sequence = 0
        #: Gangs whose end is known, each with the number of the run that ends then.
        self._ends: dict[GangKey, int] = {}
        self._runs = 0
        self._lengths = Lengths((*snapshot.groups, *change.submits.groups), change.default_s)
        #: Every pod that is there, and by which rule and for whom victims leave.
        self._pods: dict[str, Pod] = {}
        self._why: dict[str, tuple[str, str]] = {}
        self._lives = 0
        self._is_dirty = True
        self._course = Course()
        snapshot.tell(self._shell.state)
        for pod in snapshot.pods:
            self._cluster.pods[pod.uid] = self._pods[pod.uid] = pod
        self._held_milli = sum(_held(pod) for pod in snapshot.pods)
        self._apply(change)
        nodes = self._shell.state.columns.nodes
        self._course.capacity = sum(n.allocatable.get(GPU, 0) for n in nodes if not n.is_unschedulable)

    def run(self) -> Course:
        """Until nothing more is known to happen, or the horizon."""
        self._note_waiting()
        self._hold(0)
        for key in self._shell.state.all_gang_keys():
            self._expect_end(key)
        self._course.endless = self._endless()
        last: Plan | None = None
        for _ in range(CYCLES_MAX):
            if self._is_dirty:
                self._is_dirty = False
                last = self._cycle()
                continue
            if not self._queue or self._queue[0][0] > self._until_s:
                break
            self._now_s = max(self._now_s, self._queue[0][0])
            while self._queue and self._queue[0][0] <= self._now_s:
                heapq.heappop(self._queue)[2](self._now_s)
        for verdict in (*last.verdicts, *self._shell.cycles.apart.verdicts()) if last is not None else ():
            self._course.messages[self._name(verdict.key)] = verdict.message
        return self._course

    def _cycle(self) -> Plan:
        planned = self._shell.cycle(self._now_s)
        due_s = self._shell.cycles.due_s(self._now_s)
        if due_s is not None:
            self._later(max(CYCLE_S, due_s - self._now_s), self._look_again)
        return planned

    def _apply(self, change: Change) -> None:
        state = self._shell.state
        change.teams.tell(state, set())
        for node in change.adds:
            state.set_node(node)
        for group in change.submits.groups:
            state.set_group(group)
        for pod in change.submits.pods:
            if pod.namespace not in state.namespaces:
                state.set_namespace(pod.namespace, {"kubernetes.io/metadata.name": pod.namespace})
            self._put(pod)
        for node in list(state.columns.nodes):
            if node.name in change.drains:
                state.set_node(replace(node, is_unschedulable=True))
        for pod in list(self._pods.values()):
            is_daemon = pod.owner is not None and pod.owner.kind == DAEMONS
            if pod.node_name in change.drains and pod.holds_capacity and not is_daemon:
                self._cluster.delete(pod.uid)
                state.remove_pod(pod.uid)
                self._leave(self._pods.pop(pod.uid), "drain", f"node {pod.node_name}")

    def _put(self, pod: Pod) -> None:
        self._cluster.pods[pod.uid] = self._pods[pod.uid] = pod
        self._shell.state.set_pod(pod)
        self._is_dirty = True

    # -- what happens ------------------------------------------------------------------------------

    def _later(self, after_s: float, call: Callable[[float], None]) -> None:
        self._sequence += 1
        heapq.heappush(self._queue, (self._now_s + after_s, self._sequence, call))

    def _look_again(self, _: float) -> None:
        self._is_dirty = True

    def _bound(self, pod: Pod) -> None:
        self._pods[pod.uid] = pod
        self._hold(_held(pod))
        key = self._shell.state.gang_of(pod.uid)
        if key is None:
            return
        self._course.starts.setdefault(self._name(key), self._now_s - self._from_s)
        self._expect_end(key)
        for wait_s in self._change.teams.waits_s:
            self._later(wait_s, self._look_again)

    def _expect_end(self, key: GangKey) -> None:
        """Have a running gang end when it said; a gang past its estimate may end whenever."""
        pods = [pod for pod in self._shell.state.members(key) if pod.holds_capacity]
        if key in self._ends or not pods:
            return
        length = self._lengths.of(pods[0])
        if length is None:
            return
        left_s = max(p.started_s or 0.0 for p in pods) + length.seconds - self._now_s
        if left_s > 0:
            self._course.ends_by[self._name(key)] = length.source
            self._runs += 1
            self._ends[key] = run = self._runs
            self._later(left_s, lambda _: self._end(key, run))

    def _end(self, key: GangKey, run: int) -> None:
        """The gang's pods finish, those that wait to join it too, unless all of it was taken back since."""
        if self._ends.get(key) != run:
            return
        del self._ends[key]
        for pod in self._shell.state.members(key):
            self._hold(-_held(pod))
            self._cluster.delete(pod.uid)
            self._pods.pop(pod.uid, None)
            self._shell.state.remove_pod(pod.uid)
        self._is_dirty = True

    def _clears(self, clearing: Clearing) -> None:
        """Victims are about to be told to go."""
        names = ", ".join(self._name(gang.key) for gang in clearing.beneficiaries)
        self._why |= {pod.uid: (clearing.rule, names) for victim in clearing.victims for pod in victim.pods}

    def _evicted(self, uid: str) -> None:
        self._leave(self._pods.pop(uid), *self._why.pop(uid, ("unwound", "")))

    def _leave(self, pod: Pod, rule: str, beneficiary: str) -> None:
        """A pod was taken back: who owns it makes another, a pod of nobody is gone for good."""
        self._displace(pod, rule, beneficiary)
        self._hold(-_held(pod))
        self._is_dirty = True
        key = resolve(pod)
        if isinstance(key, GangKey) and not any(p.holds_capacity for p in self._shell.state.members(key)):
            # None of it runs any more; of a gang that lost a part the rest goes on to its end.
            self._ends.pop(key, None)
        if pod.owner is not None and pod.scheduler_name == self._shell.state.scheduler_name:
            self._lives += 1
            name = gang_name(pod)
            self._course.again[name] = self._course.again.get(name, 0) + 1
            if name not in self._course.waiting:
                self._course.milli[name] = self._course.milli.get(name, 0) + milli_of(pod.shape)
                self._course.starts.pop(name, None)
            fresh = replace(
                pod,
                uid=f"{pod.uid}+{self._lives}",
                node_name="",
                nominated_node="",
                phase="Pending",
                is_deleting=False,
                created_s=self._now_s,
                started_s=None,
            )
            self._later(0.0, lambda _: self._put(fresh))

    def _displace(self, pod: Pod, rule: str, beneficiary: str) -> None:
        at_s, name = self._now_s - self._from_s, gang_name(pod)
        last = self._course.displaced[-1] if self._course.displaced else None
        found = Displaced(gang=name, pods=1, at_s=at_s, rule=rule, beneficiary=beneficiary)
        if last is not None and msgspec.structs.replace(last, pods=1) == found:
            self._course.displaced[-1] = msgspec.structs.replace(last, pods=last.pods + 1)
        else:
            self._course.displaced.append(found)

    # -- what is remembered ------------------------------------------------------------------------

    def _note_waiting(self) -> None:
        for gang in self._shell.state.snapshot(self._now_s).gangs:
            name = self._name(gang.key)
            self._course.waiting[name] = len(gang.pods)
            self._course.milli[name] = sum(milli_of(pod.shape) for pod in gang.pods)

    def _hold(self, milli: int) -> None:
        """So many thousandths of a GPU are held from now on, more than before."""
        self._held_milli += milli
        self._course.held.append((self._now_s - self._from_s, self._held_milli))

    def _endless(self) -> int:
        """Running gangs of ours of which no end is known."""
        state = self._shell.state
        running = [k for k in state.all_gang_keys() if any(p.holds_capacity for p in state.members(k))]
        return sum(key not in self._ends for key in running)

    def _name(self, key: GangKey) -> str:
        members = self._shell.state.members(key)
        return gang_name(members[0]) if members else str(key)


def _held(pod: Pod) -> int:
    """Thousandths of a GPU that a pod holds now."""
    return milli_of(pod.shape) if pod.holds_capacity else 0


def gang_name(pod: Pod) -> str:
    """The pod's gang as people name it: a single pod by its own name, not by its UID."""
    key = resolve(pod)
    is_gang = isinstance(key, GangKey) and not key.is_single
    return str(key) if is_gang else f"{pod.namespace}/{pod.name}"

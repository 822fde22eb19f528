"""What ``/metrics`` tells: names ``stowplan_*``, label values from closed sets only."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Mapping
from typing import Literal, get_args

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from binpacking.answer import Certificate, Feasible, Infeasible, Optimal, Unknown
from quotas.accounts import Account
from quotas.amounts import Amounts
from quotas.units import MILLI, UNITS
from scheduler.devices.book import Use
from scheduler.devices.cordon import Move
from scheduler.model.plan import Plan, Reason

Answer = Literal["optimal", "feasible", "infeasible", "unknown", "greedy"]
BindOutcome = Literal["bound", "refused", "retried", "unknown"]
EvictOutcome = Literal["evicted", "refused", "retried", "unknown"]
CordonOutcome = Literal["done", "failed"]
Announced = Literal["sent", "dropped", "stale", "failed"]
AnnouncementKind = Literal["condition", "event"]

_FAST_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5)
_PLAN_S = (*_FAST_S, 5.0, 10.0, 30.0)
_WAIT_S = (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3_600.0, 14_400.0, 43_200.0, 86_400.0, 604_800.0)


#: Teams that metrics tell of: every one is a label value.
TEAMS_MAX = 500
_TEAM_FIGURES = ("guaranteed", "used", "due", "borrowed", "lent", "pending")


def _team_figures(account: Account) -> tuple[Amounts, ...]:
    return (
        account.guaranteed,
        account.used,
        account.due,
        account.borrowed,
        account.lent,
        account.waiting,
    )


class Metrics:
    """The scheduler's metrics in a registry of its own, so that two schedulers fit in one process.

    Each counter moves where the API's answer was observed, never before (invariant INV14). Views of
    API resources report into the same ``registry`` themselves (``scheduler.kube.reflector``).
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry(auto_describe=True)
        self._plan_seconds = self._histogram("plan_seconds", "Time of one planning run", _PLAN_S)
        self._snapshot_seconds = self._histogram("snapshot_seconds", "Time to take one snapshot", _FAST_S)
        self._answers = self._counter("plan_answers", "Gangs planned, by what was proven", "answer")
        self._cycles = self._counter("cycles", "Scheduling cycles run")
        self._pending = self._gauge("gangs_pending", "Gangs left waiting by the last plan", "reason")
        self._binds = self._counter("binds", "Bindings written, by outcome", "outcome")
        self._waited = self._histogram(
            "gang_wait_seconds", "Time from the first pod of a gang to its last Binding", _WAIT_S
        )
        self._evictions = self._counter("evictions", "Evictions written, by outcome", "outcome")
        self._leading = self._gauge("leading", "1 while this process may act")
        self._epoch = self._gauge("epoch", "Leader epoch of this process's last term")
        self._announced = self._counter(
            "announcements", "Conditions and Events, by what became of them", "kind", "outcome"
        )
        self._queued = self._gauge("announcements_queued", "Conditions and Events not yet written")
        self._teams = self._gauge("team_gpus", "Normalised GPUs of a team, by what they are", "team", "what")
        self._told_teams: set[str] = set()
        self._devices = self._gauge("devices", "Devices that agents report, by use", "use")
        self._differences = self._gauge(
            "device_differences", "Pods that hold other devices than their annotation names, by evidence"
        )
        self._disagreements = self._gauge(
            "inventory_disagreements", "Nodes whose labels say something else of their devices than NVML"
        )
        self._replacements = self._counter(
            "gang_replacements", "Gangs replaced because a device under them turned fatal"
        )
        self._cordons = self._counter(
            "node_cordons", "Writes that cordon or uncordon nodes", "move", "outcome"
        )
        self._cordoned = self._gauge("nodes_cordoned", "Nodes that are cordoned for repeated device outages")
        self._show_zeroes()

    def teams(self, found: Mapping[str, Account]) -> None:
        """How each team stands; of at most ``TEAMS_MAX``, the first by name."""
        shown = dict(sorted(found.items())[:TEAMS_MAX])
        for name in self._told_teams - shown.keys():
            for what in _TEAM_FIGURES:
                self._teams.remove(name, what)
        self._told_teams = set(shown)
        for name, account in shown.items():
            for what, amounts in zip(_TEAM_FIGURES, _team_figures(account), strict=True):
                self._teams.labels(name, what).set(amounts.get(UNITS, 0) / MILLI)

    def cycle(self, plan: Plan, apart: Mapping[Reason, int], *, snapshot_s: float, plan_s: float) -> None:
        """One scheduling cycle was planned. apart: how many gangs wait that it did not look at, by reason."""
        self._cycles.inc()
        self._snapshot_seconds.observe(snapshot_s)
        self._plan_seconds.observe(plan_s)
        for place in plan.places:
            by_greedy = place.solver == "greedy" and not isinstance(place.certificate, Optimal)
            self._answers.labels("greedy" if by_greedy else _answer(place.certificate)).inc()
        for verdict in plan.verdicts:
            if verdict.certificate is not None:
                self._answers.labels(_answer(verdict.certificate)).inc()
        waiting = Tally(verdict.reason for verdict in plan.verdicts)
        for reason in get_args(Reason):
            self._pending.labels(reason).set(waiting[reason] + apart.get(reason, 0))

    def bind(self, outcome: BindOutcome) -> None:
        self._binds.labels(outcome).inc()

    def placed(self, waited_s: float) -> None:
        """A gang, or a single pod, is bound whole for the first time."""
        self._waited.observe(max(0.0, waited_s))

    def eviction(self, outcome: EvictOutcome) -> None:
        self._evictions.labels(outcome).inc()

    def devices(self, uses: Mapping[Use, int], disagreements: int, differences: int = 0) -> None:
        for use, count in uses.items():
            self._devices.labels(use).set(count)
        self._disagreements.set(disagreements)
        self._differences.set(differences)

    def replaced(self, gangs: int) -> None:
        self._replacements.inc(gangs)

    def cordon(self, move: Move, outcome: CordonOutcome) -> None:
        self._cordons.labels(move, outcome).inc()

    def cordoned(self, nodes: int) -> None:
        self._cordoned.set(nodes)

    def leadership(self, *, is_leading: bool, epoch: int) -> None:
        self._leading.set(is_leading)
        self._epoch.set(epoch)

    def announcement(self, kind: AnnouncementKind, outcome: Announced) -> None:
        self._announced.labels(kind, outcome).inc()

    def announcements_queued(self, count: int) -> None:
        self._queued.set(count)

    def _show_zeroes(self) -> None:
        """A rate over a counter needs its zero: every label value exists from the start."""
        for use in get_args(Use):
            self._devices.labels(use)
        for move in get_args(Move):
            for done in get_args(CordonOutcome):
                self._cordons.labels(move, done)
        for answer in get_args(Answer):
            self._answers.labels(answer)
        for reason in get_args(Reason):
            self._pending.labels(reason)
        for outcome in get_args(BindOutcome):
            self._binds.labels(outcome)
        for outcome in get_args(EvictOutcome):
            self._evictions.labels(outcome)
        for kind in get_args(AnnouncementKind):
            for outcome in get_args(Announced):
                self._announced.labels(kind, outcome)

    def _counter(self, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"stowplan_{name}", text, labels, registry=self.registry)

    def _gauge(self, name: str, text: str, *labels: str) -> Gauge:
        return Gauge(f"stowplan_{name}", text, labels, registry=self.registry)

    def _histogram(self, name: str, text: str, buckets: tuple[float, ...]) -> Histogram:
        return Histogram(f"stowplan_{name}", text, buckets=buckets, registry=self.registry)


def _answer(certificate: Certificate) -> Answer:
    match certificate:
        case Optimal():
            return "optimal"
        case Feasible():
            return "feasible"
        case Infeasible():
            return "infeasible"
        case Unknown():
            return "unknown"

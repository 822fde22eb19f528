"""However the cluster looks, the number of time series is fixed at start."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import generate_latest

from binpacking.answer import Certificate, Feasible, Infeasible, Optimal, Unknown
from scheduler.live.metrics import Metrics
from scheduler.model.gang import GangKey, PendingGang
from scheduler.model.plan import Place, Plan, Reason, Verdict

CERTIFICATES: list[Certificate] = [
    Optimal(1.0),
    Feasible(2.0, 1.0),
    Infeasible(()),
    Unknown(2.0),
]
REASONS: list[Reason] = ["Rejected", "Waiting", "Unschedulable", "NeverFits", "Unproven"]


def _key(name: str) -> GangKey:
    return GangKey(namespace="a", dialect="own", name=name)


def _place(name: str, certificate: Certificate, is_greedy: bool) -> Place:
    gang = PendingGang(
        key=_key(name),
        generation=1,
        priority=0,
        created_s=0.0,
        min_member=1,
        standing=0,
        standing_nodes=(),
        roles=(),
    )
    return Place(
        gang=gang, assignments=(), certificate=certificate, solver="greedy" if is_greedy else "cp-sat"
    )


places = st.builds(_place, st.text(max_size=5), st.sampled_from(CERTIFICATES), st.booleans())
verdicts = st.builds(
    lambda name, reason, certificate: Verdict(
        key=_key(name), reason=reason, message="", certificate=certificate
    ),
    st.text(max_size=5),
    st.sampled_from(REASONS),
    st.none() | st.sampled_from(CERTIFICATES),
)
plans = st.builds(
    lambda p, v: Plan(places=tuple(p), verdicts=tuple(v)),
    st.lists(places, max_size=8),
    st.lists(verdicts, max_size=8),
)


def _series(metrics: Metrics) -> set[tuple[str, tuple[tuple[str, str], ...]]]:
    return {
        (sample.name, tuple(sorted(sample.labels.items())))
        for family in metrics.registry.collect()
        for sample in family.samples
    }


def _value(metrics: Metrics, name: str, **labels: str) -> float:
    value = metrics.registry.get_sample_value(f"stowplan_{name}", labels)
    assert value is not None
    return value


@given(st.lists(plans, max_size=4))
def test_no_plan_adds_a_series(plans: list[Plan]) -> None:
    metrics = Metrics()
    before = _series(metrics)
    for plan in plans:
        metrics.cycle(plan, {"Unschedulable": 3}, snapshot_s=0.01, plan_s=0.1)
    assert _series(metrics) == before


@given(plans, plans, st.integers(0, 9))
def test_pending_is_of_the_last_plan_and_answers_of_all(first: Plan, second: Plan, apart: int) -> None:
    metrics = Metrics()
    metrics.cycle(first, {}, snapshot_s=0.01, plan_s=0.1)
    metrics.cycle(second, {"Unproven": apart}, snapshot_s=0.01, plan_s=0.1)
    for reason in REASONS:
        waiting = sum(verdict.reason == reason for verdict in second.verdicts)
        waiting += apart if reason == "Unproven" else 0
        assert _value(metrics, "gangs_pending", reason=reason) == waiting
    answers = ("optimal", "feasible", "infeasible", "unknown", "greedy")
    proven = sum(
        len(plan.places) + sum(v.certificate is not None for v in plan.verdicts) for plan in (first, second)
    )
    assert sum(_value(metrics, "plan_answers_total", answer=answer) for answer in answers) == proven
    assert _value(metrics, "cycles_total") == 2


def test_a_greedy_place_that_is_proven_optimal_counts_as_optimal() -> None:
    metrics = Metrics()
    proven, found = _place("a", Optimal(), True), _place("b", Feasible(2.0, 1.0), True)
    metrics.cycle(Plan(places=(proven, found), verdicts=()), {}, snapshot_s=0.0, plan_s=0.0)
    assert _value(metrics, "plan_answers_total", answer="optimal") == 1
    assert _value(metrics, "plan_answers_total", answer="greedy") == 1


def test_two_schedulers_fit_in_one_process() -> None:
    one, other = Metrics(), Metrics()
    one.bind("bound")
    one.eviction("evicted")
    one.leadership(is_leading=True, epoch=7)
    assert _value(other, "binds_total", outcome="bound") == 0
    assert (_value(one, "leading"), _value(one, "epoch")) == (1, 7)
    assert b'stowplan_evictions_total{outcome="evicted"} 1.0' in generate_latest(one.registry)


def test_every_name_is_ours() -> None:
    assert all(name.startswith("stowplan_") for name, _ in _series(Metrics()))

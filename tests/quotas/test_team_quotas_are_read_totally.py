"""scheduler.parse.teamquota: any decodable object gives a team or a reason."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from hypothesis import given, settings
from hypothesis import strategies as st

from quotas.membership import settle
from quotas.tree import grow
from scheduler.kube.wire.teamquota import TeamQuota as WireTeamQuota
from scheduler.model.objects import Rejected
from scheduler.parse.quantity import AMOUNT_MAX
from scheduler.parse.teamquota import (
    TeamQuota,
    belongings,
    check_pod,
    parse_team_quota,
    shown_amounts,
)

QUANTITIES = st.sampled_from(
    ["0", "16", "0.5", "500m", "2Ti", "-1", "1e30", "", "NaN", "9" * 400, "1Ei", 8, -3, 2**63, 0.25, 1e300]
)
NAMES = st.sampled_from(["a", "team-b", "", "A", "x" * 300, "red\nERROR", "kube-system", "\u202eabc"])
AMOUNTS = st.fixed_dictionaries(
    {},
    optional={
        "gpu": QUANTITIES,
        "cpu": QUANTITIES,
        "memory": QUANTITIES,
        "gpuModels": st.none() | st.dictionaries(NAMES, QUANTITIES, max_size=3),
    },
)
SECTIONS = ("guaranteed", "limit", "borrowingLimit", "lendingLimit", "podDefaults", "podMaximum")
NUMBERS = st.none() | st.sampled_from([0, 1, -1, 2**31, -(2**63), 2**63 - 1])
SELECTORS = st.sampled_from(
    [{}, {"matchLabels": {"team": "a"}}, {"matchExpressions": [{"key": "k", "operator": "Gt"}]}, None]
)
SPECS = st.fixed_dictionaries(
    {},
    optional={
        "parent": NAMES | st.none(),
        "namespaces": st.lists(NAMES, max_size=3) | st.none(),
        "namespaceSelector": SELECTORS,
        "weight": NUMBERS,
        "priorityCeiling": NUMBERS,
        "minRuntimeSeconds": NUMBERS,
        "historyHalfLifeSeconds": NUMBERS,
        "unknown": NUMBERS,
        **dict.fromkeys(SECTIONS, AMOUNTS | st.none()),
    },
)


def _parsed(name: str, spec: Mapping[str, object], **status: object) -> TeamQuota | Rejected:
    body = {"metadata": {"name": name}, "spec": spec, "status": status}
    return parse_team_quota(msgspec.json.decode(msgspec.json.encode(body), type=WireTeamQuota))


def _team(name: str, spec: Mapping[str, object], **status: object) -> TeamQuota:
    found = _parsed(name, spec, **status)
    assert isinstance(found, TeamQuota)
    return found


@settings(deadline=None)
@given(NAMES, SPECS)
def test_every_object_gives_a_team_or_a_reason(name: str, spec: dict[str, object]) -> None:
    found = _parsed(name, spec)
    if isinstance(found, Rejected):
        assert found.reason.isprintable()
        assert found.reason.isascii()
        assert len(found.reason) <= 512
        return
    team = found.spec
    for amounts in (team.guaranteed, team.limit, team.borrowing_limit, team.lending_limit):
        assert all(0 <= amount <= AMOUNT_MAX for amount in amounts.values())
    assert grow([team]).names == (name,)


def test_each_field_means_what_the_page_says() -> None:
    amounts = {"gpu": 16, "gpuModels": {"h100-80gb": "8"}, "cpu": "1500m", "memory": "2Gi"}
    read = {"gpu": 16_000, "gpu/h100-80gb": 8_000, "cpu": 1_500, "memory": 2 << 30}
    quota = _team(
        "vision",
        {
            "parent": "research",
            "weight": 3,
            "priorityCeiling": 100,
            "minRuntimeSeconds": 600,
            "historyHalfLifeSeconds": 86_400,
            **dict.fromkeys(SECTIONS, amounts),
        },
        history={"asOf": "2026-01-01T00:00:00Z", "usage": {"gpu": "2500m"}},
    )
    spec = quota.spec
    assert (spec.name, spec.parent, spec.weight, spec.priority_ceiling) == ("vision", "research", 3, 100)
    assert (spec.min_runtime_s, spec.half_life_s) == (600, 86_400)
    assert spec.guaranteed == spec.limit == spec.borrowing_limit == spec.lending_limit == read
    assert quota.pod_defaults == quota.pod_maximum == read
    assert (quota.history, quota.history_at_s) == ({"gpu": 2_500}, 1_767_225_600.0)
    assert _team("bare", {}).spec.weight == 1
    assert _team("none", {"limit": {"gpu": 0}}).spec.limit == {"gpu": 0}


@settings(deadline=None)
@given(st.dictionaries(st.sampled_from(["gpu", "cpu", "memory", "gpu/a100"]), st.integers(1, AMOUNT_MAX)))
def test_amounts_survive_being_shown(amounts: dict[str, int]) -> None:
    body = msgspec.to_builtins(shown_amounts(amounts))
    read = _team("t", {"limit": body}).spec.limit
    assert {name: amount for name, amount in read.items() if amount} == amounts


def test_namespaces_are_found_by_name_and_by_label() -> None:
    named = _team("named", {"namespaces": ["dev", "gone"]})
    chosen = _team("chosen", {"namespaceSelector": {"matchLabels": {"team": "a"}}})
    namespaces = {"dev": {"team": "a"}, "prod": {"team": "a"}, "other": {}}
    owners, conditions = settle(belongings([named, chosen], namespaces))
    assert owners == {"dev": "named", "prod": "chosen"}
    assert [(c.team, c.kind) for c in conditions] == [("chosen", "Overlap")]


def test_a_pod_must_stay_under_the_maximum() -> None:
    quota = _team("t", {"podDefaults": {"cpu": 2}, "podMaximum": {"gpu": 4, "cpu": 8}})
    assert quota.pod_defaults == {"cpu": 2_000}
    assert check_pod("t", quota.pod_maximum, {"gpu": 4_000, "cpu": 8_000}) is None
    refused = check_pod("t", quota.pod_maximum, {"gpu": 4_001})
    assert refused is not None
    assert "requests of gpu: 4001 thousandths" in refused.reason

"""docs/teams.md: every number of the examples comes from the library, through the objects as written."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import get_args

import msgspec
import pytest
import yaml

from quotas.accounts import accounts
from quotas.books import Books, open_books
from quotas.entitlement import Allowed, Denied, may_start
from quotas.reclaim import Claim, claim, sources
from quotas.team import ConditionKind
from quotas.tree import grow
from quotas.units import UnitTable
from scheduler.kube.wire.teamquota import TeamQuota as WireTeamQuota
from scheduler.kube.wire.teamquota import TeamQuotaSpec
from scheduler.parse.teamquota import TeamQuota, parse_team_quota

PAGE = (Path(__file__).parents[2] / "docs" / "teams.md").read_text()
EXAMPLES = re.split(r"^### ", PAGE, flags=re.MULTILINE)[1:]
COLUMNS = ("guaranteed", "used", "waiting", "due", "borrowed", "lent", "owes")


class Ask(msgspec.Struct, rename="camel", forbid_unknown_fields=True):
    team: str
    answer: str
    starts: dict[str, int] = {}
    takes_back: dict[str, int] = {}


class Example(msgspec.Struct, forbid_unknown_fields=True):
    cluster: dict[str, int]
    running: dict[str, dict[str, int]]
    waiting: dict[str, dict[str, int]]
    ask: list[Ask]
    units: dict[str, int] | None = None

    def amounts(self, gpus: Mapping[str, int]) -> dict[str, int]:
        if self.units is None:
            return {name: 1_000 * amount for name, amount in gpus.items()}
        table = UnitTable(by_model={model: 1_000 * units for model, units in self.units.items()})
        return table.amounts({model: 1_000 * count for model, count in gpus.items()})


def _read(text: str) -> tuple[Example, Books]:
    written, state = re.findall(r"```yaml\n(.*?)```", text, flags=re.DOTALL)
    quotas = [parse_team_quota(msgspec.convert(d, WireTeamQuota)) for d in yaml.safe_load_all(written)]
    tree = grow(quota.spec for quota in quotas if isinstance(quota, TeamQuota))
    assert len(tree.names) == len(quotas)
    assert not tree.conditions
    example = msgspec.convert(yaml.safe_load(state), Example)
    running = {team: example.amounts(gpus) for team, gpus in example.running.items()}
    waiting = {team: example.amounts(gpus) for team, gpus in example.waiting.items()}
    return example, open_books(tree, example.amounts(example.cluster), running, waiting)


def table(text: str) -> str:
    """The table that belongs below an example."""
    _, books = _read(text)
    lines = [f"| team | resource | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 2) + "|"]
    told = accounts(books)
    for team in books.tree.names:
        for resource in books.resources:
            cells = [getattr(told[team], column).get(resource, 0) for column in COLUMNS]
            shown = [f"{amount / 1_000:g}" for amount in cells]
            lines.append(f"| {team} | {resource.removeprefix('gpu/')} | {' | '.join(shown)} |")
    return "\n".join(lines) + "\n"


def _answer(books: Books, team: str, starts: dict[str, int], takes_back: dict[str, int]) -> str:
    if starts:
        may = may_start(books, team, starts)
        return "yes" if isinstance(may, Allowed) else f"no, {may.by.kind}"
    right = claim(books, team, takes_back)
    if isinstance(right, Denied):
        return f"no, {right.by.kind}"
    assert isinstance(right, Claim)
    missing, givers = dict(right.lacking), list[str]()
    for giver, amounts in sources(books, right).items():
        if any(amount > 0 for amount in missing.values()):
            givers.append(giver)
            missing = {r: amount - amounts.get(r, 0) for r, amount in missing.items()}
    return f"yes, from {', '.join(givers)}"


@pytest.mark.parametrize("text", EXAMPLES, ids=[text.splitlines()[0] for text in EXAMPLES])
def test_each_example_shows_what_the_library_says(text: str) -> None:
    example, books = _read(text)
    assert table(text) in text
    for ask in example.ask:
        starts, takes_back = example.amounts(ask.starts), example.amounts(ask.takes_back)
        assert (ask, _answer(books, ask.team, starts, takes_back)) == (ask, ask.answer)


def test_there_are_five_examples_and_every_field_and_reason_is_explained() -> None:
    assert len(EXAMPLES) == 5
    told = set(re.findall(r"`(\w+)`", PAGE))
    assert {field.encode_name for field in msgspec.structs.fields(TeamQuotaSpec)} <= told
    assert set(get_args(ConditionKind)) <= told

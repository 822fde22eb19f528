"""What a pod asks for where it says nothing: the one place where a team's ``podDefaults`` become requests.

A pod that asks for no CPU or no memory counts with its team's default wherever requests count: in quotas and
in the room on nodes, while it waits and while it runs, whoever scheduled it. Nobody else knows of it: a
kubelet counts what is written in the pod. A default only ever adds, so no node is given more than it has.

GPUs are not given by default: a container has only those that are written in its limits.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import lru_cache

from quotas.amounts import Amounts
from scheduler.model.objects import CPU, MEMORY, Pod, Shape
from scheduler.model.team import TeamTable
from scheduler.records import Record

SHAPES_MAX = 8_192
#: Milli-CPU, bytes of memory.
_Said = tuple[tuple[str, int], ...]


class Defaults:
    """By namespace, as the table of teams that was last learned has it."""

    def __init__(self) -> None:
        self._table: TeamTable | None = None
        self._by_namespace: dict[str, _Said] = {}

    def learn(self, table: TeamTable | None) -> bool:
        """Take what the table says, None where there are no teams; whether it says anything else by now."""
        if table is self._table:
            return False
        before, self._table = self._by_namespace, table
        self._by_namespace = {} if table is None else _by_namespace(table)
        return self._by_namespace != before

    def filled(self, pod: Pod) -> Pod:
        """The pod with what its team asks for it by default."""
        if not self._by_namespace:
            return pod
        shape = self._shape(pod.namespace, pod.shape)
        return pod if shape is pod.shape else replace(pod, shape=shape)

    def refill(self, records: Iterable[Record]) -> Iterator[Record]:
        """Bring pods up to what was learned; those that ask for something else now."""
        for record in records:
            shape = self._shape(record.observed.namespace, record.asked)
            if shape is not record.filled:
                record.filled = shape
                yield record

    def _shape(self, namespace: str, asked: Shape) -> Shape:
        said = self._by_namespace.get(namespace)
        return asked if said is None else _with(asked, said)


def _by_namespace(table: TeamTable) -> dict[str, _Said]:
    by_team = {team: _said(amounts) for team, amounts in table.pod_defaults.items()}
    return {name: said for name, team in table.namespaces.items() if (said := by_team.get(team))}


def _said(amounts: Amounts) -> _Said:
    return tuple((name, amounts[name]) for name in (CPU, MEMORY) if amounts.get(name))


@lru_cache(maxsize=SHAPES_MAX)
def _with(asked: Shape, said: _Said) -> Shape:
    """Cached, so that pods of one shape in one team stay pods of one shape."""
    requests = dict(said) | dict(asked.requests)
    if len(requests) == len(asked.requests):
        return asked
    added = requests.keys() - dict(asked.requests).keys()
    return replace(asked, requests=tuple(sorted(requests.items())), by_default=tuple(sorted(added)))

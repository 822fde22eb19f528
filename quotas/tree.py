"""The tree of teams, grown from what an admin wrote, whatever that is.

``grow`` is total: what cannot be meant becomes a condition on the team, and the rest of the tree works on.
Node 0 is the cluster. Below it, work of no team is a leaf of weight 0: it gets what no team wants. A team
with teams below it may hold work of its own, which counts as one more leaf below it, of weight 1 and
without a guarantee.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from quotas.amounts import AMOUNT_MAX, NOTHING, Amounts
from quotas.team import SECONDS_MAX, WEIGHT_MAX, Condition, Team, TeamSpec

#: Levels of teams. Deeper ones become siblings of their ancestor at the last level.
DEPTH_MAX = 16


@dataclass(frozen=True, slots=True, kw_only=True)
class Tree:
    """Parents come before children in ``nodes``."""

    nodes: tuple[Team, ...]
    conditions: tuple[Condition, ...]
    _teams: Mapping[str, int] = field(repr=False)
    _leaves: Mapping[str, int] = field(repr=False)

    @property
    def names(self) -> tuple[str, ...]:
        """The teams, sorted, without the cluster."""
        return tuple(sorted(name for name in self._teams if name))

    def at(self, team: str) -> int:
        """Index of a team; of the cluster for an empty or unknown name."""
        return self._teams.get(team, 0)

    def leaf(self, team: str) -> int:
        """Index of the leaf that a team's own work is charged to."""
        return self._leaves.get(team, self._leaves[""])

    def path(self, index: int) -> list[int]:
        """From a node up to, and without, the cluster."""
        path = []
        while index:
            path.append(index)
            index = self.nodes[index].parent
        return path

    def priority(self, team: str, asked: int) -> int:
        """The priority that work of a team counts as."""
        ceiling = self.nodes[self.leaf(team)].priority_ceiling
        return asked if ceiling is None else min(asked, ceiling)


def grow(specs: Iterable[TeamSpec]) -> Tree:
    """The tree of these teams. Never raises; the order of ``specs`` does not matter."""
    told: list[Condition] = []
    by_name = _one_each(specs, told)
    parents = _parents(by_name, told)
    order = _from_the_top(parents, told)
    index = {"": 0} | {name: i for i, name in enumerate(order, start=1)}
    children: dict[str, list[str]] = {name: [] for name in index}
    for name in order:
        children[parents[name]].append(name)
    guaranteed = _guarantees(by_name, order, children, told)
    leaves, own = dict(index), len(index)
    for name in ["", *order]:
        if not name or children[name]:
            leaves[name], own = own, own + 1
    nodes: list[Team] = []
    for name in index:
        below = [index[child] for child in children[name]]
        below += [leaves[name]] if leaves[name] != index[name] else []
        parent = nodes[index[parents[name]]] if name else None
        spec = by_name.get(name, TeamSpec(name=""))
        nodes.append(_team(spec, parent, index[parents[name]] if name else 0, below, guaranteed[name]))
    nodes += [_own(nodes[index[n]], index[n]) for n in index if leaves[n] != index[n]]
    conditions = tuple(sorted(told, key=lambda c: (c.team, c.kind, c.message)))
    return Tree(nodes=tuple(nodes), conditions=conditions, _teams=index, _leaves=leaves)


def overcommitted(tree: Tree, capacity: Amounts) -> tuple[Condition, ...]:
    """Conditions of the teams at the top whose guarantees together are more than there is.

    They are cut in proportion; it may pass, for instance when nodes come back.
    """
    found = []
    top = [node for i in tree.nodes[0].children if (node := tree.nodes[i]).name]
    for resource, total in sorted(tree.nodes[0].guaranteed.items()):
        there = capacity.get(resource, 0)
        if total > there:
            text = (
                f"{resource}: {total} guaranteed at the top, {there} there; guarantees are cut in proportion"
            )
            found += [
                Condition(team=node.name, kind="GuaranteesExceedCapacity", message=text)
                for node in top
                if node.guaranteed.get(resource)
            ]
    return tuple(found)


def _one_each(specs: Iterable[TeamSpec], told: list[Condition]) -> dict[str, TeamSpec]:
    """The specs by name, sorted. Of several of one name the least by all its fields counts."""
    by_name: dict[str, list[TeamSpec]] = {}
    for spec in specs:
        by_name.setdefault(spec.name, []).append(spec)
    nameless = by_name.pop("", [])
    if nameless:
        told.append(Condition(team="", kind="Orphan", message="a team without a name is left out"))
    for name, same in by_name.items():
        if len(same) > 1:
            text = f"described {len(same)} times; one description is used, the others are left out"
            told.append(Condition(team=name, kind="Duplicate", message=text))
    return {name: _bounded(min(by_name[name], key=_identity), told) for name in sorted(by_name)}


def _identity(spec: TeamSpec) -> str:
    amounts = (spec.guaranteed, spec.limit, spec.borrowing_limit, spec.lending_limit)
    rest = (spec.priority_ceiling, spec.min_runtime_s, spec.half_life_s)
    return repr((spec.parent, spec.weight, [sorted(a.items()) for a in amounts], rest))


def _bounded(spec: TeamSpec, told: list[Condition]) -> TeamSpec:
    """The spec with every number inside its range."""
    odd: list[str] = []

    def number(field_name: str, value: int, most: int) -> int:
        kept = min(max(value, 0), most)
        if kept != value:
            odd.append(field_name)
        return kept

    def seconds(field_name: str, value: int | None) -> int | None:
        return None if value is None else number(field_name, value, SECONDS_MAX)

    def amounts(field_name: str, found: Amounts) -> dict[str, int]:
        return {
            name: number(f"{field_name}.{name}", value, AMOUNT_MAX) for name, value in sorted(found.items())
        }

    bounded = TeamSpec(
        name=spec.name,
        parent=spec.parent,
        weight=number("weight", spec.weight, WEIGHT_MAX),
        guaranteed=amounts("guaranteed", spec.guaranteed),
        limit=amounts("limit", spec.limit),
        borrowing_limit=amounts("borrowing limit", spec.borrowing_limit),
        lending_limit=amounts("lending limit", spec.lending_limit),
        priority_ceiling=spec.priority_ceiling,
        min_runtime_s=seconds("minimum run time", spec.min_runtime_s),
        half_life_s=seconds("half-life", spec.half_life_s),
    )
    if odd:
        text = f"out of range, so the nearest bound is used: {_listed(odd)}"
        told.append(Condition(team=spec.name, kind="OutOfRange", message=text))
    return bounded


def _parents(by_name: Mapping[str, TeamSpec], told: list[Condition]) -> dict[str, str]:
    """Each team's parent, orphans and the members of a cycle moved to the top."""
    parents: dict[str, str] = {}
    for name, spec in by_name.items():
        parents[name] = spec.parent if spec.parent in by_name else ""
        if spec.parent != parents[name]:
            text = f"its parent {spec.parent!r} does not exist; it counts as a team at the top"
            told.append(Condition(team=name, kind="Orphan", message=text))
    for name in _in_cycles(parents):
        text = f"its parent {parents[name]!r} is, further up, its own child; it counts as a team at the top"
        told.append(Condition(team=name, kind="Cycle", message=text))
        parents[name] = ""
    return parents


def _in_cycles(parents: Mapping[str, str]) -> list[str]:
    seen: dict[str, int] = {"": 0}
    found: list[str] = []
    for walk, start in enumerate(parents, start=1):
        trail: list[str] = []
        name = start
        while name not in seen:
            seen[name] = walk
            trail.append(name)
            name = parents[name]
        if name and seen[name] == walk:
            found += trail[trail.index(name) :]
    return found


def _from_the_top(parents: dict[str, str], told: list[Condition]) -> list[str]:
    """Parents before children, by level and name; what is too deep hangs from the last level."""
    below: dict[str, list[str]] = {}
    for name, parent in parents.items():
        below.setdefault(parent, []).append(name)
    order: list[str] = []
    level, depth = [""], 0
    while level := [child for name in level for child in below.get(name, ())]:
        depth += 1
        for name in level if depth > DEPTH_MAX else ():
            above = parents[parents[name]]
            text = f"more than {DEPTH_MAX} levels deep; it counts as a child of {above!r}"
            told.append(Condition(team=name, kind="TooDeep", message=text))
            parents[name] = above
        order += level
    return order


def _guarantees(
    by_name: Mapping[str, TeamSpec],
    order: Sequence[str],
    children: Mapping[str, Sequence[str]],
    told: list[Condition],
) -> dict[str, dict[str, int]]:
    """What each node is guaranteed: as written, else what its children are together; within the limit."""
    found: dict[str, dict[str, int]] = {}
    for name in reversed(["", *order]):
        total: dict[str, int] = {}
        for child in children[name]:
            for resource, amount in found[child].items():
                total[resource] = total.get(resource, 0) + amount
        spec = by_name.get(name)
        found[name] = total if spec is None else _guarantee(spec, total, told)
    return found


def _guarantee(spec: TeamSpec, below: Mapping[str, int], told: list[Condition]) -> dict[str, int]:
    cut: list[str] = []
    short: list[str] = []
    owned: dict[str, int] = {}
    for resource in sorted(below.keys() | spec.guaranteed.keys()):
        written = spec.guaranteed.get(resource)
        if written is not None and written < below.get(resource, 0):
            short.append(f"{resource} {below[resource]} of {written}")
        asked = below.get(resource, 0) if written is None else written
        owned[resource] = min(asked, spec.limit.get(resource, AMOUNT_MAX), AMOUNT_MAX)
        if owned[resource] < asked:
            cut.append(f"{resource} {asked} over {owned[resource]}")
    if short:
        text = f"guaranteed to the teams below it: {_listed(short)}; theirs are cut in proportion"
        told.append(Condition(team=spec.name, kind="ChildrenExceedGuarantee", message=text))
    if cut:
        text = f"guaranteed more than its limit: {_listed(cut)}; the limit counts"
        told.append(Condition(team=spec.name, kind="GuaranteeAboveLimit", message=text))
    return owned


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:5]) + (f" and {len(parts) - 5} more" if len(parts) > 5 else "")


def _team(spec: TeamSpec, parent: Team | None, at: int, children: Sequence[int], guaranteed: Amounts) -> Team:
    above = parent or Team(
        name="",
        parent=0,
        children=(),
        weight=1,
        guaranteed=NOTHING,
        limit=NOTHING,
        borrowing_limit=NOTHING,
        lending_limit=NOTHING,
        priority_ceiling=None,
        min_runtime_s=0,
        half_life_s=0,
    )
    ceilings = [c for c in (spec.priority_ceiling, above.priority_ceiling) if c is not None]
    return Team(
        name=spec.name,
        parent=at,
        children=tuple(children),
        weight=spec.weight,
        guaranteed=guaranteed,
        limit=spec.limit,
        borrowing_limit=spec.borrowing_limit,
        lending_limit=spec.lending_limit,
        priority_ceiling=min(ceilings, default=None),
        min_runtime_s=above.min_runtime_s if spec.min_runtime_s is None else spec.min_runtime_s,
        half_life_s=above.half_life_s if spec.half_life_s is None else spec.half_life_s,
    )


def _own(team: Team, at: int) -> Team:
    """The leaf for work that a team with teams below it, or nobody, holds itself."""
    return Team(
        name=team.name,
        parent=at,
        children=(),
        weight=1 if team.name else 0,
        guaranteed=NOTHING,
        limit=NOTHING,
        borrowing_limit=NOTHING,
        lending_limit=NOTHING,
        priority_ceiling=team.priority_ceiling,
        min_runtime_s=team.min_runtime_s,
        half_life_s=team.half_life_s,
    )

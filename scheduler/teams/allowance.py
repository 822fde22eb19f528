"""The teams' books for one planning run: who comes first, who may start, on which GPU models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from quotas.amounts import NOTHING, Amounts, add_amounts
from quotas.books import Books, open_books
from quotas.entitlement import Allowed, Bound, Denied, may_start
from quotas.order import Entry, Position, order_fairly
from quotas.tree import Tree
from quotas.units import MILLI, MODEL, UNITS
from scheduler.explain.units import amount
from scheduler.model.gang import PendingGang, PendingRole
from scheduler.model.gpu_resources import gpu_milli, is_gpu
from scheduler.model.objects import CPU, GPU, MEMORY, Pod, Rejected, Shape
from scheduler.model.plan import Snapshot, Victim
from scheduler.model.team import Teams
from scheduler.parse.teamquota import check_pod
from scheduler.teams.measure import charge_of, gauged, without_model
from scheduler.teams.split import Counts, Splitter

#: A resource that several teams have no limit on may still run out in one place: packing says that better.
PACKING_SAYS = "capacity"


class Allowance:
    """Charged as the run places gangs, so that every next question is answered as if that had been done."""

    def __init__(self, snapshot: Snapshot, teams: Teams) -> None:
        self.teams = teams
        self.table = teams.table
        self._snapshot = snapshot
        self._row = {node.name: row for row, node in enumerate(snapshot.nodes)}
        self._models: dict[int, tuple[NDArray[np.bool_], tuple[int, ...]]] = {}
        self._memory = dict(zip(teams.models, teams.memory_mib, strict=True))
        waiting: dict[str, dict[str, int]] = {}
        self._requests: dict[tuple[int, str], dict[str, int]] = {}
        self._charges: dict[tuple[int, str], tuple[Shape, Amounts]] = {}
        for gang in snapshot.gangs:
            if gang.blocked is None:
                own = waiting.setdefault(self.team(gang), {})
                add_amounts(own, self.request(gang))
        self.books: Books = open_books(
            self.table.tree, capacity(snapshot, teams), teams.usage, waiting, teams.history
        )

        #: Resources that some quota is about and the cluster has, sorted.
        self.governed = tuple(sorted(_governed(self.table.tree) & set(self.books.resources)))

    def team(self, gang: PendingGang) -> str:
        return self.table.team(gang.key.namespace)

    # -- order ---------------------------------------------------------------------------------

    def in_order(self, gangs: Sequence[PendingGang]) -> list[Position]:
        """The gangs' turns. Those that room was made for come first."""
        return order_fairly([self.entry(gang) for gang in gangs], self.books)

    def entry(self, gang: PendingGang) -> Entry:
        """What the gang is to its team's turns."""
        return Entry(
            is_started=gang.is_started,
            is_promised=bool(self.nominated(gang)),
            priority=gang.priority,
            created_s=gang.created_s,
            name=str(gang.key),
            team=self.team(gang),
            request=NOTHING if gang.blocked else self.request(gang),
        )

    def nominated(self, gang: PendingGang) -> Mapping[str, str]:
        """Node by UID of waiting pods for which room is held: our decision, or an earlier leader's."""
        known = self.teams.nominated.get(gang.key)
        if known is None:
            return {pod.uid: pod.nominated_node for pod in gang.pods if pod.nominated_node}
        return {pod.uid: known[pod.uid] for pod in gang.pods if pod.uid in known}

    # -- what is asked -------------------------------------------------------------------------

    def request(self, gang: PendingGang, model: str | None = None) -> dict[str, int]:
        """What the gang's pods count for: on their cheapest models, or on ``model`` where they may."""
        total: dict[str, int] = {}
        for role in gang.roles:
            for name, value in self._of_role(role, model).items():
                total[name] = total.get(name, 0) + value * len(role.pods)
        return total

    def placed(self, pods: Mapping[str, Pod], nodes: Mapping[str, str]) -> dict[str, int]:
        """What pods, by UID, count for on these nodes."""
        total: dict[str, int] = {}
        for uid, node in nodes.items():
            row = self._row.get(node)
            model = "" if row is None else self.teams.models[int(self.teams.model_of[row])]
            add_amounts(total, self.of_pod(pods[uid], model))
        return total

    def of_victim(self, victim: Victim) -> dict[str, int]:
        """What is given back when these pods leave."""
        return self.placed({p.uid: p for p in victim.pods}, {p.uid: p.node_name for p in victim.pods})

    def of_pod(self, pod: Pod, model: str) -> Amounts:
        key = (id(pod.shape), model)
        known = self._charges.get(key)
        if known is None:
            found = charge_of(pod.shape, model, self._memory.get(model, 0), self.table.units)
            # The shape is kept beside it, so that its id stays its own.
            known = self._charges[key] = (pod.shape, found)
        return known[1]

    def _of_role(self, role: PendingRole, model: str | None) -> dict[str, int]:
        key = (id(role.shape), "?" if model is None else model)
        known = self._requests.get(key)
        if known is not None:
            return known
        models = [self.teams.models[code] for code in self.models(role.shape)]
        options = [charge_of(role.shape, m, self._memory.get(m, 0), self.table.units) for m in models or [""]]
        if model is not None and model in models:
            found = options[models.index(model)]
        else:
            found = min(options, key=lambda o: (o.get(UNITS, 0), sorted(o.items())))
            found = without_model(found) if len(models) > 1 else found
        self._requests[key] = found
        return found

    def models(self, shape: Shape) -> tuple[int, ...]:
        """Indices of the GPU models of the nodes where pods of this shape may go; empty without GPUs."""
        mask = self._snapshot.masks[shape]
        known = self._models.get(id(mask))
        if known is None:
            has_gpus = np.zeros(len(mask), dtype=np.bool_)
            for column, name in enumerate(self._snapshot.resources):
                if is_gpu(name):
                    has_gpus |= self._snapshot.total[:, column] > 0
            codes = np.unique(self.teams.model_of[mask & has_gpus]).tolist()
            known = self._models[id(mask)] = (mask, tuple(codes))
        return known[1] if gauged(shape).get(GPU) else ()

    def models_of(self, gang: PendingGang) -> list[int]:
        """As ``models``, of all its roles."""
        return sorted({code for role in gang.roles for code in self.models(role.shape)})

    # -- who may start -------------------------------------------------------------------------

    def too_large(self, gang: PendingGang) -> Rejected | None:
        """A pod asks for more than its team allows one pod."""
        team = self.team(gang)
        maximum = self.table.pod_maximum.get(team)
        for role in gang.roles if maximum else ():
            memory = [self.teams.memory_mib[code] for code in self.models(role.shape)]
            gauge = gauged(role.shape, max(memory, default=0))
            asked = {UNITS if name == GPU else name: value for name, value in gauge.items()}
            refused = check_pod(team, maximum or NOTHING, asked)
            if refused is not None:
                return refused
        return None

    def ask(
        self, gang: PendingGang, *, is_strict: bool = False
    ) -> tuple[NDArray[np.bool_] | None, Denied | None]:
        """bool[N] of the nodes whose models the team may still use (None: all), or why it may not start."""
        models = self.models_of(gang)
        if len(models) <= 1:
            return None, self.denied(gang, self.request(gang), is_strict=is_strict)
        answers = {
            m: self.denied(gang, self.request(gang, self.teams.models[m]), is_strict=is_strict)
            for m in models
        }
        good = [m for m, answer in answers.items() if answer is None]
        if not good:
            return None, answers[models[0]]
        if len(good) == len(models):
            return None, None
        wrong = [m for m in models if m not in good]
        return ~np.isin(self.teams.model_of, wrong), None

    def split(self, gang: PendingGang, *, is_strict: bool = False) -> tuple[Counts, ...] | None:
        """For each role the most pods on each model, where no model will do for all; None where none do."""
        if len(gang.pods) < 2 or len(self.models_of(gang)) < 2:
            return None
        return Splitter(self, gang, is_strict=is_strict).split()

    def denied(self, gang: PendingGang, request: Amounts, *, is_strict: bool = False) -> Denied | None:
        """By a limit, or by what is kept for others; whether there is room is for the packing to say.

        is_strict: more than there is is no either, for work of which a part may start.
        """
        return self.denied_to(self.team(gang), request, is_strict=is_strict)

    def denied_to(self, team: str, request: Amounts, *, is_strict: bool = False) -> Denied | None:
        """The same, of work of this team."""
        answer = may_start(self.books, team, self.kept(request))
        if isinstance(answer, Allowed) or (answer.by.kind == PACKING_SAYS and not is_strict):
            return None
        return answer

    def kept(self, request: Amounts) -> dict[str, int]:
        """Of a request what some quota is about and the cluster has; the rest is for the packing to say.

        Where quotas speak of GPUs only, a team takes back GPUs and with them whatever their pods held.
        """
        return {name: value for name, value in request.items() if name in self.governed}

    def charge(self, gang: PendingGang, amounts: Amounts) -> None:
        self.books.charge(self.team(gang), amounts)

    def release(self, team: str, amounts: Amounts) -> None:
        self.books.release(team, amounts)

    # -- words ---------------------------------------------------------------------------------

    def words(self, denied: Denied) -> str:
        """A refusal for its owner: the team, its limit, what would be in use."""
        bound: Bound = denied.by
        name, most = _named(bound.resource), _shown(bound.resource, bound.most)
        reached = _shown(bound.resource, bound.reached)
        who = f"team {bound.team}" if bound.team else "the cluster"
        match bound.kind:
            case "limit":
                return f"{who} is at its limit of {most} {name}: {reached} would be in use"
            case "borrowing":
                return (
                    f"{who} may use {most} {name}, its guarantee and its borrowing limit: "
                    f"{reached} would be in use"
                )
            case "lending":
                return (
                    f"part of the cluster's {most} {name} is kept for other teams by their lending limits: "
                    f"{reached} would be in use or kept"
                )
            case "guarantee":
                return (
                    f"{who} is guaranteed {most} {name} and takes back only within that: "
                    f"{reached} would be in use"
                )
            case "capacity":
                return f"the cluster has {most} {name}: {reached} would be in use"


def capacity(snapshot: Snapshot, teams: Teams) -> dict[str, int]:
    """What the nodes have, in the amounts of ``quotas``.

    A node that became smaller than what runs there has that much: what its pods use is no room that others
    lack, and their going frees none.
    """
    used = snapshot.total - snapshot.free
    used[:, : teams.leaving.shape[1]] -= teams.leaving
    total = np.maximum(snapshot.total, used)
    found: dict[str, int] = {}
    gpus: dict[str, int] = {}
    for column, name in enumerate(snapshot.resources):
        if name in (CPU, MEMORY):
            found[name] = int(total[:, column].sum())
        elif is_gpu(name):
            for code in np.unique(teams.model_of).tolist():
                there = int(total[teams.model_of == code, column].sum())
                here = there * gpu_milli(name, teams.memory_mib[code], teams.models[code])
                gpus[teams.models[code]] = gpus.get(teams.models[code], 0) + here
    return found | teams.table.units.amounts(gpus)


def _governed(tree: Tree) -> set[str]:
    """Resources that some team is guaranteed, limited in, or lends and borrows in bounds."""
    found: set[str] = set()
    for node in tree.nodes:
        for amounts in (node.guaranteed, node.limit, node.borrowing_limit, node.lending_limit):
            found |= amounts.keys()
    return found


def _named(resource: str) -> str:
    return resource.removeprefix(MODEL) if resource.startswith(MODEL) else resource


def _shown(resource: str, value: int) -> str:
    if resource == UNITS or resource.startswith(MODEL):
        return f"{value // MILLI}" if value % MILLI == 0 else f"{value / MILLI:.3f}"
    return amount(resource, value)

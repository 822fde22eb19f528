"""When what was found of one gang holds of another: they ask for the same, and nothing else decides."""

from __future__ import annotations

from collections.abc import Hashable
from functools import lru_cache

from scheduler.model.gang import PendingGang, TopologySpec
from scheduler.model.objects import Shape
from scheduler.model.plan import Plan, Policy, Snapshot, Verdict

#: Roles by (shape, pods, minimum), what the gang needs, and its topology.
Asked = tuple[tuple[tuple[Shape, int, int], ...], int, tuple[TopologySpec, ...]]


def asked(pending: PendingGang) -> Asked | None:
    """What an equal gang would ask for, or None where some of it stands or is kept from nodes."""
    if pending.standing_nodes or pending.avoided:
        return None
    if pending.key.is_single:
        return _asked_of_one(pending.roles[0].shape)
    roles = tuple((role.shape, len(role.pods), role.minimum) for role in pending.roles)
    return roles, pending.need, pending.topology


@lru_cache(maxsize=8_192)
def _asked_of_one(shape: Shape) -> Asked:
    """Of a single pod; the very same for equal ones."""
    return ((shape, 1, 1),), 1, ()


def is_plain(ask: Asked) -> bool:
    """Whether a sum over nodes of what each holds says exactly that it does not fit: pods of one kind, no
    rule but those of each node by itself.
    """
    roles, _, topology = ask
    if len(roles) != 1 or topology:
        return False
    shape = roles[0][0]
    return not shape.sees_pods and shape.ask is None


def is_shared(snapshot: Snapshot, policy: Policy, planned: Plan) -> bool:
    """Whether equal gangs fail alike, whoever asks: no teams, no rule between pods, no turn to wait for.

    Of gangs that have no such rule of their own.
    """
    return (
        snapshot.teams is None
        and policy.backfill
        and not policy.displaces
        and not snapshot.vacancies
        and not snapshot.nominated
        and not any(pod.shape.pod_anti_affinity for pod in snapshot.placed)
        and not any(a.pod.shape.pod_anti_affinity for place in planned.places for a in place.assignments)
    )


class Failures:
    """Verdicts of one run by what was asked for. Room only shrinks within a run, so equals fail alike.

    A run that makes room forgets. A failure of pods that want others near them, or spread evenly, holds only
    while no further pod is placed: ``mark`` says how many are.
    """

    def __init__(self) -> None:
        self._verdicts: dict[Hashable, tuple[Verdict, Hashable]] = {}
        self._hopeless: set[Hashable] = set()
        #: Of single pods, by shape, where nothing else tells one from another.
        self._singles: dict[Shape, Verdict] = {}

    def note_single(self, shape: Shape, verdict: Verdict) -> None:
        """No further pod of this shape fits, whosever it is."""
        self._singles[shape] = verdict

    def recall_single(self, shape: Shape) -> Verdict | None:
        return self._singles.get(shape)

    def recall(self, key: Hashable, mark: Hashable) -> Verdict | None:
        found = None if key is None else self._verdicts.get(key)
        return found[0] if found is not None and found[1] in (None, mark) else None

    def note(self, key: Hashable, verdict: Verdict, mark: Hashable) -> None:
        """mark: None where pods placed later cannot help."""
        if key is not None:
            self._verdicts[key] = (verdict, mark)

    def give_up(self, kind: Hashable) -> None:
        """Nobody can be evicted for gangs of this kind."""
        self._hopeless.add(kind)

    def is_hopeless(self, kind: Hashable) -> bool:
        return kind in self._hopeless

    def forget(self) -> None:
        """There is room that was not there before."""
        self._verdicts.clear()
        self._singles.clear()

"""Teams as a snapshot shows them: whose a namespace is, what is in use, who runs and who is leaving."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from quotas.amounts import Amounts
from quotas.tree import Tree
from quotas.units import UnitTable
from scheduler.model.gang import GangKey
from scheduler.model.objects import Pod


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class TeamTable:
    """All TeamQuota objects as one value, replaced as a whole when one of them changes."""

    tree: Tree
    #: Team by namespace; a namespace that is missing belongs to no team.
    namespaces: Mapping[str, str]
    #: By team: asked for a pod that asks for no CPU or memory itself, and the most one pod may ask.
    pod_defaults: Mapping[str, Amounts]
    pod_maximum: Mapping[str, Amounts]
    units: UnitTable
    #: By team, which writing of its TeamQuota this was made of.
    generations: Mapping[str, int] = field(default_factory=dict)

    def team(self, namespace: str) -> str:
        return self.namespaces.get(namespace, "")


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningGang:
    """A gang of ours that holds capacity: whom it may cost something to make room."""

    key: GangKey
    #: The lowest of its pods, or what its group object says: what evicting it costs goes by this.
    priority: int
    #: Members that hold capacity and stay; it stands on the first ``base``, the others can leave alone.
    pods: tuple[Pod, ...]
    base: int
    #: What its group object says for all its pods; None where each pod's own priority counts.
    given_priority: int | None = None

    def priority_of(self, pods: Sequence[Pod]) -> int:
        """What somebody's priority must exceed to have these of its pods evicted: the highest of them."""
        if self.given_priority is not None:
            return self.given_priority
        return max((pod.priority for pod in pods), default=self.priority)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Teams:
    """One moment. N nodes and R resources are those of the snapshot."""

    table: TeamTable
    at_s: float
    #: In use by team, of its own work, without what is leaving.
    usage: Mapping[str, Amounts]
    #: Decayed use by team, with everything below it.
    history: Mapping[str, Amounts]
    #: GPU models by name, MiB of one such GPU (0: unknown), and int64[N]: each node's, an index into them.
    models: tuple[str, ...]
    memory_mib: tuple[int, ...]
    model_of: NDArray[np.int64]
    running: tuple[RunningGang, ...]
    #: int64[N, R]: held by pods that are on their way out.
    leaving: NDArray[np.int64]
    leaving_pods: int = 0
    #: float64[N]: by when those of each node are to be gone, infinite where nobody knows; empty: of none.
    leaving_by_s: NDArray[np.float64] = field(default_factory=lambda: np.zeros(0))
    #: Room was made for these, first come first: node by pod UID. They come before all who have nothing.
    nominated: Mapping[GangKey, Mapping[str, str]] = field(default_factory=dict)
    #: UIDs of pods whose eviction was refused of late, and of those that are on their way out.
    spared: frozenset[str] = frozenset()
    #: Pods that are to be evicted, or were just now: budgets may not count that yet.
    uncounted: tuple[Pod, ...] = ()
    #: Gangs that were evicted before, and for which of the gangs that are there now.
    evicted_for: Mapping[GangKey, frozenset[GangKey]] = field(default_factory=dict)

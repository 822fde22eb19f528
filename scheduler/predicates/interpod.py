"""The rules between pods, together: what pods on nodes ask of a newcomer, and its equals of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from binpacking.problem import DomainLimit, Skew
from scheduler.model.objects import Node, Shape
from scheduler.model.plan import Placed
from scheduler.predicates.crowd import Crowd, Labels
from scheduler.predicates.host_ports import constrain_ports
from scheduler.predicates.matching import Namespaces
from scheduler.predicates.pod_affinity import constrain_affinity
from scheduler.predicates.pod_anti_affinity import constrain_anti_affinity, forbidden_by_placed
from scheduler.predicates.predicate import Mask
from scheduler.predicates.topology_spread import constrain_spread


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Interpod:
    """Constraints on the pods of one role.

    mask: bool[N] or None for every node. same_domain: topology keys of which all pods of the role
    must share one value, since none of them is placed yet.
    """

    mask: Mask | None = None
    limits: tuple[DomainLimit, ...] = ()
    skews: tuple[Skew, ...] = ()
    same_domain: tuple[str, ...] = ()


def keeps(rules: Interpod, crowd: Crowd, rows: Sequence[int]) -> bool:
    """Whether pods of the role on these nodes, one a row, keep the rules together."""
    at = np.array(rows, dtype=np.int64)
    if rules.mask is not None and not rules.mask[at].all():
        return False
    for key in rules.same_domain:
        of = crowd.domains(key).of[at]
        if (of < 0).any() or len(np.unique(of)) > 1:
            return False
    for limit in rules.limits:
        of = limit.domain_of[at]
        if (of < 0).any() or (np.bincount(of, minlength=len(limit.most)) > limit.most).any():
            return False
    return all(_is_even(skew, at) for skew in rules.skews)


def _is_even(skew: Skew, at: NDArray[np.int64]) -> bool:
    of = skew.domain_of[at]
    if (of < 0).any():
        return False
    come = np.bincount(of, minlength=len(skew.have)).astype(np.int64)
    after = skew.have + come
    return bool((after[come > 0] - skew.floor(after, skew.eligible()) <= skew.max_skew).all())


def constrain(
    shape: Shape,
    namespace: str,
    labels: Labels,
    nodes: Sequence[Node],
    placed: Sequence[Placed] | Crowd,
    namespaces: Namespaces,
) -> Interpod:
    """Every rule between pods for newcomers of one shape, namespace and labels.

    ``placed`` are the pods that hold capacity on ``nodes``; a Crowd over the same nodes saves
    indexing them again. ``namespaces`` gives labels by namespace name.
    """
    crowd = placed if isinstance(placed, Crowd) else Crowd(nodes, placed)
    who = dict(labels)
    forbidden = forbidden_by_placed(namespace, who, crowd, namespaces)
    apart, limits = constrain_anti_affinity(shape, namespace, who, crowd, namespaces)
    ports, port_limits = constrain_ports(shape, crowd)
    beside, same_domain = constrain_affinity(shape, namespace, who, crowd, namespaces)
    even, skews = constrain_spread(shape, namespace, who, crowd)
    mask = None if forbidden is None else ~forbidden
    for own in (apart, ports, beside, even):
        if own is not None:
            mask = own if mask is None else mask & own
    return Interpod(mask=mask, limits=limits + port_limits, skews=skews, same_domain=same_domain)

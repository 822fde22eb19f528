"""The rules between pods, together: what pods on nodes ask of a newcomer, and its equals of each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

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

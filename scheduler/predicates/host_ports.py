"""Host ports. Sources: ``plugins/nodeports``, ``kube-scheduler/framework/types.go`` (HostPortInfo, 1.37)."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from binpacking.problem import DomainLimit
from scheduler.model.objects import Shape
from scheduler.model.selection import HostPort
from scheduler.predicates.crowd import Crowd
from scheduler.predicates.predicate import Mask

ANY_ADDRESS = "0.0.0.0"


def conflicts(ports: Sequence[HostPort], others: Sequence[HostPort]) -> bool:
    """Whether two pods with these ports cannot share a node."""
    return any(
        a.port == b.port
        and a.protocol == b.protocol
        and (a.host_ip == b.host_ip or ANY_ADDRESS in (a.host_ip, b.host_ip))
        for a in ports
        for b in others
    )


def constrain_ports(shape: Shape, crowd: Crowd) -> tuple[Mask | None, tuple[DomainLimit, ...]]:
    """Nodes without a conflict, and one pod of this shape a node."""
    if not shape.host_ports:
        return None, ()
    allowed = np.ones(len(crowd.nodes), dtype=np.bool_)
    for ports, rows in crowd.listening():
        if conflicts(shape.host_ports, ports):
            allowed[rows] = False
    each = np.arange(len(crowd.nodes), dtype=np.int32)
    return allowed, (DomainLimit(domain_of=each, most=np.ones(len(crowd.nodes), dtype=np.int64)),)

"""Selectors, taints and affinities: the constraint vocabulary of a pod, normalised and hashable.

Source of every meaning: ``k8s.io/api/core/v1/types.go`` and the kube-scheduler plugins of 1.37.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
Effect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Requirement:
    """One expression over a label (or over ``metadata.name`` for node fields)."""

    key: str
    operator: Operator
    #: Sorted; empty for Exists and DoesNotExist; exactly one integer text for Gt and Lt.
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Selector:
    """A label selector: all requirements hold. No requirements selects everything.

    The API's *absent* selector, which selects nothing, is ``None`` where a Selector is optional.
    """

    requirements: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeTerm:
    """One term of a node selector: its requirements are ANDed, terms are ORed.

    A term with neither expressions nor fields matches no node (kube-scheduler's rule).
    """

    expressions: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedNodeTerm:
    weight: int
    term: NodeTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class PodTerm:
    """One pod affinity or anti-affinity term, namespaces already resolved to a rule."""

    topology_key: str
    #: None selects nothing.
    selector: Selector | None
    #: Sorted. Empty together with a None ``namespace_selector`` means the pod's own namespace,
    #: which the parser has already written here; so never empty unless the selector is set.
    namespaces: tuple[str, ...]
    namespace_selector: Selector | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightedPodTerm:
    weight: int
    term: PodTerm


@dataclass(frozen=True, slots=True, kw_only=True)
class SpreadConstraint:
    """One topology spread constraint (KEP-895, KEP-3022, KEP-3094)."""

    topology_key: str
    max_skew: int
    #: True for DoNotSchedule, False for ScheduleAnyway.
    is_required: bool
    selector: Selector | None
    min_domains: int = 1
    honours_affinity: bool = True
    honours_taints: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Taint:
    key: str
    value: str
    effect: Effect


@dataclass(frozen=True, slots=True, kw_only=True)
class Toleration:
    #: Empty with Exists tolerates every key.
    key: str
    operator: Literal["Exists", "Equal", "Gt", "Lt"]
    value: str
    #: Empty tolerates every effect.
    effect: Effect | Literal[""]


@dataclass(frozen=True, slots=True, kw_only=True)
class HostPort:
    protocol: str
    #: "0.0.0.0" conflicts with every address of the same protocol and port.
    host_ip: str
    port: int

"""Selectors, taints and affinities: the constraint vocabulary of a pod, normalised and hashable.

Source of every meaning: ``k8s.io/api/core/v1/types.go`` and the kube-scheduler plugins of 1.37.
"""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from scheduler.model.structs import like_dataclass

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist", "Gt", "Lt"]
Effect = Literal["NoSchedule", "PreferNoSchedule", "NoExecute"]


@like_dataclass
class Requirement(Struct, frozen=True, kw_only=True, gc=False):
    """One expression over a label (or over ``metadata.name`` for node fields)."""

    key: str
    operator: Operator
    #: Sorted; empty for Exists and DoesNotExist; exactly one integer text for Gt and Lt.
    values: tuple[str, ...] = ()


@like_dataclass
class Selector(Struct, frozen=True, kw_only=True, gc=False):
    """A label selector: all requirements hold. No requirements selects everything.

    The API's *absent* selector, which selects nothing, is ``None`` where a Selector is optional.
    """

    requirements: tuple[Requirement, ...] = ()


@like_dataclass
class NodeTerm(Struct, frozen=True, kw_only=True, gc=False):
    """One term of a node selector: its requirements are ANDed, terms are ORed.

    A term with neither expressions nor fields matches no node (kube-scheduler's rule).
    """

    expressions: tuple[Requirement, ...] = ()
    fields: tuple[Requirement, ...] = ()


@like_dataclass
class WeightedNodeTerm(Struct, frozen=True, kw_only=True, gc=False):
    weight: int
    term: NodeTerm


@like_dataclass
class PodTerm(Struct, frozen=True, kw_only=True, gc=False):
    """One pod affinity or anti-affinity term, namespaces already resolved to a rule."""

    topology_key: str
    #: None selects nothing.
    selector: Selector | None
    #: Sorted. Empty together with a None ``namespace_selector`` means the pod's own namespace,
    #: which the parser has already written here; so never empty unless the selector is set.
    namespaces: tuple[str, ...]
    namespace_selector: Selector | None = None


@like_dataclass
class WeightedPodTerm(Struct, frozen=True, kw_only=True, gc=False):
    weight: int
    term: PodTerm


@like_dataclass
class SpreadConstraint(Struct, frozen=True, kw_only=True, gc=False):
    """One topology spread constraint (KEP-895, KEP-3022, KEP-3094)."""

    topology_key: str
    max_skew: int
    #: True for DoNotSchedule, False for ScheduleAnyway.
    is_required: bool
    selector: Selector | None
    min_domains: int = 1
    honours_affinity: bool = True
    honours_taints: bool = False


@like_dataclass
class Taint(Struct, frozen=True, kw_only=True, gc=False):
    key: str
    value: str
    effect: Effect


@like_dataclass
class Toleration(Struct, frozen=True, kw_only=True, gc=False):
    #: Empty with Exists tolerates every key.
    key: str
    operator: Literal["Exists", "Equal", "Gt", "Lt"]
    value: str
    #: Empty tolerates every effect.
    effect: Effect | Literal[""]


@like_dataclass
class HostPort(Struct, frozen=True, kw_only=True, gc=False):
    protocol: str
    #: "0.0.0.0" conflicts with every address of the same protocol and port.
    host_ip: str
    port: int

"""Whether selectors, terms and tolerations match: the vocabulary of all rules.

Sources (1.37): ``apimachinery/pkg/labels/selector.go`` (Requirement.Matches),
``component-helpers/scheduling/corev1/nodeaffinity``, ``api/core/v1/toleration.go``,
``kube-scheduler/framework/types.go``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from scheduler.model.selection import NodeTerm, PodTerm, Requirement, Selector, Taint, Toleration

#: Labels by namespace name, for namespace selectors.
Namespaces = Mapping[str, Mapping[str, str]]

_INTEGER = re.compile(r"[+-]?[0-9]{1,253}")


def holds(requirement: Requirement, value: str | None) -> bool:
    """Whether a label with this value, None for an absent one, meets the requirement."""
    match requirement.operator:
        case "In":
            return value is not None and value in requirement.values
        case "NotIn":
            return value is None or value not in requirement.values
        case "Exists":
            return value is not None
        case "DoesNotExist":
            return value is None
        case "Gt" | "Lt":
            have, bound = integer(value), integer(requirement.values[0])
            if have is None or bound is None:
                return False
            return have > bound if requirement.operator == "Gt" else have < bound


def selects(selector: Selector | None, labels: Mapping[str, str]) -> bool:
    """Whether the selector matches; None selects nothing."""
    return selector is not None and all(holds(r, labels.get(r.key)) for r in selector.requirements)


def term_matches(term: NodeTerm, labels: Mapping[str, str], name: str | None) -> bool:
    """Whether a node term matches; an empty one never does. Without a name, fields are not looked at."""
    if not term.expressions and not term.fields:
        return False
    if not all(holds(r, labels.get(r.key)) for r in term.expressions):
        return False
    return name is None or all(holds(r, name) for r in term.fields)


def terms_match(terms: Sequence[NodeTerm] | None, labels: Mapping[str, str], name: str | None) -> bool:
    """Whether some term matches; None matches every node."""
    return terms is None or any(term_matches(term, labels, name) for term in terms)


def tolerates(tolerations: Sequence[Toleration], taint: Taint) -> bool:
    """Whether some toleration covers the taint."""
    return any(_covers(toleration, taint) for toleration in tolerations)


def _covers(toleration: Toleration, taint: Taint) -> bool:
    if toleration.effect and toleration.effect != taint.effect:
        return False
    if toleration.key and toleration.key != taint.key:
        return False
    match toleration.operator:
        case "Exists":
            return True
        case "Equal":
            return toleration.value == taint.value
        case "Gt" | "Lt":
            # KEP-5471: the API server lets these in only where the cluster has switched them on.
            have, bound = integer(taint.value), integer(toleration.value)
            if have is None or bound is None:
                return False
            return have > bound if toleration.operator == "Gt" else have < bound


def term_reaches(term: PodTerm, namespace: str, namespaces: Namespaces) -> bool:
    """Whether the term speaks of pods in this namespace."""
    return namespace in term.namespaces or selects(term.namespace_selector, namespaces.get(namespace, {}))


def term_applies(term: PodTerm, namespace: str, labels: Mapping[str, str], namespaces: Namespaces) -> bool:
    """Whether a pod of this namespace with these labels is one the term speaks of."""
    return term_reaches(term, namespace, namespaces) and selects(term.selector, labels)


def integer(text: str | None) -> int | None:
    """What Go's ParseInt(text, 10, 64) reads, or None."""
    if text is None or not _INTEGER.fullmatch(text):
        return None
    number = int(text)
    return number if -(2**63) <= number < 2**63 else None

"""Label selectors and node selector terms, checked and brought into one canonical form.

Checks of ``apimachinery/pkg/labels/selector.go`` and ``component-helpers/scheduling/corev1/nodeaffinity``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar, get_args

from scheduler.kube import wire
from scheduler.model.selection import NodeTerm, Operator, Requirement, Selector
from scheduler.parse.refusal import Refusal, shown

T = TypeVar("T")

TERMS_MAX = 100
REQUIREMENTS_MAX = 100
VALUES_MAX = 1_000

_NODE_OPERATORS: Mapping[str, Operator] = {text: text for text in get_args(Operator)}
_LABEL_OPERATORS: Mapping[str, Operator] = {k: v for k, v in _NODE_OPERATORS.items() if k not in ("Gt", "Lt")}
_FIELD_OPERATORS: Mapping[str, Operator] = {"In": "In", "NotIn": "NotIn"}
_KEY = re.compile(
    r"(?:[a-z0-9](?:[-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_VALUE = re.compile(r"(?:[A-Za-z0-9](?:[-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?)?")
_INTEGER = re.compile(r"[+-]?[0-9]{1,63}")


def parse_selector(field: str, found: wire.LabelSelector | None) -> Selector | None:
    """The selector; None, which selects nothing, for an absent one. Raises Refusal."""
    if found is None:
        return None
    equal = [
        _requirement(f"{field}.matchLabels", wire.Requirement(key, "In", (value,)), _LABEL_OPERATORS)
        for key, value in (found.match_labels or {}).items()
    ]
    return selector_of(
        equal + _requirements(f"{field}.matchExpressions", found.match_expressions, _LABEL_OPERATORS)
    )


def selector_of(requirements: Iterable[Requirement]) -> Selector:
    """Sorted and without repetition, so that equal meanings are equal values."""
    return Selector(requirements=_canonical(requirements))


def parse_node_terms(field: str, found: wire.NodeSelector | None) -> tuple[NodeTerm, ...] | None:
    """Terms of a required node selector; None when there is none. Raises Refusal."""
    if found is None:
        return None
    terms = bounded(field, found.node_selector_terms, TERMS_MAX)
    return tuple(parse_node_term(f"{field}[{i}]", term) for i, term in enumerate(terms))


def parse_node_term(field: str, found: wire.NodeSelectorTerm) -> NodeTerm:
    """One term. Raises Refusal."""
    fields = _requirements(f"{field}.matchFields", found.match_fields, _FIELD_OPERATORS)
    for requirement in fields:
        if requirement.key != "metadata.name":
            raise Refusal(
                f"{field}.matchFields", f"{shown(requirement.key)}: only metadata.name can be matched"
            )
        if len(requirement.values) != 1:
            raise Refusal(f"{field}.matchFields", "name exactly one node for each expression")
    expressions = _requirements(f"{field}.matchExpressions", found.match_expressions, _NODE_OPERATORS)
    return NodeTerm(expressions=_canonical(expressions), fields=_canonical(fields))


def check_labels(field: str, labels: Mapping[str, str]) -> None:
    """Raise Refusal unless the API server would take these as labels."""
    for key, value in labels.items():
        check_key(field, key)
        if not _is_value(value):
            raise Refusal(f"{field}[{shown(key)}]", _no_value(value))


def check_key(field: str, key: str) -> None:
    """Raise Refusal unless this is a label key."""
    if len(key) > 317 or not _KEY.fullmatch(key):
        raise Refusal(field, f"{shown(key)} is not a label key: use letters, digits, '-', '_', '.', '/'")


def bounded(field: str, items: Sequence[T] | None, most: int) -> Sequence[T]:
    """The items, none for None. Raises Refusal when there are more than ``most``."""
    if items is None:
        return ()
    if len(items) > most:
        raise Refusal(field, f"{len(items)} entries: use at most {most}")
    return items


def _requirements(
    field: str, found: Sequence[wire.Requirement] | None, operators: Mapping[str, Operator]
) -> list[Requirement]:
    items = bounded(field, found, REQUIREMENTS_MAX)
    return [_requirement(field, item, operators) for item in items]


def _requirement(field: str, found: wire.Requirement, operators: Mapping[str, Operator]) -> Requirement:
    check_key(field, found.key)
    operator = operators.get(found.operator)
    if operator is None:
        raise Refusal(field, f"operator {shown(found.operator)} is unknown: use {', '.join(operators)}")
    values = found.values or ()
    if len(values) > VALUES_MAX:
        raise Refusal(field, f"{len(values)} values: use at most {VALUES_MAX}")
    if operator in ("In", "NotIn"):
        if not values:
            raise Refusal(field, f"{operator} of {shown(found.key)} has no values: name one")
        if operators is not _FIELD_OPERATORS:
            for value in values:
                if not _is_value(value):
                    raise Refusal(field, _no_value(value))
    elif operator in ("Gt", "Lt"):
        if len(values) != 1 or not is_int64(values[0]):
            raise Refusal(field, f"{operator} of {shown(found.key)} needs exactly one integer")
    elif values:
        raise Refusal(field, f"{operator} of {shown(found.key)} takes no values: remove them")
    return Requirement(key=found.key, operator=operator, values=tuple(sorted(set(values))))


def is_int64(text: str) -> bool:
    """Whether Go's ParseInt(text, 10, 64) reads it."""
    return _INTEGER.fullmatch(text) is not None and -(2**63) <= int(text) < 2**63


def _is_value(text: str) -> bool:
    return len(text) <= 63 and _VALUE.fullmatch(text) is not None


def _no_value(text: str) -> str:
    return f"{shown(text)} is not a label value: use at most 63 letters, digits, '-', '_', '.'"


def _canonical(requirements: Iterable[Requirement]) -> tuple[Requirement, ...]:
    return tuple(sorted(set(requirements), key=lambda r: (r.key, r.operator, r.values)))

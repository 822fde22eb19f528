"""Where Stowplan lets one pod go, by what the API server holds: the state that it plans on, node by node."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import msgspec
import numpy as np

from binpacking.greedy import place_greedy
from scheduler.gangs.view import single
from scheduler.kube import wire
from scheduler.model.objects import Node, Pod, Rejected
from scheduler.parse.node import parse_node
from scheduler.parse.pod import parse_pod, skeleton
from scheduler.state import ClusterState
from scheduler.translation import Translation

OURS = "stowplan"


class _List(msgspec.Struct):
    items: list[msgspec.Raw]


def feasible(nodes: bytes, pods: bytes, namespaces: bytes, newcomer: str) -> frozenset[str]:
    """The names of the nodes. nodes, pods, namespaces: lists as the API server gives them."""
    state = ClusterState(OURS)
    for name, labels in ((n.metadata.name, n.metadata.labels) for n in _items(namespaces, wire.Namespace)):
        state.set_namespace(name, labels or {})
    for node in map(parse_node, _items(nodes, wire.Node)):
        assert isinstance(node, Node), node
        state.set_node(node)
    found: Pod | None = None
    for sent in _items(pods, wire.Pod):
        parsed = parse_pod(sent)
        if sent.metadata.uid == newcomer:
            assert not isinstance(parsed, Rejected), parsed.reason
            found = replace(parsed, scheduler_name=OURS)
            state.set_pod(found)
        elif isinstance(parsed, Rejected):
            state.set_pod(skeleton(sent), parsed)
        else:
            state.set_pod(parsed)
    assert found is not None
    return frozenset(_allowed(state, found))


def _allowed(state: ClusterState, pod: Pod) -> Iterable[str]:
    snapshot = state.snapshot()
    translation = Translation(snapshot)
    packing = translation.packing("pack")
    translation.promised.keep_from(pod.priority, packing)
    alone = single(pod)
    for row, node in enumerate(snapshot.nodes):
        only = np.zeros(len(snapshot.nodes), dtype=np.bool_)
        only[row] = True
        gang = translation.gang(alone, count=1, minimum=1, within=only)
        if place_greedy(packing, gang) is not None:
            yield node.name


def _items(listed: bytes, kind: type[msgspec.Struct]) -> list:  # type: ignore[type-arg] # of that kind
    return [msgspec.json.decode(raw, type=kind) for raw in msgspec.json.decode(listed, type=_List).items]

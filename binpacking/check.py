"""The independent checker: what a valid answer is, without any of the code that makes answers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from binpacking.answer import GangAnswer, RolePlacement
from binpacking.problem import Gang, Nodes, Role

if TYPE_CHECKING:
    from binpacking.devices import Shape
    from binpacking.sharing import SharedState, Spot


def check(nodes: Nodes, gangs: Sequence[Gang], answers: Sequence[GangAnswer]) -> list[str]:
    """Everything wrong with these placements together; empty when they are valid."""
    if len(gangs) != len(answers):
        return [f"{len(answers)} answers for {len(gangs)} gangs"]
    wrong: list[str] = []
    used = np.zeros_like(nodes.free)
    for gang, answer in zip(gangs, answers, strict=True):
        if answer.placement is None:
            continue
        if len(answer.placement) != len(gang.roles):
            wrong.append(f"{gang.name}: {len(answer.placement)} placements for {len(gang.roles)} roles")
            continue
        counts = []
        for role, placement in zip(gang.roles, answer.placement, strict=True):
            form = _form(len(nodes), placement)
            wrong += [f"{gang.name}/{role.name}: {text}" for text in form]
            count = np.zeros(len(nodes), dtype=np.int64)
            if not form:
                count[placement.nodes] = placement.counts
            counts.append(count)
            used += count[:, None] * role.request
            wrong += [f"{gang.name}/{role.name}: {text}" for text in _role(role, count)]
        wrong += [f"{gang.name}: {text}" for text in _gang(nodes, gang, counts)]
    for node, column in np.argwhere((used > 0) & (used > nodes.free)).tolist():
        wrong.append(
            f"node {node}: {used[node, column]} of {nodes.free[node, column]} {nodes.resource(column)}"
        )
    return wrong


def check_shared(state: SharedState, placed: Sequence[tuple[Shape, Spot]]) -> list[str]:
    """Everything wrong with these pods together beside what the state holds; empty when they fit."""
    wrong: list[str] = []
    cpu, memory, free = state.cpu.tolist(), state.memory.tolist(), state.free.tolist()
    touched: set[int] = set()
    for shape, spot in placed:
        node = spot.node
        if not 0 <= node < len(cpu):
            wrong.append(f"no node {node}")
            continue
        touched.add(node)
        if shape.models is not None and int(state.nodes.model[node]) not in shape.models:
            wrong.append(f"node {node}: a model that a pod may not use")
        if len(set(spot.devices)) != shape.gpus:
            wrong.append(f"node {node}: devices {spot.devices} for {shape.gpus}")
        cpu[node] -= shape.cpu
        memory[node] -= shape.memory
        for device in spot.devices:
            if not 0 <= device < len(free[node]) or state.free[node, device] < 0:
                wrong.append(f"node {node}: no device {device}")
            else:
                free[node][device] -= shape.milli
    for node in sorted(touched):
        for name, before, after in (("cpu", state.cpu, cpu), ("memory", state.memory, memory)):
            if after[node] < min(0, int(before[node])):
                wrong.append(f"node {node}: {-after[node]} {name} too much")
        devices = [d for d, milli in enumerate(free[node]) if milli < 0 <= int(state.free[node, d])]
        wrong += [f"node {node}: {-free[node][d]} milli too much on device {d}" for d in devices]
    return wrong


def _form(nodes: int, placement: RolePlacement) -> list[str]:
    at, counts = placement.nodes, placement.counts
    if len(at) != len(counts):
        return ["nodes and counts differ in length"]
    if len(at) and (at.min() < 0 or at.max() >= nodes or (np.diff(at) <= 0).any()):
        return ["nodes are not distinct, ascending and known"]
    return ["a count is not positive"] if (counts <= 0).any() else []


def _role(role: Role, count: NDArray[np.int64]) -> list[str]:
    wrong: list[str] = []
    placed = int(count.sum())
    if not role.minimum <= placed <= role.count:
        wrong.append(f"{placed} pods, from {role.minimum} to {role.count}")
    if role.allowed is not None and count[~role.allowed].any():
        wrong.append("a pod on a node that is not allowed")
    for limit in role.limits:
        held = _held(limit.domain_of, count, len(limit.most))
        if count[limit.domain_of < 0].any() or (held > limit.most).any():
            wrong.append("more pods in a domain than its limit")
    for skew in role.skews:
        held = _held(skew.domain_of, count, len(skew.have))
        known = np.unique(skew.domain_of[skew.domain_of >= 0])
        after = skew.have + held
        lowest = int(after[known].min()) if len(known) and len(known) >= skew.min_domains else 0
        if count[skew.domain_of < 0].any() or (after[held > 0] - lowest > skew.max_skew).any():
            wrong.append("pods are spread less evenly than the skew allows")
    return wrong


def _held(domain_of: NDArray[np.int32], count: NDArray[np.int64], size: int) -> NDArray[np.int64]:
    held = np.zeros(size, dtype=np.int64)
    for node in np.flatnonzero((count > 0) & (domain_of >= 0)).tolist():
        held[domain_of[node]] += count[node]
    return held


def _gang(nodes: Nodes, gang: Gang, counts: Sequence[NDArray[np.int64]]) -> list[str]:
    wrong: list[str] = []
    at = np.flatnonzero(np.sum(counts, axis=0))
    placed = sum(int(c.sum()) for c in counts)
    if placed < gang.minimum:
        wrong.append(f"{placed} pods, at least {gang.minimum}")
    for topology in gang.topology:
        if not topology.is_required or not len(at):
            continue
        domains = nodes.domains[topology.level][at]
        alone = len(at) == 1
        if len(np.unique(domains)) > 1 or (domains[0] < 0 and not alone):
            wrong.append(f"pods in several domains of {nodes.level(topology.level)}")
        elif topology.pinned >= 0 and domains[0] != topology.pinned:
            wrong.append(f"pods outside domain {topology.pinned} of {nodes.level(topology.level)}")
    return wrong

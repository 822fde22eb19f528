"""Numbers over time from an outcome: exact means over equal bins, so that every sum is that of the run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scheduler.model.objects import GPU
from simulations.outcome import Outcome, Stay
from simulations.summary import span

BINS = 480
#: Devices and nodes that a map shows as rows of their own; more share rows.
ROWS_MAX = 256
#: A run that takes no time at all is shown as long as this.
INSTANT_S = 1e-3

Floats = NDArray[np.float64]
Indices = NDArray[np.intp]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Series:
    """B bins; each array is float64[B], the mean over its bin, in GPUs but for ``waiting_jobs``.

    ``edges_s``: float64[B + 1] in seconds of virtual time. ``teams``: GPUs held by each namespace.
    """

    edges_s: Floats
    capacity: Floats
    allocated: Floats
    at_work: Floats
    scattered: Floats
    waiting_jobs: Floats
    waiting_gpus: Floats
    teams: Mapping[str, Floats]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class DeviceMap:
    """``held``: float64[rows, B], the share of the row's GPUs that is held. A row is one GPU where there are
    few, else one node or several nodes of one after another. ``is_told``: the planner chose the GPUs shown.
    """

    rows: tuple[str, ...]
    held: Floats
    is_by_device: bool
    is_told: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Timeline:
    """A run, short enough to be sent: means over bins, as in ``Series``. Times count from the
    first submission.
    """

    edges_s: Floats
    capacity: Floats
    allocated: Floats
    waiting_jobs: Floats

    def over(self, values: Floats, at: Floats) -> Floats:
        """Some of these values as means over other bins; after the end of the run there are none."""
        return steps(self.edges_s.tolist(), [*values.tolist(), 0.0], at)


def timeline(outcome: Outcome, bins: int = BINS) -> Timeline:
    curve, at = outcome.curve, edges(outcome, bins)
    return Timeline(
        edges_s=at - at[0],
        capacity=steps(curve.at_s, curve.capacity, at),
        allocated=steps(curve.at_s, curve.allocated, at),
        waiting_jobs=steps(curve.at_s, curve.waiting_jobs, at),
    )


def edges(outcome: Outcome, bins: int = BINS) -> Floats:
    """Edges of equal bins over the run."""
    from_s, to_s = span(outcome)
    return np.linspace(from_s, max(to_s, from_s + INSTANT_S), bins + 1)


def series(outcome: Outcome, bins: int = BINS) -> Series:
    curve, at = outcome.curve, edges(outcome, bins)
    stays, jobs = outcome.stays, outcome.workload.jobs
    gpus = np.array([stay.gpus for stay in stays], dtype=np.float64)
    begins, ends = _times(stays)
    works = np.array([min(stay.works_s, stay.to_s) for stay in stays], dtype=np.float64)
    names = sorted({job.team for job in jobs})
    index = {name: i for i, name in enumerate(names)}
    teams = np.array([index[jobs[stay.job].team] for stay in stays], dtype=np.intp)
    by_team = held(begins, ends, gpus, teams, len(names), at)
    return Series(
        edges_s=at,
        capacity=steps(curve.at_s, curve.capacity, at),
        allocated=steps(curve.at_s, curve.allocated, at),
        at_work=held(works, ends, gpus, np.zeros(len(stays), dtype=np.intp), 1, at)[0],
        scattered=steps(curve.at_s, curve.scattered, at),
        waiting_jobs=steps(curve.at_s, curve.waiting_jobs, at),
        waiting_gpus=steps(curve.at_s, curve.waiting_gpus, at),
        teams={name: by_team[i] for name, i in index.items()},
    )


def steps(at_s: Sequence[float], values: Sequence[float], at: Floats) -> Floats:
    """Means over bins of a step function: ``values[i]`` from ``at_s[i]`` on, 0 before the first."""
    if not at_s:
        return np.zeros(len(at) - 1)
    when, level = np.asarray(at_s, dtype=np.float64), np.asarray(values, dtype=np.float64)
    lasts = np.append(when[1:], max(when[-1], at[-1])) - when
    sums = np.concatenate([[0.0], np.cumsum(level * lasts)])
    found = np.interp(at, np.append(when, max(when[-1], at[-1])), sums, left=0.0)
    return np.asarray(np.diff(found) / np.diff(at), dtype=np.float64)


def held(begins: Floats, ends: Floats, weights: Floats, rows: Indices, count: int, at: Floats) -> Floats:
    """float64[count, B]: by row, the mean over each bin of the weights of the spans that cover it."""
    bins, width = len(at) - 1, at[1] - at[0]
    whole = np.zeros((count, bins + 1))
    part = np.zeros((count, bins + 1))
    for times, signs in ((begins, weights), (ends, -weights)):
        inside = np.clip(times, at[0], at[-1])
        bin_of = np.minimum(((inside - at[0]) / width).astype(np.intp), bins - 1)
        np.add.at(part, (rows, bin_of), signs * (at[bin_of + 1] - inside) / width)
        np.add.at(whole, (rows, bin_of + 1), signs)
    return np.asarray(np.cumsum(whole, axis=1)[:, :bins] + part[:, :bins], dtype=np.float64)


def device_map(outcome: Outcome, bins: int = BINS) -> DeviceMap:
    """Who held which GPU when, and how much of it."""
    at, sizes = edges(outcome, bins), _sizes(outcome)
    stays = [stay for stay in outcome.stays if stay.to_s > stay.from_s and stay.gpus]
    if sum(sizes.values()) <= ROWS_MAX:
        return _by_device(outcome, stays, sizes, at)
    per_row = -(-len(sizes) // ROWS_MAX)
    names = list(sizes)
    row = {name: i // per_row for i, name in enumerate(names)}
    groups = [names[i : i + per_row] for i in range(0, len(names), per_row)]
    size = np.array([sum(sizes[name] for name in group) for group in groups], dtype=np.float64)
    gpus = np.array([stay.gpus for stay in stays], dtype=np.float64)
    rows = np.array([row[stay.node] for stay in stays], dtype=np.intp)
    found = held(*_times(stays), gpus, rows, len(groups), at) / size[:, None]
    labels = tuple(group[0] if len(group) == 1 else f"{group[0]} to {group[-1]}" for group in groups)
    return DeviceMap(rows=labels, held=found, is_by_device=False)


def _by_device(outcome: Outcome, stays: Sequence[Stay], sizes: Mapping[str, int], at: Floats) -> DeviceMap:
    first: dict[str, int] = {}
    for name in sizes:
        first[name] = sum(sizes[known] for known in first)
    spans = [
        (first[stay.node] + device, stay, stay.gpus / len(devices))
        for stay, devices in zip(stays, devices_of(outcome, stays), strict=True)
        for device in devices
        if device < sizes[stay.node]
    ]
    rows = np.array([row for row, _, _ in spans], dtype=np.intp)
    begins, ends = _times([stay for _, stay, _ in spans])
    parts = np.array([part for _, _, part in spans], dtype=np.float64)
    found = held(begins, ends, parts, rows, sum(sizes.values()), at)
    labels = tuple(f"{name} GPU {i}" for name, size in sizes.items() for i in range(size))
    return DeviceMap(rows=labels, held=found, is_by_device=True, is_told=_are_told(stays))


def devices_of(outcome: Outcome, stays: Sequence[Stay]) -> list[list[int]]:
    """The devices of each stay on its node: where it is not known which, the lowest that nobody holds, first
    come first.
    """
    if _are_told(stays):
        return [list(stay.devices) for stay in stays]
    moves = sorted(
        [(stay.from_s, 1, i) for i, stay in enumerate(stays)]
        + [(stay.to_s, 0, i) for i, stay in enumerate(stays)]
    )
    taken: dict[str, set[int]] = {}
    found: list[list[int]] = [[] for _ in stays]
    for _, begins, i in moves:
        used = taken.setdefault(stays[i].node, set())
        if not begins:
            used.difference_update(found[i])
            continue
        device = 0
        while len(found[i]) < stays[i].gpus:
            if device not in used:
                found[i].append(device)
            device += 1
        used.update(found[i])
    return found


def _are_told(stays: Sequence[Stay]) -> bool:
    return all(stay.devices for stay in stays)


def _times(stays: Sequence[Stay]) -> tuple[Floats, Floats]:
    return (
        np.array([stay.from_s for stay in stays], dtype=np.float64),
        np.array([stay.to_s for stay in stays], dtype=np.float64),
    )


def _sizes(outcome: Outcome) -> dict[str, int]:
    """GPUs of each node that has any, in the order of the cluster, with those that were lost on the way."""
    nodes = {node.name: node for node in (*outcome.nodes, *outcome.lost)}
    sizes = {name: node.allocatable.get(GPU, 0) for name, node in nodes.items()}
    return {name: size for name, size in sizes.items() if size}

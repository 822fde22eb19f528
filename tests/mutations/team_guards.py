"""Guards of what a team's words come to: defaults on nodes, and what a victim is told."""

from __future__ import annotations

from tests.mutations.guards import Mutation

DEFAULTS = "tests/teams/test_defaults_of_a_team_count_as_requests.py"

TEAM_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a pod counts with its team's default on nodes and in quotas",
        file="scheduler/teams/defaults.py",
        old="return pod if shape is pod.shape else replace(pod, shape=shape)",
        new="return pod",
        test=DEFAULTS,
    ),
    Mutation(
        name="a change of a team's default counts for the pods that are there",
        file="scheduler/teams/defaults.py",
        old="            if shape is not record.observed.shape:",
        new="            if False:",
        test=DEFAULTS,
    ),
    Mutation(
        name="what a pod asks itself goes before its team's default",
        file="scheduler/teams/defaults.py",
        old="dict(said) | dict(asked.requests)",
        new="dict(asked.requests) | dict(said)",
        test=DEFAULTS,
    ),
)

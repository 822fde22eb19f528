"""Guards of what a team's words come to: defaults on nodes, and what a victim is told."""

from __future__ import annotations

from tests.mutations.guards import Mutation

REAL = "tests/teams/test_a_real_cluster_gives_back_what_was_borrowed.py"
TOLD = "tests/faces/test_announcements_follow_facts.py"
NO_PLACE = "tests/teams/test_who_finds_no_place_puts_off_nobody_of_its_team.py"
DEFAULTS = "tests/teams/test_defaults_of_a_team_count_as_requests.py"

TEAM_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a gang that finds no place is not counted in its team's turns",
        file="scheduler/teams/turns.py",
        old="        for position in self._given:\n            self._turns.release(position)\n        self._given.clear()\n",
        new="        self._given.clear()\n",
        test=NO_PLACE,
    ),
    Mutation(
        name="what is known of a team's turn is looked at anew once work is released",
        file="quotas/order.py",
        old="        self._moved.update(self._books.tree.path(self._books.tree.leaf(entry.team)))\n",
        new="",
        test=NO_PLACE,
    ),
    Mutation(
        name="a claim reckons with gangs that leave whole",
        file="quotas/reclaim.py",
        old="may_start_after(books, found, _most_freed(books, found))",
        new="may_start_after(books, found, sources(books, found))",
        test="tests/teams/test_every_plan_keeps_the_promises_of_quotas.py",
    ),
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
        old="            if shape is not record.filled:",
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
    Mutation(
        name="a pod is told that it was evicted only if it was",
        file="scheduler/live/evictor.py",
        old="                roll.spare(pod.uid, self._clock(), is_broken=_gang_of(task) in job.hit)\n",
        new="                roll.spare(pod.uid, self._clock(), is_broken=_gang_of(task) in job.hit)\n"
        "                self._announcer.evicted([pod], job.clearing.why, 'Preempted')\n",
        test=f"{REAL}::test_a_refused_eviction_leaves_no_word_on_the_pod",
    ),
    Mutation(
        name="a victim's condition names its own rule",
        file="scheduler/live/evictor.py",
        old="REASONS[job.clearing.rule]",
        new='"TakenBack"',
        test=f"{REAL}::test_a_victim_that_takes_time_to_leave_carries_for_whom_and_by_which_rule",
    ),
    Mutation(
        name="who leaves is told before those who wait",
        file="scheduler/live/announcer.py",
        old="return isinstance(item, _Marking) or (",
        new="return False or (",
        test=f"{TOLD}::test_who_leaves_is_told_before_those_who_wait",
    ),
    Mutation(
        name="a victim's condition goes to no other pod of its name",
        file="scheduler/live/announcements.py",
        old='{"metadata": {"uid": pod.uid}, "status": {"conditions": [told]}}',
        new='{"status": {"conditions": [told]}}',
        test=f"{TOLD}::test_an_evicted_pod_is_told_why_while_it_leaves_whatever_version_it_is_in",
    ),
    Mutation(
        name="a verdict tells a team's default from what is written in the pod",
        file="scheduler/explain/verdict.py",
        old="if name in shape.by_default else told",
        new="if shape.by_default else told",
        test=DEFAULTS,
    ),
)

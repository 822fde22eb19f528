"""Guards of who is evicted for whom: budgets, priorities, identities, and what becomes of each eviction."""

from __future__ import annotations

from tests.mutations.guards import Mutation

JUDGED = "tests/teams/test_a_victim_is_judged_by_what_leaves.py"
COSTS = "tests/teams/test_an_eviction_costs_no_more_than_its_cause.py"
PRIORITY = "tests/teams/test_priority_keeps_its_meaning_without_teams.py"
OWED = "tests/binpacking/test_no_more_is_taken_than_is_owed.py"
SHRANK = "tests/teams/test_a_node_that_shrank_has_nobody_evicted_in_vain.py"
ENDED = "tests/teams/test_a_budget_lets_one_less_go_when_a_pod_ended.py"
COUNTED = "tests/teams/test_what_waits_is_counted_whoever_describes_it.py"

VICTIM_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="what is promised is held of what is free first",
        file="scheduler/teams/clearing.py",
        old="        held = np.clip(self._packing.free, 0, asked)\n",
        new="        held = np.clip(self._packing.free, 0, asked) - np.minimum(\n"
        "            np.clip(self._packing.free, 0, asked), np.maximum(self._coming, 0)\n"
        "        )\n",
        test="tests/teams/test_room_that_is_made_stays_promised.py",
    ),
    Mutation(
        name="nobody joins a gang that is being evicted",
        file="scheduler/cycles.py",
        old="        self._keep_out()\n",
        new="",
        test=COSTS,
    ),
    Mutation(
        name="whom a budget does not let go is no victim",
        file="scheduler/teams/candidates.py",
        old=" and self._budgets.allow(pods)",
        new="",
        test=JUDGED,
    ),
    Mutation(
        name="what is chosen counts against the budgets of the next",
        file="scheduler/teams/candidates.py",
        old="        self._budgets.take(pod for victim in victims for pod in victim.pods)\n",
        new="",
        test=JUDGED,
    ),
    Mutation(
        name="an eviction that no budget counts yet is counted",
        file="scheduler/teams/candidates.py",
        old="        if translation.snapshot.budgets:\n            self._budgets.take(self._teams.uncounted)\n",
        new="",
        test=JUDGED,
    ),
    Mutation(
        name="a budget that is seen later than the pod goes counts it",
        file="scheduler/teams/roll.py",
        old="self.is_ours and (self.went_s is None or at_s - self.went_s < COUNTED_S)",
        new="self.is_condemned",
        test=JUDGED,
    ),
    Mutation(
        name="what came free is first for whom it was promised first",
        file="scheduler/teams/clearing.py",
        old=" + sum(other.held for other in later)",
        new="",
        test="tests/teams/test_borrowed_capacity_comes_back.py",
    ),
    Mutation(
        name="for whom room is made does not wait apart",
        file="scheduler/cycles.py",
        old="        if self._state.roll.is_nominated(gang):\n",
        new="        if False:\n",
        test="tests/simulations/test_no_course_breaks_a_rule.py::test_what_broke_a_rule_once_does_so_no_more",
    ),
    Mutation(
        name="a pod of two budgets is never chosen",
        file="scheduler/teams/budgets.py",
        old="if len(budgets) > 1:",
        new="if False:",
        test=JUDGED,
    ),
    Mutation(
        name="the solver keeps a cap",
        file="binpacking/debts.py",
        old="        for q, most in self._terms.caps:\n            model.cp.add(",
        new="        for q, most in ():\n            model.cp.add(",
        test=OWED,
    ),
    Mutation(
        name="what is taken in order keeps a cap",
        file="binpacking/debts.py",
        old="if any(frees[q] > most for q, most in spare.items()):",
        new="if False:",
        test=OWED,
    ),
    Mutation(
        name="what a gang stands on stays where it may not go",
        file="scheduler/teams/candidates.py",
        old="base=base if able.is_whole else None,",
        new="base=base,",
        test=JUDGED,
    ),
    Mutation(
        name="a part of a gang has the priority of its highest pod",
        file="scheduler/model/team.py",
        old="max((pod.priority for pod in pods), default=self.priority)",
        new="min((pod.priority for pod in pods), default=self.priority)",
        test=JUDGED,
    ),
    Mutation(
        name="a gang that misses a member costs what its members lose",
        file="scheduler/teams/candidates.py",
        old="costs = (sum(each[: gang.base]), *each[gang.base :])",
        new="costs = (1, *each[gang.base :])",
        test=JUDGED,
    ),
    Mutation(
        name="a beneficiary is known by its pods and not by its name",
        file="scheduler/teams/roll.py",
        old="if any(self._cluster.pod(uid) is not None for uid in uids)",
        new="if True",
        test=JUDGED,
    ),
    Mutation(
        name="an eviction that was refused is none of that gang's for the beneficiary",
        file="scheduler/teams/roll.py",
        old="            del known[key]\n",
        new="            pass\n",
        test=JUDGED,
    ),
    Mutation(
        name="whoever is seen to leave is waited for as long as it takes",
        file="scheduler/teams/roll.py",
        old="if found.is_condemned and at_s - found.since_s > CONDEMNED_S_MAX:",
        new="if at_s - found.since_s > CONDEMNED_S_MAX:",
        test=f"{COSTS}::test_victims_that_take_long_to_go_are_waited_for",
    ),
    Mutation(
        name="an eviction without an answer is looked up",
        file="scheduler/live/evictor.py",
        old="if await self._is_leaving(task.pod):",
        new="if False:",
        test=f"{COSTS}::test_an_answer_that_is_lost_costs_no_second_gang",
    ),
    Mutation(
        name="an eviction that could not be carried out is tried again",
        file="scheduler/live/evictor.py",
        old="TRIES_MAX = 5",
        new="TRIES_MAX = 1",
        test=f"{COSTS}::test_an_answer_that_is_lost_costs_no_second_gang",
    ),
    Mutation(
        name="nobody else is evicted for who waits no more",
        file="scheduler/live/evictor.py",
        old=" and not self._is_wanted(task.job.clearing):",
        new=" and False:",
        test=f"{COSTS}::test_a_beneficiary_that_is_gone_has_nobody_else_evicted",
    ),
    Mutation(
        name="of each gang one is asked first",
        file="scheduler/live/evictor.py",
        old="first = [victim.pods[0] for victim in clearing.victims]",
        new="first = [pod for victim in clearing.victims for pod in victim.pods]",
        test=f"{COSTS}::test_the_first_of_a_gang_that_is_refused_costs_it_nobody",
    ),
    Mutation(
        name="a promise that lapses is room released",
        file="scheduler/cycles.py",
        old="        if self._has_lapsed:\n            self._state.free_up()",
        new="",
        test=f"{COSTS}::test_room_that_was_promised_to_who_is_gone_is_for_the_others",
    ),
    Mutation(
        name="who waits for victims takes what comes free elsewhere",
        file="scheduler/teams/desk.py",
        old="        if not is_free:\n",
        new="        if False:\n",
        test=f"{COSTS}::test_who_waits_for_victims_takes_what_comes_free_elsewhere",
    ),
    Mutation(
        name="whom we gave back is told though the watch was faster",
        file="scheduler/gangs/member_rules.py",
        old="    if member.state is S.EVICTING:\n        return attempt, ()\n",
        new="",
        test=f"{COSTS}::test_whoever_is_given_back_is_told_so",
    ),
    Mutation(
        name="priority has lower evicted without teams",
        file="scheduler/teams/roll.py",
        old="any(gang.priority > lowest for gang in waiting)",
        new="False",
        test=PRIORITY,
    ),
    Mutation(
        name="the teams' page reads what describes gangs",
        file="scheduler/cli/teams.py",
        old="    await tell_groups(transport, state)\n",
        new="",
        test=COUNTED,
    ),
    Mutation(
        name="the order takes no more than budgets let go together",
        file="scheduler/teams/candidates.py",
        old="            if index not in barred and all(count <= left[i] for i, count in asked.items()):\n",
        new="            if index not in barred:\n",
        test=f"{JUDGED}::test_the_order_takes_two_of_a_service_where_its_budget_lets_two_go",
    ),
    Mutation(
        name="who is of no use to anybody does not use up a budget",
        file="scheduler/teams/clearing.py",
        old="            barred.add(capped[0])\n",
        new="            return None\n",
        test=f"{JUDGED}::test_the_order_takes_no_more_of_a_service_than_its_budget_lets_go",
    ),
    Mutation(
        name="the order evicts nobody without whom the gang stands elsewhere",
        file="scheduler/teams/clearing.py",
        old="        leaves, placement = self._spared(gang, group, leaves, placement)\n",
        new="",
        test=f"{JUDGED}::test_the_order_evicts_nobody_without_whom_there_is_room",
    ),
    Mutation(
        name="what runs on more than its node has uses no room of others",
        file="scheduler/teams/allowance.py",
        old="    total = np.maximum(snapshot.total, used)\n",
        new="    total = snapshot.total\n",
        test=f"{SHRANK}::test_who_runs_on_more_than_its_node_has_stays",
    ),
    Mutation(
        name="what leaves a node that shrank is no capacity",
        file="scheduler/teams/allowance.py",
        old="    used[:, : teams.leaving.shape[1]] -= teams.leaving\n",
        new="",
        test=f"{SHRANK}::test_what_is_kept_for_others_is_kept_whoever_runs_on_more_than_its_node_has",
    ),
    Mutation(
        name="a budget lets one less go when a pod of it ended",
        file="scheduler/state/disruption.py",
        old="            self._lost[before.uid] = _Lost(before)\n",
        new="            pass\n",
        test=f"{ENDED}::test_who_ended_is_taken_off_what_a_budget_allows",
    ),
    Mutation(
        name="until the budget says what it counts",
        file="scheduler/state/disruption.py",
        old="        self._lost = {uid: one for uid, one in self._lost.items() if not _speaks_of(budget, one.pod)}\n",
        new="",
        test=f"{ENDED}::test_who_ended_is_taken_off_what_a_budget_allows",
    ),
    Mutation(
        name="or for so long as that may take",
        file="scheduler/state/disruption.py",
        old="at_s - (one.since_s or 0.0) < COUNTED_S",
        new="True",
        test=f"{ENDED}::test_who_ended_is_taken_off_what_a_budget_allows",
    ),
    Mutation(
        name="whom a budget counts by name is counted once",
        file="scheduler/state/disruption.py",
        old="one.pod.name not in budget.disrupted and ",
        new="",
        test=f"{ENDED}::test_who_is_none_of_it_or_is_counted_by_name_is_taken_off_no_budget",
    ),
    Mutation(
        name="of those whom a quota lets start, for whom room is made go first",
        file="scheduler/teams/desk.py",
        old="        nodes = self.allowance.nominated(gang) if gang.key in self._promised else {}\n",
        new="        nodes: dict[str, str] = {}\n",
        test="tests/teams/test_room_that_is_made_stays_promised.py",
    ),
)

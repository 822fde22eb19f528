"""Guards of a gang's life: what stood is not begun, rooms are kept, deadlines are for time without progress."""

from __future__ import annotations

from tests.mutations.guards import Mutation

LOST = "tests/healing/test_a_lost_member_costs_the_others_nothing.py"
HOPES = "tests/healing/test_rooms_of_lost_members_are_nobody_elses_hope.py"
LARGER = "tests/healing/test_a_gang_made_larger_runs_on.py"
GOES_ON = "tests/healing/test_what_is_being_bound_goes_on.py"
COUNTED = "tests/healing/test_what_is_bound_counts.py"
WHOLE = "tests/healing/test_a_gang_is_given_back_whole.py"
EXCUSED = "tests/usefulness/test_who_loses_the_room_to_others_is_excused.py"
JUDGED = "tests/faults/test_every_violation_is_seen.py"

HEALING_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="who had no answer is tried again before its room is another's",
        file="scheduler/cycles.py",
        old=" if attempt.is_unanswered else now_s\n",
        new=" if False else now_s\n",
        test="tests/healing/test_who_had_no_answer_keeps_its_turn.py",
    ),
    Mutation(
        name="a member with a long grace is waited for until it is over",
        file="scheduler/losses.py",
        old="            until_s = max(until_s, clock.graced_s + STOPPED_S)\n",
        new="",
        test="tests/acting/test_a_long_grace_is_waited_for.py",
    ),
    Mutation(
        name="what is assumed counts for a gang that is short",
        file="scheduler/losses.py",
        old="            if one.is_assumed or is_running(key) or",
        new="            if is_running(key) or",
        test=COUNTED,
    ),
    Mutation(
        name="a Binding that is confirmed is looked at",
        file="scheduler/state/cluster.py",
        old="        if is_gain:\n",
        new="        if False:\n",
        test=COUNTED,
    ),
    Mutation(
        name="a gang stands by the minimum under which it started",
        file="scheduler/gangs/standing.py",
        old="    if stood is None or spec.min_member <= stood.min_member:\n",
        new="    if True:\n",
        test=LARGER,
    ),
    Mutation(
        name="a gang is known to have stood before it is described anew",
        file="scheduler/state/gangs.py",
        old="        for key in self._described_by(group):\n            self.catch_up(key)\n",
        new="",
        test=COUNTED,
    ),
    Mutation(
        name="a new leader reads by which minimum a gang stands",
        file="scheduler/live/takeover.py",
        old="self._state.gangs.recall(claim.key, claim.started, where)",
        new="self._state.gangs.recall(claim.key, 0, where)",
        test=f"{LARGER}::test_who_leads_next_knows_by_which_minimum_a_gang_stands",
    ),
    Mutation(
        name="a node may change while an eviction is written",
        file="scheduler/invariants/evictions.py",
        old="any(at_s > case.at_s - VIEW_S and node in case.nodes",
        new="any(at_s > case.at_s and node in case.nodes",
        test=EXCUSED,
    ),
    Mutation(
        name="room that was made for somebody may be promised to a higher priority",
        file="scheduler/invariants/evictions.py",
        old="        or _is_overtaken(case, cases, named, due_s)\n",
        new="",
        test=EXCUSED,
    ),
    Mutation(
        name="but to a higher priority only",
        file="scheduler/invariants/evictions.py",
        old="        pod.priority > level and pod.nominated in hopes",
        new="        pod.nominated in hopes",
        test=EXCUSED,
    ),
    Mutation(
        name="and no other room",
        file="scheduler/invariants/evictions.py",
        old="        pod.priority > level and pod.nominated in hopes",
        new="        pod.priority > level",
        test=EXCUSED,
    ),
    Mutation(
        name="an eviction waits for the last of the gang's members",
        file="scheduler/invariants/cases.py",
        old='        case.gone_s = float("inf")  # Who',
        new="        pass  # Who",
        test="tests/usefulness/test_each_useless_eviction_is_seen.py",
    ),
    Mutation(
        name="who stands by knows by which minimum a gang stands",
        file="scheduler/live/run.py",
        old="            self.loop.learn()\n",
        new="",
        test=f"{LOST}::test_the_room_of_a_member_that_went_between_two_leaders_is_kept_by_who_saw_it_go",
    ),
    Mutation(
        name="what is read of a gang is looked at before it loses a member",
        file="scheduler/state/gangs.py",
        old="            self._gained[key] = None\n            self._dirty[key] = None\n",
        new="            self._dirty[key] = None\n",
        test=f"{LOST}::test_the_room_of_a_member_that_went_between_two_leaders_is_kept_by_who_saw_it_go",
    ),
    Mutation(
        name="a lost member's room is kept for its gang",
        file="scheduler/state/cluster.py",
        old="            self.gangs.vacate(record.key, pod, record.charged, record.charged_shape)\n",
        new="",
        test=LOST,
    ),
    Mutation(
        name="who is done leaves no room that is kept",
        file="scheduler/state/gangs.py",
        old='        if key in self._stood and pod.phase != "Succeeded":',
        new="        if key in self._stood:",
        test=LOST,
    ),
    Mutation(
        name="nobody counts on room that a leaving member's gang will keep",
        file="scheduler/teams/roll.py",
        old="if key is not None and not found.is_ours and self._cluster.misses(key):",
        new="if False:",
        test=HOPES,
    ),
    Mutation(
        name="one that comes back needs one room of those that are kept",
        file="scheduler/planning/kept_rooms.py",
        old="    if place.gang.standing + len(place.assignments) >= place.gang.stood:\n",
        new="    if True:\n",
        test=HOPES,
    ),
    Mutation(
        name="a claim that was not carried out is no try",
        file="scheduler/gangs/machine.py",
        old="            return _attempt_waits(replace(attempt, writing=Writing.WRITE_BACKOFF), after_s)\n",
        new="            if attempt.write_tries >= attempt.limits.write_tries:\n"
        '                return _give_up(attempt, "busy")\n'
        "            tried = replace(attempt, write_tries=attempt.write_tries + 1)\n"
        "            return _attempt_waits(replace(tried, writing=Writing.WRITE_BACKOFF), after_s)\n",
        test=GOES_ON,
    ),
    Mutation(
        name="a Binding that was not carried out is no try",
        file="scheduler/gangs/member_rules.py",
        old="    waits = replace(member, state=S.BACKOFF)\n    if attempt.phase is Phase.BINDING and at_s + _capped(attempt, after_s) < attempt.deadline_s:",
        new="    waits = replace(member, state=S.BACKOFF, tries=member.tries + 1)\n    if _may_try(attempt, waits, at_s):",
        test=GOES_ON,
    ),
    Mutation(
        name="a room is not kept for ever",
        file="scheduler/losses.py",
        old="            if now_s - at_s >= self._healing.replace_s:\n",
        new="            if False:\n",
        test=LOST,
    ),
    Mutation(
        name="a broken gang leaves only where somebody then starts",
        file="scheduler/losses.py",
        old="for key in self._of_use(able, lacking) if able else ():",
        new="for key in able:",
        test=LOST,
    ),
    Mutation(
        name="a broken gang does not hold for ever what others wait for",
        file="scheduler/losses.py",
        old="            elif one.is_broken and self._is_lost(key, one, clock, now_s):\n",
        new="            elif False:\n",
        test=LOST,
    ),
    Mutation(
        name="a member on its way out is waited for",
        file="scheduler/losses.py",
        old="        if short.leaving:\n            until_s = max(",
        new="        if False:\n            until_s = max(",
        test=COUNTED,
    ),
    Mutation(
        name="each member on its way out is waited for from when it begins to go",
        file="scheduler/losses.py",
        old="max(clock.since_s, clock.left_s) + LEAVING_S",
        new="clock.since_s + LEAVING_S",
        test=LOST,
    ),
    Mutation(
        name="each that comes in the place of a lost member starts as it comes",
        file="scheduler/gangs/view.py",
        old="        if is_broken:\n",
        new="        if False:\n",
        test=COUNTED,
    ),
    Mutation(
        name="a gang whose evictions are refused takes its replacement in",
        file="scheduler/cycles.py",
        old="            self._losses.spare(attempt.key, now_s)\n",
        new="",
        test=LOST,
    ),
    Mutation(
        name="each Binding moves the deadline",
        file="scheduler/gangs/machine.py",
        old="    if _is_nearer(attempt, after):\n",
        new="    if False:\n",
        test=GOES_ON,
    ),
    Mutation(
        name="time behind others' writes is not the attempt's own",
        file="scheduler/live/actor.py",
        old="now_s - running.idle_since_s)",
        new="0.0)",
        test=GOES_ON,
    ),
    Mutation(
        name="who began first writes first",
        file="scheduler/live/actor.py",
        old="self._queue.put_nowait((running.turn, self._queued, running, instruction))",
        new="self._queue.put_nowait((0, self._queued, running, instruction))",
        test=GOES_ON,
    ),
    Mutation(
        name="nothing is begun while much is under way",
        file="scheduler/live/loop.py",
        old="            if self.actor.is_full:\n",
        new="            if False:\n",
        test=GOES_ON,
    ),
    Mutation(
        name="a gang that stood is not called half bound",
        file="scheduler/invariants/stood.py",
        old="self.see(world, ref) > 0 and ref not in self.by",
        new="self.see(world, ref) > 0",
        test=JUDGED,
    ),
    Mutation(
        name="a budget that lets some of a gang go lets none restart",
        file="scheduler/losses.py",
        old="                if one.is_broken and not leave.take(back.pods):\n",
        new="                if False:\n",
        test=f"{WHOLE}::test_a_budget_lets_all_of_a_gang_go_or_none",
    ),
    Mutation(
        name="a budget that lets some of a gang go lets none leave for others",
        file="scheduler/losses.py",
        old="        able = [key for key in broken if leave.may_go(self._state.remains(key)[1])]\n",
        new="        able, leave = broken, _Leave(Budgets(()), self._at_s)\n",
        test=f"{WHOLE}::test_a_budget_lets_all_of_a_gang_go_or_none",
    ),
    Mutation(
        name="a gang that is given back counts as leaving",
        file="scheduler/live/actor.py",
        old="        self._state.roll.condemn(pod.uid for pod in pods)\n",
        new="",
        test=f"{WHOLE}::test_nobody_leaves_while_the_room_of_a_gang_that_is_given_back_will_do",
    ),
    Mutation(
        name="who may not be evicted does not count as leaving",
        file="scheduler/cycles.py",
        old="            if not is_gone and self._state.roll.is_condemned(uid):\n",
        new="            if False:\n",
        test=f"{WHOLE}::test_the_room_of_who_may_not_be_evicted_is_not_waited_for",
    ),
    Mutation(
        name="who did its work before is not missed when it is cleared away",
        file="scheduler/live/actor.py",
        old='            done={pod.uid for pod in members if pod.phase == "Succeeded" and not pod.is_deleting},\n',
        new="",
        test=f"{LOST}::test_who_did_its_work_may_be_cleared_away_while_another_is_bound",
    ),
)

"""Guards of gangs that lost a member: how long they are waited for, and when they are given back."""

from __future__ import annotations

from tests.mutations.guards import Mutation

COUNTED = "tests/healing/test_what_is_bound_counts.py"
ITS_ROOM = "tests/healing/test_who_a_gang_is_given_back_for_has_its_room.py"
LOST = "tests/healing/test_a_lost_member_costs_the_others_nothing.py"
PROMISED = "tests/healing/test_what_is_promised_keeps_no_gang_that_is_broken.py"
WHOLE = "tests/healing/test_a_gang_is_given_back_whole.py"

LOSS_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="nor has who went long ago",
        file="scheduler/state/gangs.py",
        old="(lost <= 0 or not has_room(node, pod.shape))",
        new="lost <= 0",
        test=LOST,
    ),
    Mutation(
        name="who did its work has no room that a new leader keeps",
        file="scheduler/live/takeover.py",
        old="for uid, _, node in claim.placement if uid not in done}",
        new="for uid, _, node in claim.placement if uid or done}",
        test="tests/healing/test_who_did_its_work_is_not_missed.py",
    ),
    Mutation(
        name="where the others are is written down when one joins them",
        file="scheduler/live/actor.py",
        old="found = [Place(pod.name, pod.uid, pod.node_name) for pod in there]",
        new="found: list[Place] = []",
        test=LOST,
    ),
    Mutation(
        name="and so are the rooms that are kept",
        file="scheduler/live/actor.py",
        old="for room in rooms if room.uid not in own]\n        return",
        new="for room in rooms if not room.uid]\n        return",
        test=LOST,
    ),
    Mutation(
        name="room that a gang is given back for is held for whom that is",
        file="scheduler/losses.py",
        old="                self._state.roll.help(key, nodes)\n",
        new="                pass\n",
        test=ITS_ROOM,
    ),
    Mutation(
        name="of those who ask for the same the first is helped",
        file="scheduler/given_back.py",
        old="in_order(snapshot.gangs, policy.order, snapshot.at_s)",
        new="snapshot.gangs",
        test=ITS_ROOM,
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
        name="of several broken gangs no more leave than lets the others stand",
        file="scheduler/given_back.py",
        old="    while len(look.broken) > 1 and (found := look.best_alone()) is not None:\n",
        new="    while False and (found := look.best_alone()) is not None:\n",
        test=WHOLE,
    ),
    Mutation(
        name="a replacement has its time from when the room is there",
        file="scheduler/losses.py",
        old="until_s = max(clock.since_s, clock.gone_s) + self._healing.replace_s",
        new="until_s = clock.since_s + self._healing.replace_s",
        test="tests/acting/test_a_long_grace_is_waited_for.py",
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
        old="for given in self._of_use(able, lacking, promised) if able else ():",
        new="for given in (Given(key=key, starts={}) for key in able):",
        test=LOST,
    ),
    Mutation(
        name="room that is promised is no hope of a broken gang",
        file="scheduler/given_back.py",
        old="        free=_beside(snapshot, promised),\n",
        new="",
        test=PROMISED,
    ),
    Mutation(
        name="who waits too long for others to leave has use of its room",
        file="scheduler/cycles.py",
        old="_Lacking(planned, self.apart, self._late(planned))",
        new="_Lacking(planned, self.apart, ())",
        test=PROMISED,
    ),
    Mutation(
        name="but not that of one gang after the other",
        file="scheduler/cycles.py",
        old="            self._waits[key] = math.inf\n",
        new="            pass\n",
        test=PROMISED,
    ),
    Mutation(
        name="nor what others hold while those leave whom an earlier leader had evicted",
        file="scheduler/cycles.py",
        old="served.update(verdict.key for verdict in waiting if self._is_inherited(verdict))",
        new="pass",
        test=PROMISED,
    ),
    Mutation(
        name="who has just begun to has not",
        file="scheduler/cycles.py",
        old=" if self._now_s - since_s > LATE_S]",
        new="]",
        test=PROMISED,
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
)

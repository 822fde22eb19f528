"""Guards against floods, poison and servers that lag, how to break them, and the test that must notice."""

from __future__ import annotations

from tests.mutations.guards import ACTING, Mutation

KEPT = "tests/planner/test_what_is_kept_between_cycles_is_what_a_fresh_plan_says.py"
TURNS = "tests/planner/test_everybody_in_the_queue_has_a_turn.py"

LITTLE = "tests/planner/test_a_flood_costs_others_little.py"
TOLD = "tests/faces/test_announcements_follow_facts.py"

FLOOD_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="what is told of one namespace waits for its turn among the others",
        file="scheduler/live/outbox.py",
        old="            self._lines.move_to_end(namespace)\n",
        new="            pass\n",
        test=f"{TOLD}::test_one_namespace_with_much_to_be_told_holds_up_no_other",
    ),
    Mutation(
        name="for whom room is held is told before others",
        file="scheduler/live/announcer.py",
        old="isinstance(item, _Telling) and bool(item.condition.nominated)",
        new="False",
        test=f"{TOLD}::test_for_whom_room_is_held_is_told_before_others",
    ),
    Mutation(
        name="what finds no room to wait is of the longest line",
        file="scheduler/live/outbox.py",
        old="longest = max(self._lines, key=lambda name: len(self._lines[name]))",
        new="longest = namespace if namespace in self._lines else next(iter(self._lines))",
        test=f"{TOLD}::test_one_namespace_with_much_to_be_told_holds_up_no_other",
    ),
    Mutation(
        name="who tells leaves the API server in peace in between",
        file="scheduler/live/announcer.py",
        old="RESTS * (clock() - begun_s)",
        new="0.0",
        test=f"{TOLD}::test_the_writers_leave_the_api_server_in_peace_for_longer_than_they_keep_it",
    ),
    Mutation(
        name="an equal shape is the known one",
        file="scheduler/records.py",
        old="return known if seen is known or seen == known else seen",
        new="return seen",
        test=f"{LITTLE}::test_what_pods_of_many_shapes_are_told_is_no_news_to_the_plan",
    ),
    Mutation(
        name="where there are more namespaces than looks, who had a turn is passed over",
        file="scheduler/queue.py",
        old="key=lambda item: not item[1].coming",
        new="key=lambda item: 0",
        test=TURNS,
    ),
    Mutation(
        name="room on a node that has room for a pod of it ends a finding",
        file="scheduler/settled.py",
        old="                    over[id(finding)] = finding\n",
        new="                    pass\n",
        test=KEPT,
    ),
    Mutation(
        name="any room ends a finding that no sum proves",
        file="scheduler/settled.py",
        old="            over |= self._delicate\n",
        new="",
        test=KEPT,
    ),
    Mutation(
        name="of equals no more are open again than there is room for",
        file="scheduler/settled.py",
        old="if is_same and is_by_age else None",
        new="if False else None",
        test=f"{KEPT}::test_one_end_is_news_for_one_of_many_equals",
    ),
    Mutation(
        name="what holds for the rest is asked again while there is room",
        file="scheduler/settled.py",
        old="        over = dict(self._in_part)\n",
        new="        over: dict[int, Finding] = {}\n",
        test=KEPT,
    ),
    Mutation(
        name="a newcomer is not told what holds for the rest alone",
        file="scheduler/settled.py",
        old=" or id(known[0]) in self._in_part:",
        new=":",
        test=f"{KEPT}::test_of_many_equals_those_start_that_a_fresh_plan_would_start",
    ),
    Mutation(
        name="any room ends a finding that was made again beside room",
        file="scheduler/settled.py",
        old="            self._doubt(self._shared[ask][0])\n",
        new="            pass\n",
        test=f"{KEPT}::test_room_that_went_to_another_is_found_when_that_one_ends",
    ),
    Mutation(
        name="a finding that is about nobody is no longer held for short",
        file="scheduler/settled.py",
        old="max(1, len(finding.keys))",
        new="len(finding.keys)",
        test=f"{KEPT}::test_what_nobody_asks_for_any_more_is_not_known_to_be_missing",
    ),
    Mutation(
        name="a place in line is of the gang as it is",
        file="scheduler/settled.py",
        old="if finding.keys.get(key) is rank:",
        new="if key in finding.keys:",
        test=f"{KEPT}::test_who_went_back_in_the_line_is_asked_after_those_before",
    ),
    Mutation(
        name="where others than the oldest go first all equals are asked",
        file="scheduler/cycles.py",
        old=' and self._policy.order == "oldest")',
        new=")",
        test=f"{KEPT}::test_among_equals_who_had_the_least_service_is_asked_first",
    ),
    Mutation(
        name="a cycle follows while there is room for one that waits",
        file="scheduler/cycles.py",
        old="self._has_lapsed or self._memory.has_room_left",
        new="self._has_lapsed",
        test=f"{KEPT}::test_who_may_not_go_where_room_is_does_not_keep_it_from_its_equals",
    ),
    Mutation(
        name="who is known not to fit may have others leave beside rooms that it may take",
        file="scheduler/planner.py",
        old="    with run.rooms.opened(admitted.gangs, run.places):\n        made",
        new="    if True:\n        made",
        test=f"{KEPT}::test_of_many_equals_those_start_that_a_fresh_plan_would_start",
    ),
    Mutation(
        name="who waits apart and is another by now is looked at",
        file="scheduler/cycles.py",
        old="            self.apart.drop(key)\n            if gang is None:\n",
        new="            if gang is None:\n",
        test=KEPT,
    ),
    Mutation(
        name="who may have others evicted does not wait apart",
        file="scheduler/cycles.py",
        old="self._floor is None or gang.priority > self._floor or gang.standing",
        new="self._floor is None or gang.standing",
        test=KEPT,
    ),
    Mutation(
        name="whatever first turns cost, one of those left open has its second",
        file="scheduler/planning/rounds.py",
        old="while heap and (is_first or not self._meter.is_spent):",
        new="while heap and not self._meter.is_spent:",
        test=LITTLE,
    ),
    Mutation(
        name="who had a turn waits until the others had theirs",
        file="scheduler/queue.py",
        old="            if gang is not None and self._is_coming(gang):\n",
        new="            if False:\n",
        test=TURNS,
    ),
    Mutation(
        name="a refusal by the fence ends a term only where the Lease says so",
        file="scheduler/live/binder.py",
        old="                if await self._term.is_over():\n",
        new="                if True:\n",
        test=f"{ACTING}::test_a_refusal_of_a_server_that_lags_is_tried_again",
    ),
    Mutation(
        name="an eviction that a lagging server refuses is no refusal by a budget",
        file="scheduler/live/binder.py",
        old="LeadershipLost(at_s=self._clock()) if await self._term.is_over() else None",
        new="LeadershipLost(at_s=self._clock())",
        test=f"{ACTING}::test_a_refusal_of_a_server_that_lags_is_tried_again",
    ),
    Mutation(
        name="an object that nests deeper than a decoder recurses is read all the same",
        file="scheduler/kube/depth.py",
        old="    except RecursionError:\n        return decoder.decode(shallow(bytes(body)))",
        new="    except RecursionError:\n        return decoder.decode(bytes(body))",
        test="tests/kube/test_an_odd_object_costs_no_other.py",
    ),
)

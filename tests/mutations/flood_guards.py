"""Guards against floods, poison and servers that lag, how to break them, and the test that must notice."""

from __future__ import annotations

from tests.mutations.guards import ACTING, Mutation

KEPT = "tests/planner/test_what_is_kept_between_cycles_is_what_a_fresh_plan_says.py"
TURNS = "tests/planner/test_everybody_in_the_queue_has_a_turn.py"

FLOOD_GUARDS: tuple[Mutation, ...] = (
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
        test="tests/planner/test_a_flood_costs_others_little.py",
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

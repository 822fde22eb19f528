"""Guards of what is decided as kube-scheduler does: resizes, promises of others, labels, wishes between pods."""

from __future__ import annotations

from tests.mutations.guards import Mutation

RESIZED = "tests/parse/test_a_resized_pod_holds_the_most_of_three.py"
PROMISED = "tests/planner/test_promises_of_others_are_kept.py"
ASKED = "tests/state/test_rules_between_pods_are_asked_again.py"
SOFT = "tests/planner/test_pods_of_one_gang_see_each_other_softly.py"
WISHES = "tests/predicates/test_preferences_order_nodes.py"
MODELS = "tests/teams/test_limits_by_model_hold_together.py"
FEATURES = "tests/predicates/test_a_node_declares_what_its_kubelet_can_do.py"

DRIFT_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a pod that shrinks holds what is in force until it is not",
        file="scheduler/parse/requests.py",
        old="        _raise(held, _in_all(adder, asking, actuated))\n",
        new="",
        test=RESIZED,
    ),
    Mutation(
        name="a pod holds what is allocated to it",
        file="scheduler/parse/requests.py",
        old="        _raise(held, _in_all(adder, asking, allocated))\n",
        new="",
        test=RESIZED,
    ),
    Mutation(
        name="who is kept from a node for a time does not wait apart for others to leave",
        file="scheduler/cycles.py",
        old="        if settled is not None and settled.gang.avoided:\n",
        new="        if False:\n",
        test="tests/acting/test_who_was_turned_down_is_tried_again.py",
    ),
    Mutation(
        name="a resize that the node refused for good counts for nothing",
        file="scheduler/parse/requests.py",
        old="    held = {} if granted.is_infeasible else dict(spec)",
        new="    held = dict(spec)",
        test=RESIZED,
    ),
    Mutation(
        name="room promised by another scheduler is not free to who is no more urgent",
        file="scheduler/promised.py",
        old="            packing.free[row] -= self._kept[-1][1]\n",
        new="",
        test=PROMISED,
    ),
    Mutation(
        name="rules between pods hold beside those promised a node",
        file="scheduler/promised.py",
        old="                allowed[row] = self._allows(role, row, here, namespaces)",
        new="                pass",
        test=PROMISED,
    ),
    Mutation(
        name="a promise made while a plan was made is seen before it is acted on",
        file="scheduler/state/cluster.py",
        old="return not promised or self.columns.fits(rows, requests, promised, asked)",
        new="return True",
        test=PROMISED,
    ),
    Mutation(
        name="the end of a promise wakes who waits",
        file="scheduler/state/cluster.py",
        old="        if self._nominations.see(pod):\n            self.free_up()\n",
        new="        if self._nominations.see(pod):\n",
        test=PROMISED,
    ),
    Mutation(
        name="new labels of a pod on a node reach the rules between pods",
        file="scheduler/state/placed.py",
        old="        if after.uid in self._placed:\n            self._place(record)\n",
        new="",
        test=ASKED,
    ),
    Mutation(
        name="spread does not count pods that are being deleted",
        file="scheduler/predicates/crowd.py",
        old="groups = self._leaving if pod.is_leaving else self._groups",
        new="groups = self._groups",
        test=ASKED,
    ),
    Mutation(
        name="rules between pods are asked again before a plan is acted on",
        file="scheduler/state/cluster.py",
        old="        if broken is not None:\n            return broken\n",
        new="",
        test=ASKED,
    ),
    Mutation(
        name="rules between pods are asked again before a Binding",
        file="scheduler/cycles.py",
        old="state.broken_rule(placed) or ",
        new="",
        test=ASKED,
    ),
    Mutation(
        name="what was planned beside a dropped place is looked at again",
        file="scheduler/cycles.py",
        old="                self._state.dropped(place)\n",
        new="",
        test=ASKED,
    ),
    Mutation(
        name="pods of one gang see each other's wishes",
        file="scheduler/softly.py",
        old="                wishes.placed(row)",
        new="                pass",
        test=SOFT,
    ),
    Mutation(
        name="pods that ask for devices are not spread by default",
        file="scheduler/predicates/default_spread.py",
        old='    return "" if shape.spread or asks_devices else owner.uid',
        new='    return "" if shape.spread else owner.uid',
        test=SOFT,
    ),
    Mutation(
        name="wishes of pods on nodes count for a newcomer",
        file="scheduler/predicates/preference.py",
        old="            for w in drawn\n            if term_applies(",
        new="            for w in drawn\n            if False and term_applies(",
        test=WISHES,
    ),
    Mutation(
        name="a gang may be divided over the models that its team's limits leave",
        file="scheduler/translation.py",
        old="                    + self._by_model(index, len(role.pods)),",
        new="                    + (),",
        test=MODELS,
    ),
    Mutation(
        name="a pod goes only where the kubelet declares what it needs",
        file="scheduler/predicates/registry.py",
        old="    declared_features.RULE,\n",
        new="",
        test=FEATURES,
    ),
    Mutation(
        name="nobody is evicted for who was turned down once",
        file="scheduler/teams/desk.py",
        old="        if gang.is_turned_down_once:\n            return False\n",
        new="",
        test="tests/acting/test_who_was_turned_down_is_tried_again.py",
    ),
)

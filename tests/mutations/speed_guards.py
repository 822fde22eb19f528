"""Guards of what is left out, shared or kept so that a cycle costs what changed."""

from __future__ import annotations

from tests.mutations.guards import Mutation

SHORT = "tests/planner/test_the_short_way_ends_where_the_long_way_does.py"
FIRST = "tests/binpacking/test_one_pod_goes_where_the_order_begins.py"
COLUMNS = "tests/state/test_the_columns_agree_with_a_plain_count.py"
NATIVE = "tests/dialects/test_a_gang_starts_when_its_minimum_is_there.py"

SPEED_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="nodes that would rather not have the pod are looked at the long way",
        file="scheduler/planning/lone.py",
        old=" or ground.is_unwelcome(role.shape.tolerations)",
        new="",
        test=SHORT,
    ),
    Mutation(
        name="pods with rules about others are looked at the long way",
        file="scheduler/planning/lone.py",
        old="        and not snapshot.placed\n",
        new="",
        test=SHORT,
    ),
    Mutation(
        name="a wish for spot nodes is looked at the long way",
        file="scheduler/planning/lone.py",
        old=" or shape.spot",
        new="",
        test=SHORT,
    ),
    Mutation(
        name="a level that somebody waits for breaks ties the long way",
        file="scheduler/planning/lone.py",
        old="any(gang.topology for gang in snapshot.gangs)",
        new="False",
        test=SHORT,
    ),
    Mutation(
        name="two to be decided are decided together",
        file="scheduler/planning/lone.py",
        old="lone is not None or not gang.key.is_single",
        new="not gang.key.is_single",
        test=SHORT,
    ),
    Mutation(
        name="what depends on nodes is shared between plans on the very same nodes",
        file="scheduler/ground.py",
        old="if known.rows.nodes is snapshot.nodes and known.resources == snapshot.resources:",
        new="if known.resources == snapshot.resources:",
        test=SHORT,
    ),
    Mutation(
        name="a node that looks different is a new layout",
        file="scheduler/columns.py",
        old="if before is None or not before.is_like(node):",
        new="if before is None:",
        test=COLUMNS,
    ),
    Mutation(
        name="of one pod that is not needed nothing is placed where there is no room",
        file="binpacking/greedy.py",
        old="return None if gang.need else",
        new="return None if role.minimum else",
        test=FIRST,
    ),
    Mutation(
        name="nodes that cost the same are told apart by their domains",
        file="binpacking/fill.py",
        old="            share = _fullness(free, own)[own[rows]]\n",
        new="            continue\n",
        test=FIRST,
    ),
    Mutation(
        name="nodes that cost the same are told apart by their state",
        file="binpacking/fill.py",
        old="rows = rows[state == state.min()]",
        new="pass",
        test=FIRST,
    ),
    Mutation(
        name="a pod with labels is asked for its gang",
        file="scheduler/gangs/registry.py",
        old="if pod.labels or pod.owner is not None or pod.pod_group:",
        new="if pod.owner is not None or pod.pod_group:",
        test=NATIVE,
    ),
    Mutation(
        name="shapes that need other features of a kubelet share no mask",
        file="scheduler/state/masks.py",
        old="        shape.features,\n",
        new="",
        test="tests/state/test_a_mask_is_shared_by_those_alone_that_it_holds_for.py",
    ),
    Mutation(
        name="what is known was found beside rooms that are kept no longer",
        file="scheduler/cycles.py",
        old="self._has_lapsed = planned.has_released or bool(",
        new="self._has_lapsed = bool(",
        test="tests/planner/test_what_is_kept_between_cycles_is_what_a_fresh_plan_says.py",
    ),
)

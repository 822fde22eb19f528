"""Guards against floods, poison and servers that lag, how to break them, and the test that must notice."""

from __future__ import annotations

from tests.mutations.guards import ACTING, Mutation

FLOOD_GUARDS: tuple[Mutation, ...] = (
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

"""Guards of asking autoscalers for nodes: of whom, once, and nobody's but ours."""

from __future__ import annotations

from tests.mutations.guards import Mutation

DECIDED = "tests/provisioning/test_only_what_lacks_nodes_is_asked_for.py"
LIVE = "tests/provisioning/test_an_autoscaler_brings_what_a_gang_needs.py"

PROVISIONING_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a gang whose pods consume a request of their owner's is not asked for",
        file="scheduler/provisioning.py",
        old="        and not any(key in CONSUMES for",
        new="        and not any(False for",
        test=DECIDED,
    ),
    Mutation(
        name="a request goes when its gang lacks nothing any more",
        file="scheduler/provisioning.py",
        old="    if wanted is None or wanted.mark != request.mark:",
        new="    if wanted is not None and wanted.mark != request.mark:",
        test=DECIDED,
    ),
    Mutation(
        name="what is asked for already is not asked for again",
        file="scheduler/provisioning.py",
        old="if uid in lacking and uid not in known",
        new="if uid in lacking",
        test=DECIDED,
    ),
    Mutation(
        name="a request that nobody accepts does not keep autoscalers from the pods for ever",
        file="scheduler/provisioning.py",
        old="return is_known or now_s - self.created_s < UNANSWERED_S",
        new="return True",
        test=DECIDED,
    ),
    Mutation(
        name="somebody else's ProvisioningRequest is not withdrawn",
        file="scheduler/live/provisioner.py",
        old='        if (owner.api_version, owner.kind) == (API_VERSION, "Gang") and metadata.name == name_of(owner.uid):',
        new='        if (owner.api_version, owner.kind) == (API_VERSION, "Gang"):',
        test=f"{LIVE}::test_nobody_elses_request_is_touched_and_its_pods_ask_for_nothing",
    ),
    Mutation(
        name="a ProvisioningRequest in another namespace speaks for no gang",
        file="scheduler/live/provisioner.py",
        old="if home.get(one.gang_uid, one.namespace) == one.namespace]",
        new="]",
        test=f"{LIVE}::test_a_request_in_another_namespace_speaks_for_no_gang_whatever_it_names",
    ),
    Mutation(
        name="a template holds nothing that its pods' owner keeps secret",
        file="scheduler/live/pod_template.py",
        old="made[kind] = [_some(container, _CONTAINER) for container in spec[kind]]",
        new="made[kind] = spec[kind]",
        test=f"{LIVE}::test_the_nodes_come_the_gang_is_bound_whole_and_the_request_goes",
    ),
)

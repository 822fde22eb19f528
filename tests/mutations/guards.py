"""Every guard of the binding protocol, how to break it, and the test that must notice."""

from __future__ import annotations

from dataclasses import dataclass

ACTING = "tests/acting/test_each_answer_of_the_api_becomes_its_event.py"
MACHINE = "tests/gangs/test_no_fault_leaves_a_gang_partly_bound.py"
UNWIND = "tests/gangs/test_a_gang_that_cannot_stand_is_taken_back.py"
STATE = "tests/state/test_the_columns_agree_with_a_plain_count.py"
CHECKED = "tests/state/test_a_plan_is_checked_before_it_is_acted_on.py"
PLANS = "tests/planner/test_plans_are_whole_valid_and_repeatable.py"
TERM = "tests/kube/test_a_term_ends_before_the_lease_does.py"
ORDER = "tests/kube/test_a_sink_is_told_in_order.py"
ANNOUNCED = "tests/faces/test_announcements_follow_facts.py"
HEALTHY = "tests/faults/test_a_healthy_run_is_clean.py"
KILLED = "tests/faults/test_a_killed_leader_changes_nothing_in_the_end.py"
STOPPED = "tests/faults/test_a_stopped_leader_writes_nothing_more.py"
VIEW = "tests/faults/test_no_act_on_a_view_that_is_not_current.py"
WORLD = "tests/faults/test_the_world_changes_between_plan_and_bind.py"
WEIGHED = "tests/devices/test_reports_are_weighed.py"
SHARES = "tests/devices/test_shares_come_and_go_exactly.py"
DEVICES = "tests/devices/test_devices_decide_where_pods_go.py"
CORDONS = "tests/devices/test_only_a_node_proven_sick_is_cordoned.py"
SHAPES = "tests/dialects/test_a_gang_changes_shape.py"
AUDITED = "tests/dialects/test_the_auditor_reads_every_dialect_itself.py"
STARTS = "tests/dialects/test_a_gang_starts_when_its_minimum_is_there.py"
OPTIONAL = "tests/kube/test_an_optional_type_keeps_nothing_waiting.py"
TENANT = "tests/deploy/test_a_tenant_cannot_get_past_the_policies.py"
FAILURE = "tests/kube/test_a_failure_says_what_may_have_happened.py"
SPREAD = "tests/binpacking/test_an_old_imbalance_forbids_nothing_new.py"
SHARED = "tests/binpacking/test_a_gang_of_fractions_is_placed_whole.py"
FILLED = "tests/binpacking/test_what_fits_by_construction_is_found.py"
TEAMS = "tests/teams/test_borrowed_capacity_comes_back.py"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mutation:
    """``old``, which stands in the file exactly once, becomes ``new``; ``test`` must fail then."""

    name: str
    file: str
    old: str
    new: str
    test: str


GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a Binding carries the pod's UID",
        file="scheduler/live/binder.py",
        old="                uid=pod.uid,\n                resource_version",
        new="                resource_version",
        test=ACTING,
    ),
    Mutation(
        name="a Binding carries a resourceVersion",
        file="scheduler/live/binder.py",
        old="                resource_version=resource_version or pod.resource_version,\n",
        new="",
        test=ACTING,
    ),
    Mutation(
        name="a Binding carries its term",
        file="scheduler/live/binder.py",
        old="annotations={EPOCH: str(epoch), **(",
        new="annotations={**(",
        test=ACTING,
    ),
    Mutation(
        name="the lease is asked right before a Binding leaves",
        file="scheduler/live/binder.py",
        old='the devices chosen for it, if any."""\n        if not self._may_act():',
        new='the devices chosen for it, if any."""\n        if False:',
        test=ACTING,
    ),
    Mutation(
        name="the lease is asked right before an Eviction leaves",
        file="scheduler/live/binder.py",
        old='"""One request; None where the fence refused it although the term is ours."""\n        if not self._may_act():',
        new='"""One request; None where the fence refused it although the term is ours."""\n        if False:',
        test=ACTING,
    ),
    Mutation(
        name="an Eviction names the pod's UID",
        file="scheduler/live/binder.py",
        old="wire.DeleteOptions(preconditions=wire.Preconditions(uid=pod.uid))",
        new="wire.DeleteOptions()",
        test=ACTING,
    ),
    Mutation(
        name="a read tells a pod made anew from the old one",
        file="scheduler/live/binder.py",
        old="is_gone=meta.uid != pod.uid or",
        new="is_gone=",
        test=ACTING,
    ),
    Mutation(
        name="409 is no failure: the pod is read",
        file="scheduler/live/binder.py",
        old="            return events.BindConflict(at_s=self._clock(), uid=pod.uid)",
        new='            return events.BindRefused(at_s=0, uid=pod.uid, reason="409", is_permanent=True)',
        test=ACTING,
    ),
    Mutation(
        name="a write refused by the fence ends the term",
        file="scheduler/live/fence.py",
        old="    return error.status in (403, 422) and FENCED in error.message",
        new="    return False",
        test=ACTING,
    ),
    Mutation(
        name="an unknown outcome waits until the write can no longer land",
        file="scheduler/gangs/member_rules.py",
        old="    if member.asked_at_s < member.quiet_at_s:",
        new="    if False:",
        test=UNWIND,
    ),
    Mutation(
        name="no Binding before the claim is acknowledged",
        file="scheduler/gangs/machine.py",
        old="    return replace(attempt, writing=Writing.SENT), (WriteClaim(),)\n\n\ndef step",
        new="    return _bind_planned(attempt)\n\n\ndef step",
        test=MACHINE,
    ),
    Mutation(
        name="a Binding answered late is taken back while unwinding",
        file="scheduler/gangs/machine.py",
        old="        case Phase.UNWINDING if attempt.tally.get(MemberState.BOUND, 0):\n            return _evict_late(attempt)\n",
        new="",
        test=UNWIND,
    ),
    Mutation(
        name="a gang below its minimum is unwound",
        file="scheduler/gangs/machine.py",
        old="        case Phase.BINDING if attempt.is_lost:\n            return unwind(attempt)\n",
        new="",
        test=MACHINE,
    ),
    Mutation(
        name="a deleting member does not stand",
        file="scheduler/gangs/standing.py",
        old='    if pod.is_deleting or pod.phase == "Failed":',
        new='    if pod.phase == "Failed":',
        test="tests/gangs/test_what_stands_counts_and_what_leaves_does_not.py",
    ),
    Mutation(
        name="assumed capacity is charged",
        file="scheduler/state/cluster.py",
        old="            record.assumed, record.devices = assignment.node, assignment.devices\n",
        new="            record.devices = assignment.devices\n",
        test=STATE,
    ),
    Mutation(
        name="a deleting pod holds its node until it is gone",
        file="scheduler/model/objects.py",
        old='        return bool(self.node_name) and self.phase not in ("Succeeded", "Failed")',
        new="        return bool(self.node_name) and not self.is_deleting",
        test=STATE,
    ),
    Mutation(
        name="a plan is checked against capacity as it is now",
        file="scheduler/state/cluster.py",
        old="        if not self.columns.fits(rows, [a.pod.shape.requests for a in place.assignments]):",
        new="        if False:",
        test=CHECKED,
    ),
    Mutation(
        name="a plan is checked against nodes as they are now",
        file="scheduler/state/cluster.py",
        old="            if not self.mask(assignment.pod.shape)[row]:",
        new="            if False:",
        test=CHECKED,
    ),
    Mutation(
        name="a plan is checked against pods as they are now",
        file="scheduler/state/cluster.py",
        old="            if record is None or record.effective.node_name or record.observed.is_deleting:",
        new="            if record is None:",
        test=CHECKED,
    ),
    Mutation(
        name="a plan is checked against the gang's description as it is now",
        file="scheduler/state/cluster.py",
        old="        if view is None or view.generation != place.gang.generation or view.blocked is not None:",
        new="        if False:",
        test=CHECKED,
    ),
    Mutation(
        name="a held gang is not planned",
        file="scheduler/state/gangs.py",
        old="            is_held = held and not view.blocked\n",
        new="            is_held = False\n",
        test=CHECKED,
    ),
    Mutation(
        name="what a plan places is occupied for the rest of the plan",
        file="scheduler/planning/gangs.py",
        old="    run.packing.take_all(gang, placement)\n    assignments",
        new="    assignments",
        test=PLANS,
    ),
    Mutation(
        name="a lease is taken only when it was seen unchanged for its whole duration",
        file="scheduler/kube/lease.py",
        old='    return "take" if now_s - seen.since_s > seen.lease_s else "wait"',
        new='    return "take"',
        test=TERM,
    ),
    Mutation(
        name="every term has an epoch of its own",
        file="scheduler/kube/lease.py",
        old="        epoch = max(self._epoch_seen, self._epoch_floor()) + 1",
        new="        epoch = max(self._epoch_seen, self._epoch_floor(), 1)",
        test=TERM,
    ),
    Mutation(
        name="no write leaves that could outlive the renew deadline",
        file="scheduler/kube/lease.py",
        old="    return renewed_s is not None and now_s + terms.write_timeout_s < renewed_s + terms.renew_deadline_s",
        new="    return renewed_s is not None",
        test=TERM,
    ),
    Mutation(
        name="a silent watch is found out",
        file="scheduler/kube/reflector.py",
        old="                if self._view.version == before:\n                    raise _Stalled",
        new="                if False:\n                    raise _Stalled",
        test="tests/kube/test_a_watch_is_never_trusted_for_long.py",
    ),
    Mutation(
        name="a view never goes back in time",
        file="scheduler/kube/view.py",
        old="        if 0 < item.version <= self.version:\n",
        new="        if False:\n",
        test=ORDER,
    ),
    Mutation(
        name="a write without an answer is of unknown outcome",
        file="scheduler/kube/transport.py",
        old="        lost = OutcomeUnknown if is_write else Unreachable",
        new="        lost = Unreachable",
        test=FAILURE,
    ),
    # From here on the whole scheduler runs against a real API server, and the auditor notices.
    Mutation(
        name="nothing is acted on when a view may be stale",
        file="scheduler/live/run.py",
        old="        return not self.views.stale(float(self._config.watch.stale_seconds))",
        new="        return True",
        test=f"{VIEW}::test_a_node_that_was_filled_behind_a_silent_watch_gets_nothing",
    ),
    Mutation(
        name="a gang that stays partly bound is given back",
        file="scheduler/live/loop.py",
        old="        self._watch_partial(epoch)\n",
        new="",
        test=f"{WORLD}::test_what_a_kubelet_turns_away_takes_its_gang_along",
    ),
    Mutation(
        name="the claim names where each pod goes",
        file="scheduler/live/claims.py",
        old='"placement": [place._asdict() for place in places],',
        new='"placement": [],',
        test=HEALTHY,
    ),
    Mutation(
        name="a new leader ends the claims of the one before",
        file="scheduler/live/noticeboard.py",
        old="    return claim.phase in _OPEN or (",
        new="    return (",
        test=f"{KILLED}::test_a_gang_ends_whole_whichever_write_was_the_last[bound-1-before]",
    ),
    Mutation(
        name="the API server refuses Bindings of an earlier term",
        file="deploy/admission/epoch-fence.yaml",
        old="== string(params.spec.leaseTransitions))",
        new="!= '')",
        test=f"{STOPPED}::test_a_binding_that_was_under_way_is_refused_by_the_next_term",
    ),
    Mutation(
        name="what is said of a pod is said of this version of it",
        file="scheduler/live/announcements.py",
        old='            "metadata": {"uid": pod.uid, "resourceVersion": resource_version},',
        new='            "metadata": {"uid": pod.uid},',
        test=ANNOUNCED,
    ),
    Mutation(
        name="only domains that receive pods are held to the skew",
        file="binpacking/model.py",
        old=".only_enforce_if(receives)",
        new="",
        test=SPREAD,
    ),
    Mutation(
        name="a question about shared devices changes nothing",
        file="binpacking/shared_solve.py",
        old="score, state.copy())",
        new="score, state)",
        test=SHARED,
    ),
    Mutation(
        name="a node is filled with what fits beside the pods before",
        file="binpacking/least_slack.py",
        old=" if (rest - pod[1]) & guards == guards]",
        new="]",
        test=FILLED,
    ),
    Mutation(
        name="a probe that is too old gives no device",
        file="scheduler/model/devices.py",
        old="abs(now_s - self.probed_s) <= PROBE_AGE_S_MAX",
        new="self.probed_s >= 0",
        test=WEIGHED,
    ),
    Mutation(
        name="a device that is not usable has no room",
        file="scheduler/devices/summary.py",
        old="return slot.is_usable and self.is_fresh and",
        new="return self.is_fresh and",
        test=WEIGHED,
    ),
    Mutation(
        name="a pod whose devices nobody named counts",
        file="scheduler/devices/summary.py",
        old="max(0, empty - unknown)",
        new="empty",
        test=WEIGHED,
    ),
    Mutation(
        name="a shared device is not given whole",
        file="binpacking/choice.py",
        old="        empty = np.flatnonzero((room == size) & (size > 0))",
        new="        empty = np.flatnonzero((room > 0) & (size > 0))",
        test=SHARES,
    ),
    Mutation(
        name="what a share takes is taken",
        file="binpacking/choice.py",
        old="            self.room[node, device] -= need\n",
        new="            self.room[node, device] -= need // 2\n",
        test=SHARES,
    ),
    Mutation(
        name="chosen devices travel with the Binding",
        file="scheduler/live/binder.py",
        old='({DEVICES: ",".join(devices)} if devices else {})',
        new="{}",
        test=f"{DEVICES}::test_a_foreign_process_keeps_pods_off_until_it_leaves",
    ),
    Mutation(
        name="a gang on a fatal device is replaced",
        file="scheduler/live/loop.py",
        old="self._metrics.replaced(self._outages.react(epoch))",
        new="self._metrics.replaced(0)",
        test=f"{DEVICES}::test_a_gang_on_a_device_that_turns_fatal_is_replaced_once_as_a_whole",
    ),
    Mutation(
        name="a node is cordoned only while a device of it is in a fatal outage",
        file="scheduler/devices/cordon.py",
        old="    if not is_sick or not inventory.is_fresh(now_s):",
        new="    if not inventory.is_fresh(now_s):",
        test=CORDONS,
    ),
    Mutation(
        name="an admin's own cordon is not lifted",
        file="scheduler/devices/cordon.py",
        old="        if _stamp(node, CORDONED) is not None:",
        new="        if node.is_unschedulable:",
        test=CORDONS,
    ),
    Mutation(
        name="the minimum run time protects",
        file="scheduler/teams/candidates.py",
        old="if self._teams.at_s - started_s(gang) < self._shield_s(gang):",
        new="if False:",
        test=TEAMS,
    ),
    Mutation(
        name="a pod whose eviction was refused is spared",
        file="scheduler/teams/candidates.py",
        old="not any(pod.uid in self._teams.spared for pod in pods) and ",
        new="",
        test=TEAMS,
    ),
    Mutation(
        name="only lower priority is preempted",
        file="scheduler/teams/candidates.py",
        old="tree.priority(team, other.priority_of(pods)) < mine",
        new="tree.priority(team, other.priority_of(pods)) <= mine",
        test="tests/teams/test_priority_keeps_its_meaning_without_teams.py::test_nobody_leaves_for_an_equal",
    ),
    Mutation(
        name="preemptionPolicy Never is kept",
        file="scheduler/teams/candidates.py",
        old="if not all(pod.can_preempt for pod in gang.pods):",
        new="if False:",
        test=TEAMS,
    ),
    Mutation(
        name="what is leaving counts as room to come",
        file="scheduler/teams/promises.py",
        old="        self._coming[:, : teams.leaving.shape[1]] = teams.leaving\n",
        new="",
        test=TEAMS,
    ),
    Mutation(
        name="room that comes is held for whom it was made",
        file="scheduler/teams/promises.py",
        old="        self._packing.free -= free\n",
        new="",
        test=TEAMS,
    ),
    Mutation(
        name="nominated nodes are held before anybody else is planned",
        file="scheduler/teams/desk.py",
        old="                self._promises.promise(gang, nodes)\n",
        new="                pass\n",
        test=TEAMS,
    ),
    Mutation(
        name="a limit is asked before packing",
        file="scheduler/teams/allowance.py",
        old="if isinstance(answer, Allowed) or (answer.by.kind == PACKING_SAYS and not is_strict):",
        new="if True:",
        test=TEAMS,
    ),
    Mutation(
        name="a role that comes late is whole or not there at all",
        file="scheduler/gangs/standing.py",
        old="by_role[role.name] == 0 or by_role[role.name] >= role.minimum for role in late",
        new="by_role[role.name] >= 0 for role in late",
        test=SHAPES,
    ),
    Mutation(
        name="of the roles of an object only those count whose turn has come",
        file="scheduler/gangs/described.py",
        old="if not role.is_late or existing.get(role.name, 0)",
        new="if role.name or existing",
        test=STARTS,
    ),
    Mutation(
        name="a gang waits for the object that describes it",
        file="scheduler/gangs/described.py",
        old="        if all(unreadable):",
        new="        if True:",
        test="tests/dialects/test_a_wrong_key_gets_its_message.py",
    ),
    Mutation(
        name="an API server that just started takes no type away",
        file="scheduler/kube/reflector.py",
        old="is_believed = self._clock() - self._missing_since_s >= self._timing.missing_s",
        new="is_believed = True",
        test=OPTIONAL,
    ),
    Mutation(
        name="a pod of ours cannot come with a node",
        file="deploy/admission/pods.yaml",
        old="!has(object.spec.nodeName)",
        new="true",
        test=f"{TENANT}::test_a_pod_cannot_place_itself",
    ),
    Mutation(
        name="a write of the status cannot change the scheduler's words",
        file="deploy/admission/pods.yaml",
        old="resources: [pods, pods/status,",
        new="resources: [pods,",
        test=f"{TENANT}::test_a_bound_pods_words_cannot_be_changed_or_taken_off",
    ),
    Mutation(
        name="the old way to bind is guarded as the new one is",
        file="deploy/admission/binders.yaml",
        old="resources: [pods/binding, bindings]",
        new="resources: [pods/binding]",
        test=f"{TENANT}::test_only_schedulers_bind",
    ),
    Mutation(
        name="an agent writes only its own node",
        file="deploy/admission/gpunodes.yaml",
        old="variables.node != '' && variables.node == variables.name",
        new="true",
        test=f"{TENANT}::test_gpu_nodes_are_their_own_agents",
    ),
    Mutation(
        name="the auditor counts each role by itself",
        file="scheduler/invariants/world.py",
        old="return max(by_role, asked.minimum - roles.total(), 0)",
        new="return max(asked.minimum - roles.total(), 0)",
        test=AUDITED,
    ),
    Mutation(
        name="the auditor counts a late role from the first member that stands",
        file="scheduler/invariants/world.py",
        old="{pod.role for pod in self._of(ref) if pod.stands}",
        new="{pod.role for pod in self._of(ref)}",
        test=AUDITED,
    ),
)

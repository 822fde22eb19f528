"""The guards of volumes, how to break them, and the test that must notice."""

from __future__ import annotations

from typing import Final

from tests.mutations.guards import Mutation

PLACES: Final = "tests/volumes/test_where_a_volume_can_be_had_decides.py"
ATTACHES: Final = "tests/volumes/test_a_node_attaches_only_so_many_volumes.py"
EXCLUSIVE: Final = "tests/volumes/test_a_read_write_once_pod_claim_has_one_user.py"
COURSE: Final = "tests/volumes/test_a_gang_starts_when_all_its_volumes_are_there.py"
STEPS: Final = "tests/volumes/test_each_claim_is_taken_one_step_further.py"
PHASE: Final = "tests/gangs/test_volumes_have_a_time_of_their_own.py"
REAL: Final = "tests/volumes/test_on_the_control_plane_volumes_come_first.py"

VOLUME_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="no pod is bound before the volumes of its gang",
        file="scheduler/gangs/machine.py",
        old="    if not attempt.needs_volumes:\n",
        new="    if attempt.needs_volumes or not attempt.needs_volumes:\n",
        test=f"{COURSE}::test_no_pod_is_bound_before_the_last_volume_is_there",
    ),
    Mutation(
        name="the Bindings' time begins when the volumes are there",
        file="scheduler/gangs/machine.py",
        old="ready = replace(attempt, deadline_s=event.at_s + attempt.limits.deadline_s)",
        new="ready = attempt",
        test=PHASE,
    ),
    Mutation(
        name="all volumes of a gang are waited for, not some",
        file="scheduler/live/volume_binder.py",
        old="                is_ready &= done is not False\n",
        new="                is_ready |= done is not False\n",
        test=f"{COURSE}::test_no_pod_is_bound_before_the_last_volume_is_there",
    ),
    Mutation(
        name="an attempt waits for volumes only so long",
        file="scheduler/live/volume_binder.py",
        old="is_late, is_ready = self._clock() >= job.until_s, True",
        new="is_late, is_ready = False, True",
        test=f"{COURSE}::test_a_provisioner_that_says_nothing_is_waited_for_as_long_as_stated",
    ),
    Mutation(
        name="what was asked in vain is withdrawn",
        file="scheduler/live/volume_binder.py",
        old="                self._releasing[claim_key] = (claim.uid, asked.node)\n",
        new="                pass\n",
        test=f"{COURSE}::test_a_provisioner_that_says_nothing_is_waited_for_as_long_as_stated",
    ),
    Mutation(
        name="a node that a claim names for nobody is withdrawn",
        file="scheduler/live/volume_binder.py",
        old="            if now_s - since_s >= ORPHAN_S:",
        new="            if now_s - since_s >= 1000 * ORPHAN_S:",
        test=f"{COURSE}::test_a_node_that_a_claim_names_for_nobody_is_withdrawn",
    ),
    Mutation(
        name="where provisioning failed others come first",
        file="scheduler/live/volume_binder.py",
        old="                if spent and claim is not None:",
        new="                if False and spent and claim is not None:",
        test=f"{COURSE}::test_a_zone_that_has_no_room_is_left_for_one_that_has",
    ),
    Mutation(
        name="the verdict tells what a failed attempt had triggered",
        file="scheduler/live/volume_binder.py",
        old="        if not self._failures:\n            return planned\n",
        new="        if self is not None:\n            return planned\n",
        test=f"{COURSE}::test_what_is_asked_in_vain_is_withdrawn_and_told",
    ),
    Mutation(
        name="an older version of a claim says nothing against what we wrote",
        file="scheduler/volumes/provide.py",
        old="    is_news = version(claim.resource_version) >= asked.version\n",
        new="    is_news = True\n",
        test=STEPS,
    ),
    Mutation(
        name="a claim that somebody named a node for is not provisioned elsewhere",
        file="scheduler/volumes/provide.py",
        old="        if claim.selected_node != node.name:\n",
        new="        if claim.selected_node != node.name and not node.name:\n",
        test=STEPS,
    ),
    Mutation(
        name="a volume that the node does not reach is not ready",
        file="scheduler/volumes/provide.py",
        old="    if terms_match(volume.node_terms, node.labels, None):\n        return Ready()",
        new="    if volume:\n        return Ready()",
        test=STEPS,
    ),
    Mutation(
        name="a write to a claim carries the version it was decided on",
        file="scheduler/live/volume_writes.py",
        old='    return {"uid": uid, "resourceVersion": resource_version, "annotations": annotations}',
        new='    return {"uid": uid, "annotations": annotations}',
        test=STEPS,
    ),
    Mutation(
        name="no claim is written without the lease",
        file="scheduler/live/volume_writes.py",
        old="        if not self._may_act():\n            return NotOurs()\n",
        new="",
        test=STEPS,
    ),
    Mutation(
        name="an unknown outcome of a write to a claim is read first",
        file="scheduler/live/volume_writes.py",
        old="        except (Conflict, OutcomeUnknown, BadAnswer):\n",
        new="        except Conflict:\n",
        test=STEPS,
    ),
    Mutation(
        name="capacity is counted for the whole gang",
        file="scheduler/volumes/plan.py",
        old="        return (*self._static(counted), *self._dynamic(counted))",
        new="        return self._static(counted)",
        test=PLACES,
    ),
    Mutation(
        name="disks that are there are counted once each",
        file="scheduler/volumes/plan.py",
        old="        return (*self._static(counted), *self._dynamic(counted))",
        new="        return self._dynamic(counted)",
        test=PLACES,
    ),
    Mutation(
        name="what is being provisioned is spoken for",
        file="scheduler/state/volumes.py",
        old="        if sign > 0 and any(mount.wanted is not None for mount in mounts_of(shape)):",
        new="        if False and sign > 0:",
        test=PLACES,
    ),
    Mutation(
        name="pods that share an unbound claim go into one place",
        file="scheduler/volumes/plan.py",
        old="            if wanted is not None and mount.shared and not wanted.selected_node:\n",
        new="            if wanted is None and mount.shared:\n",
        test=PLACES,
    ),
    Mutation(
        name="an ephemeral volume is its pod's own",
        file="scheduler/predicates/mounts.py",
        old="    if volume.is_ephemeral and uid and claim.owner_uid != uid:\n",
        new="    if volume.is_ephemeral and not uid:\n",
        test=PLACES,
    ),
    Mutation(
        name="what a class allows is asked of each node",
        file="scheduler/predicates/supply.py",
        old="    if not terms_match(storage.allowed_terms, node.labels, None):\n        return NO_MATCH\n",
        new="",
        test=PLACES,
    ),
    Mutation(
        name="a node attaches only so many volumes",
        file="scheduler/state/volumes.py",
        old='        most = {f"{ATTACHABLE}{driver}": own.get(driver, UNLIMITED) for driver in sorted(limited)}',
        new='        most = {f"{ATTACHABLE}{driver}": UNLIMITED for driver in sorted(limited)}',
        test=ATTACHES,
    ),
    Mutation(
        name="a volume that several pods mount counts once a node",
        file="scheduler/state/volumes.py",
        old="            and len(self._users.get(claim.key, ())) < 2\n",
        new="",
        test=ATTACHES,
    ),
    Mutation(
        name="attachments are no part of a node's size",
        file="scheduler/columns.py",
        old="                    total[:, column] = 0",
        new="                    total[:, column] += 0",
        test=ATTACHES,
    ),
    Mutation(
        name="a ReadWriteOncePod claim in use is not given to another",
        file="scheduler/predicates/mounts.py",
        old="    if claim.is_exclusive and used_by:\n",
        new="    if claim.is_exclusive and not uid:\n",
        test=EXCLUSIVE,
    ),
    Mutation(
        name="two pods of one plan do not share a ReadWriteOncePod claim",
        file="scheduler/volumes/plan.py",
        old="(*self._exclusive(shape), *self._supply(shape))",
        new="self._supply(shape)",
        test=EXCLUSIVE,
    ),
    Mutation(
        name="the scheduler changes of a claim only the node it names",
        file="deploy/admission/volumes.yaml",
        old="  policyName: stowplan-claims\n  validationActions: [Deny]",
        new="  policyName: stowplan-claims\n  validationActions: [Audit]",
        test=f"{REAL}::test_the_api_server_lets_the_scheduler_change_nothing_else",
    ),
)

"""Guards of what devices decide: taking a gang back once, and placing shares beside whole devices."""

from __future__ import annotations

from tests.mutations.guards import Mutation

TAKEN_BACK = "tests/gangs/test_a_gang_is_taken_back_once_whoever_leads.py"
OUTLIVES = "tests/devices/test_a_replacement_outlives_its_leader.py"
ONCE = "test_each_member_is_evicted_once_and_the_gang_ends_whole_elsewhere"
KINDS = "tests/binpacking/test_kinds_of_devices_meet_exactly.py"
MIXED = "tests/devices/test_a_gang_mixes_shares_and_whole_devices.py"
LENT = "tests/teams/test_a_guarantee_comes_back_from_shares.py"
QUOTAS = "tests/teams/test_shares_of_gpus_count_in_quotas.py"

SEEN = "tests/devices/test_everybody_sees_the_same_devices.py"
LYING = f"{SEEN}::test_labels_that_lie_are_told_once_on_the_node"
TROUBLES = "tests/devices/test_each_trouble_changes_what_is_bound.py"
RECORDED = "tests/inventory/test_a_real_node_can_be_sent.py"

CLAIMED = "tests/devices/test_claims_hold_devices.py"
ASSUMED = "tests/explain/test_a_proof_says_what_it_assumed.py"
COUNTED = "tests/devices/test_instances_are_bound_as_they_are_counted.py"
NAMES = "tests/devices/test_every_name_of_a_device_is_tied_to_it.py"
DOCTOR = "tests/faces/test_devices_are_told_as_they_are_held.py"

DEVICE_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="what a claim holds is not given",
        file="scheduler/devices/evidence.py",
        old="    if holder.claim:\n        return True",
        new="    if holder.claim:\n        return False",
        test=CLAIMED,
    ),
    Mutation(
        name="what a claim holds is not given, through storms",
        file="scheduler/devices/evidence.py",
        old="    if holder.claim:\n        return True",
        new="    if holder.claim:\n        return False",
        test="tests/devices/test_devices_through_storms.py",
    ),
    Mutation(
        name="a claim on a device that nobody named closes its node",
        file="scheduler/devices/evidence.py",
        old="    if inventory.unnamed_claims:",
        new="    if False:",
        test=CLAIMED,
    ),
    Mutation(
        name="a claim that nobody named takes all that share a device",
        file="scheduler/devices/summary.py",
        old="known.shared_by(resource) * (len(well) - known.claimed) - held",
        new="known.shared_by(resource) * len(well) - known.claimed - held",
        test=CLAIMED,
    ),
    Mutation(
        name="a claim that nobody named takes all that share a device, through storms",
        file="scheduler/devices/summary.py",
        old="known.shared_by(resource) * (len(well) - known.claimed) - held",
        new="known.shared_by(resource) * len(well) - known.claimed - held",
        test="tests/devices/test_devices_through_storms.py",
    ),
    Mutation(
        name="replicas of a device that is ill are not given, through storms",
        file="scheduler/devices/summary.py",
        old="    well = {slot.uuid for slot in slots if known.is_well(slot)}",
        new="    well = {slot.uuid for slot in slots}",
        test="tests/devices/test_devices_through_storms.py",
    ),
    Mutation(
        name="a claim that nobody named may hold any instance",
        file="scheduler/devices/summary.py",
        old="known.unnamed(resource, slots) + known.claimed",
        new="known.unnamed(resource, slots)",
        test=CLAIMED,
    ),
    Mutation(
        name="a claim that nobody named counts once under the single strategy",
        file="scheduler/devices/summary.py",
        old="            for hold in self.pods",
        new="            for hold in self.holds.values()",
        test=CLAIMED,
    ),
    Mutation(
        name="who only watches a device does not hold it",
        file="scheduler/parse/device_claims.py",
        old="one.driver == GPU_DRIVER and not one.admin_access",
        new="one.driver == GPU_DRIVER",
        test=CLAIMED,
    ),
    Mutation(
        name="a slice that comes later names what was claimed before",
        file="scheduler/devices/claims.py",
        old="        return concerned + self._again(found.pool, found)",
        new="        self._again(found.pool, found)\n        return concerned",
        test=CLAIMED,
    ),
    Mutation(
        name="a device that the kubelet named is not counted as unnamed too",
        file="scheduler/devices/claims.py",
        old=" - _seen(claim, told.slots)",
        new="",
        test=CLAIMED,
    ),
    Mutation(
        name="an instance that is made for a claim is a part of its device",
        file="scheduler/parse/device_claims.py",
        old='("uuid", "parentUUID")',
        new='("uuid",)',
        test=CLAIMED,
    ),
    Mutation(
        name="claims that may not be read keep nothing waiting",
        file="scheduler/live/views.py",
        old="                versions=paths[1:],\n                is_optional=True,",
        new="                versions=paths[1:],",
        test=CLAIMED,
    ),
    Mutation(
        name="nothing is shared on a device that somebody else uses",
        file="scheduler/devices/summary.py",
        old=" for at, uids in shared.items() if known.is_well(gpus[at])}",
        new=" for at, uids in shared.items() if gpus[at].is_usable}",
        test=CLAIMED,
    ),
    Mutation(
        name="under the single strategy no device is chosen by name",
        file="scheduler/devices/summary.py",
        old="    resource = slots[0].resource\n    summary.is_exact = False",
        new="    resource = slots[0].resource",
        test=COUNTED,
    ),
    Mutation(
        name="an instance that the kubelet named counts once under the single strategy",
        file="scheduler/devices/summary.py",
        old="summary.free[resource] - known.unnamed(WHOLE_GPU, slots)",
        new="summary.free[resource] - sum(_asked(hold, (WHOLE_GPU,)) for hold in known.holds.values())",
        test=NAMES,
    ),
    Mutation(
        name="replicas of an instance count as many times as it is shared",
        file="scheduler/devices/summary.py",
        old="        if known.shared_by(resource) > 1:\n            _count_replicas(summary, known, resource, slots)",
        new="        if False:\n            _count_replicas(summary, known, resource, slots)",
        test=NAMES,
    ),
    Mutation(
        name="replicas of both names are counted together",
        file="scheduler/devices/summary.py",
        old="names = (resource, resource + SHARED)",
        new="names = (resource,)",
        test=NAMES,
    ),
    Mutation(
        name="a replica of an instance counts for its part in quotas",
        file="scheduler/model/gpu_resources.py",
        old=" // sharing_instances(model, compute, memory_gb))",
        new=" // 1)",
        test=NAMES,
    ),
    Mutation(
        name="a claim on a device that nobody named is shown",
        file="scheduler/cli/gpus.py",
        old="for claim, count in claims.unnamed(told):",
        new="for claim, count in ():",
        test=DOCTOR,
    ),
    Mutation(
        name="a pod whose devices nobody named is shown",
        file="scheduler/cli/gpus.py",
        old="missing = sum(asks.values()) - named[name]",
        new="missing = 0",
        test=DOCTOR,
    ),
    Mutation(
        name="who has all its devices by name is not shown as holding others",
        file="scheduler/cli/gpus.py",
        old="missing = sum(asks.values()) - named[name]",
        new="missing = sum(asks.values())",
        test=DOCTOR,
    ),
    Mutation(
        name="more devices offered than there are is told",
        file="scheduler/cli/doctor.py",
        old="and _offered(node) > there",
        new="and False",
        test=DOCTOR,
    ),
    Mutation(
        name="what claims could give is no proof of never",
        file="scheduler/explain/verdict.py",
        old="(stands, False) if stands else (core, True)",
        new="core, False",
        test=ASSUMED,
    ),
    Mutation(
        name="what claims do not give stays proven",
        file="scheduler/explain/verdict.py",
        old="(stands, False) if stands else (core, True)",
        new="core, True",
        test=ASSUMED,
    ),
    Mutation(
        name="classes that may not be read may give anything",
        file="scheduler/devices/claims.py",
        old="        if self.is_hidden:",
        new="        if False:",
        test=ASSUMED,
    ),
    Mutation(
        name="who waits for claims holds back nobody",
        file="scheduler/planning/strict.py",
        old=" if not _waits_for_claims(verdict)",
        new="",
        test=ASSUMED,
    ),
    Mutation(
        name="a placeholder in a label of the network is told",
        file="scheduler/model/platforms.py",
        old="value.strip().lower() not in PLACEHOLDERS and",
        new="True and",
        test=f"{DOCTOR}::test_doctor_tells_which_labels_are_no_domains",
    ),
    Mutation(
        name="a domain of more nodes than it can have is told",
        file="scheduler/cli/doctor.py",
        old="if not is_domain(key, value, n)",
        new="if not is_domain(key, value, 1)",
        test=f"{DOCTOR}::test_doctor_tells_which_labels_are_no_domains",
    ),
    Mutation(
        name="who may not read claims is told so",
        file="scheduler/cli/doctor.py",
        old="    if found.unread:",
        new="    if False:",
        test=DOCTOR,
    ),
    Mutation(
        name="a gang is taken back only after that is written",
        file="scheduler/gangs/recovery.py",
        old="    if key.is_single:\n        return unwind(attempt)",
        new="    if True:\n        return unwind(attempt)",
        test=TAKEN_BACK,
    ),
    Mutation(
        name="who takes over reads each member before it is evicted",
        file="scheduler/gangs/machine.py",
        old="if attempt.is_inherited:",
        new="if False:",
        test=TAKEN_BACK,
    ),
    Mutation(
        name="those who came in a member's place are let alone",
        file="scheduler/gangs/recovery.py",
        old="if pod.uid in placement and pod.holds_capacity",
        new="if pod.holds_capacity",
        test=TAKEN_BACK,
    ),
    Mutation(
        name="the next leader takes back the rest of what was written",
        file="scheduler/live/takeover.py",
        old="        if not pods:",
        new="        if True:",
        test=f"{OUTLIVES}::{ONCE}[second-eviction]",
    ),
    Mutation(
        name="a device opened for shares is not taken whole",
        file="binpacking/device_model.py",
        old="cp.add(sum([*taken, *self._opened.values()]) <= allowed)",
        new="cp.add(sum(taken) <= allowed)",
        test=KINDS,
    ),
    Mutation(
        name="a linked set is counted by its island",
        file="binpacking/device_model.py",
        old="            if sets:\n                self._cp.add",
        new="            if False:\n                self._cp.add",
        test=KINDS,
    ),
    Mutation(
        name="pods placed in turn keep to one domain of their topology",
        file="scheduler/in_turn.py",
        old="inside: Mask = codes == domain",
        new="inside: Mask = codes >= 0",
        test=MIXED,
    ),
    Mutation(
        name="no share is given where devices are held that nobody named",
        file="scheduler/devices/plan.py",
        old="np.where(self._is_known, slots, 0)",
        new="slots",
        test=MIXED,
    ),
    Mutation(
        name="a share counts in its team's quota",
        file="scheduler/teams/measure.py",
        old="    if shape.ask is not None and shape.ask.milli:\n        gpus +=",
        new="    if False:\n        gpus +=",
        test=QUOTAS,
    ),
    Mutation(
        name="nobody is evicted for what is not counted",
        file="scheduler/teams/clearing.py",
        old="if self._translation.devices.counts_apart(first.roles):",
        new="if False:",
        test=QUOTAS,
    ),
    Mutation(
        name="shares go where they cost the others least",
        file="scheduler/devices/plan.py",
        old="self._view.devices(self._worth(self._view))",
        new="self._view.devices(None)",
        test="tests/devices/test_shares_go_where_they_cost_least.py",
    ),
    Mutation(
        name="whose leaving frees a shared device is known while they leave",
        file="scheduler/teams/promises.py",
        old="self._coming[row, gpu] = gpus",
        new="pass",
        test=LENT,
    ),
    Mutation(
        name="a shared device is free only without all who share it",
        file="scheduler/teams/candidates.py",
        old="if gone.issuperset(uids) and not any(",
        new="if not gone.isdisjoint(uids) and not any(",
        test=LENT,
    ),
    Mutation(
        name="labels that disagree with the inventory are told on the node",
        file="scheduler/live/devices.py",
        old="if self._may_act() and await self._write(node, words):",
        new="if self._may_act():",
        test=LYING,
    ),
    Mutation(
        name="labels that disagree with the inventory are counted",
        file="scheduler/live/devices.py",
        old="self._metrics.devices(self._state.devices.uses(), len(found), differences)",
        new="self._metrics.devices(self._state.devices.uses(), 0, differences)",
        test=LYING,
    ),
    Mutation(
        name="a node whose driver hangs gives no device",
        file="scheduler/inventory/record.py",
        old='return replace(record, state="Hung", message=message)',
        new="return replace(record, message=message)",
        test=TROUBLES,
    ),
    Mutation(
        name="a device that is no longer listed is missed",
        file="scheduler/inventory/identity.py",
        old='            yield replace(device, troubles=("missing",), unanswered=())',
        new="            yield device",
        test=TROUBLES,
    ),
    Mutation(
        name="a recorded node has the devices that do not even tell their UUID",
        file="scheduler/inventory/recorder.py",
        old="len(report.devices) + report.unidentified",
        new="len(report.devices)",
        test=RECORDED,
    ),
    Mutation(
        name="a recorded node keeps its fabric's UUID to itself",
        file="scheduler/inventory/recorder.py",
        old="        devices = _without_fabrics(devices)",
        new="        pass",
        test="tests/inventory/test_a_probe_tells_what_nvml_tells.py",
    ),
)

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

DEVICE_GUARDS: tuple[Mutation, ...] = (
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
        file="scheduler/teams/clearing.py",
        old="self._coming[row, self._gpu] = gpus",
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

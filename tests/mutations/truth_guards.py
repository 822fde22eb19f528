"""Guards of what agents say of devices: what is not known, what is gone, who holds it, what a link or fabric is."""

from __future__ import annotations

from tests.mutations.guards import Mutation

REMEMBERED = "tests/inventory/test_a_node_is_remembered.py"
NOT_ASKED = "tests/inventory/test_what_could_not_be_asked_is_not_known.py"
GONE = "tests/inventory/test_hardware_that_is_gone_is_forgotten.py"
HELD = "tests/devices/test_what_is_held_decides.py"
KUBELET = "tests/inventory/test_the_kubelet_says_who_holds_what.py"
LINKS = "tests/inventory/test_links_and_fabric_are_weighed.py"
ASIDE = "tests/inventory/test_the_agent_steps_aside.py"

STORMS = "tests/devices/test_devices_through_storms.py"

TRUTH_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a code that nobody knows is no evidence against a device (storms)",
        file="scheduler/inventory/nvml.py",
        old="LOST_CODES: Final = frozenset({GPU_IS_LOST, RESET_REQUIRED})",
        new="LOST_CODES: Final = frozenset({GPU_IS_LOST, RESET_REQUIRED, UNKNOWN})",
        test=STORMS,
    ),
    Mutation(
        name="hardware that was not seen since a boot is forgotten (storms)",
        file="scheduler/inventory/record.py",
        old="        uuid: uuid in record.seen_in or now_s",
        new="        uuid: False or now_s",
        test=STORMS,
    ),
    Mutation(
        name="who holds a device goes before what annotations name (storms)",
        file="scheduler/devices/evidence.py",
        old="    if not any(slot.holders for slot in inventory.slots):",
        new="    if True:",
        test=STORMS,
    ),
    Mutation(
        name="a code that nobody knows is no evidence against a device",
        file="scheduler/inventory/nvml.py",
        old="LOST_CODES: Final = frozenset({GPU_IS_LOST, RESET_REQUIRED})",
        new="LOST_CODES: Final = frozenset({GPU_IS_LOST, RESET_REQUIRED, UNKNOWN})",
        test=NOT_ASKED,
    ),
    Mutation(
        name="a device that could not be asked takes no pods",
        file="scheduler/inventory/assess.py",
        old='        state="Unknown",',
        new='        state="Noted",',
        test=NOT_ASKED,
    ),
    Mutation(
        name="what was not known is not held against a device later",
        file="scheduler/inventory/record.py",
        old='            if rule_of(trouble).severity != "unknown":',
        new="            if True:",
        test=NOT_ASKED,
    ),
    Mutation(
        name="what could not be asked is taken as it was last told",
        file="scheduler/inventory/identity.py",
        old="    if before is not None and fields:",
        new="    if False:",
        test=NOT_ASKED,
    ),
    Mutation(
        name="a silent device that cannot be told apart makes none missing",
        file="scheduler/inventory/identity.py",
        old="        if strangers:",
        new="        if False:",
        test=NOT_ASKED,
    ),
    Mutation(
        name="hardware that was not seen since a boot is forgotten",
        file="scheduler/inventory/record.py",
        old="        uuid: uuid in record.seen_in or now_s",
        new="        uuid: False or now_s",
        test=GONE,
    ),
    Mutation(
        name="another Node of the same name has other hardware",
        file="scheduler/inventory/record.py",
        old="found.node_uid != node_uid",
        new="False",
        test=GONE,
    ),
    Mutation(
        name="a device that is away for a day is forgotten",
        file="scheduler/inventory/record.py",
        old="now_s - since_s >= FORGET_S",
        new="False",
        test=GONE,
    ),
    Mutation(
        name="another device at its bus address has replaced one",
        file="scheduler/inventory/identity.py",
        old="and not _is_replaced(device, report.devices)",
        new="and True",
        test=GONE,
    ),
    Mutation(
        name="no more devices are remembered than an object holds",
        file="scheduler/inventory/identity.py",
        old="reverse=True)[:DEVICES_MAX]",
        new="reverse=True)",
        test=GONE,
    ),
    Mutation(
        name="an admin's word is read though the write failed",
        file="scheduler/inventory/agent.py",
        old="                await self._clear(words_of(await self._objects.found()))",
        new="                pass",
        test=ASIDE,
    ),
    Mutation(
        name="NVML is let go of while a label asks for it",
        file="scheduler/inventory/agent.py",
        old="            api.nvmlShutdown()",
        new="            pass",
        test=ASIDE,
    ),
    Mutation(
        name="an agent that stepped aside has reset nothing",
        file="scheduler/inventory/record.py",
        old='return record.message != _NOT_PROBED and record.state != "Paused"',
        new="return record.message != _NOT_PROBED",
        test=ASIDE,
    ),
    Mutation(
        name="who holds a device goes before what annotations name",
        file="scheduler/devices/evidence.py",
        old="    if not any(slot.holders for slot in inventory.slots):",
        new="    if True:",
        test=HELD,
    ),
    Mutation(
        name="a pod that asked for nothing holds what it uses",
        file="scheduler/devices/evidence.py",
        old="                taken.add(slot.uuid)",
        new="                pass",
        test=HELD,
    ),
    Mutation(
        name="what was seen of a pod's name before it came is not its own",
        file="scheduler/devices/evidence.py",
        old="probed_s > holds[uid].after_s",
        new="True",
        test=HELD,
    ),
    Mutation(
        name="who left is not held against who comes",
        file="scheduler/devices/evidence.py",
        old="return holder.uid not in gone if holder.uid else",
        new="return True if holder.uid else",
        test=HELD,
    ),
    Mutation(
        name="a plugin's replicas are their device",
        file="scheduler/inventory/holders.py",
        old="plain = name.partition(_REPLICA)[0]",
        new="plain = name",
        test=KUBELET,
    ),
    Mutation(
        name="a kubelet's answer is whole or none",
        file="scheduler/inventory/unary.py",
        old="    if len(answers) != 1:",
        new="    if False:",
        test=KUBELET,
    ),
    Mutation(
        name="links that peers lack too are no trouble",
        file="scheduler/inventory/troubles.py",
        old="    return wanted > 0 and not device.mig_enabled and links_up(device) < wanted",
        new="    return not device.mig_enabled and links_up(device) < len(device.links)",
        test=LINKS,
    ),
    Mutation(
        name="links that were up are missed",
        file="scheduler/inventory/record.py",
        old="best = max(record.links_best.get(device.uuid, 0), _up(before))",
        new="best = 0",
        test=LINKS,
    ),
    Mutation(
        name="a fabric's registration that failed is not completed",
        file="scheduler/inventory/troubles.py",
        old="has_failed = is_over and fabric.status != nvml.SUCCESS",
        new="has_failed = False",
        test=LINKS,
    ),
    Mutation(
        name="what the driver asks for is evidence",
        file="scheduler/inventory/troubles.py",
        old='RECOVERY.get(action, "recovery-unknown"): action != nvml.RECOVERY_NONE,',
        new='RECOVERY.get(action, "recovery-unknown"): False,',
        test=LINKS,
    ),
    Mutation(
        name="an NVLink error is harmless where the driver asks for nothing",
        file="scheduler/inventory/record.py",
        old="        if device.recovery == RECOVERY_NONE and",
        new="        if False and",
        test=LINKS,
    ),
    Mutation(
        name="what held at the last look and holds at this one is one outage",
        file="scheduler/inventory/record.py",
        old="has_held=trouble in held",
        new="has_held=False",
        test=REMEMBERED,
    ),
    Mutation(
        name="an agent that starts knows what held when the last one looked",
        file="scheduler/inventory/parse.py",
        old="sign.kind for sign in held if is_level(sign.kind)",
        new='sign.kind for sign in held if sign.kind == "missing"',
        test=REMEMBERED,
    ),
    Mutation(
        name="a device that is silent is as sick as it was",
        file="scheduler/inventory/identity.py",
        old="    if UNREADABLE in troubles:",
        new="    if False:",
        test=NOT_ASKED,
    ),
    Mutation(
        name="what a reset mends does not hold again because nobody can ask",
        file="scheduler/inventory/record.py",
        old='_after(record.devices, "reset") if is_new_driver else record.devices',
        new="record.devices",
        test=NOT_ASKED,
    ),
    Mutation(
        name="what a boot mends does not hold again because nobody can ask",
        file="scheduler/inventory/record.py",
        old='_after(found.devices, "boot") if rebooted else found.devices',
        new="found.devices",
        test=REMEMBERED,
    ),
    Mutation(
        name="one device whose processes nobody may see is not known",
        file="scheduler/inventory/troubles.py",
        old="is_by_design = is_closed or bool(device.mig_enabled)",
        new="is_by_design = True",
        test=NOT_ASKED,
    ),
    Mutation(
        name="where nobody may see processes all devices are known",
        file="scheduler/inventory/troubles.py",
        old="is_by_design = is_closed or bool(device.mig_enabled)",
        new="is_by_design = False",
        test=NOT_ASKED,
    ),
)

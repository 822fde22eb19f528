"""Guards of what devices and models are called."""

from __future__ import annotations

from tests.mutations.guards import Mutation

EVERY_NAME = "tests/devices/test_every_name_of_a_device_is_tied_to_it.py"
PROOFS = "tests/explain/test_a_proof_says_what_it_assumed.py"
ONE_NAME = "tests/devices/test_one_model_has_one_name.py"

NAME_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="memory that is told beside a name decides its size",
        file="scheduler/model/gpu_names.py",
        old="        size = _nearest(gib, family.sizes)",
        new="        pass",
        test=ONE_NAME,
    ),
    Mutation(
        name="a size that no such GPU has says nothing of it",
        file="scheduler/model/gpu_names.py",
        old="(size for size in sizes if size in family.sizes)",
        new="(size for size in sizes)",
        test=ONE_NAME,
    ),
    Mutation(
        name="an instance type names the model where no label does",
        file="scheduler/model/gpu_names.py",
        old="        name, told = by_type, 0 if by_type else told",
        new='        name = ""',
        test=ONE_NAME,
    ),
    Mutation(
        name="a device with too little memory is a slice",
        file="scheduler/model/gpu_names.py",
        old="if not part and not vgpu_gb and 0 < gib <",
        new="if False and 0 < gib <",
        test=ONE_NAME,
    ),
    Mutation(
        name="a limit on a family holds over its sizes",
        file="quotas/units.py",
        old="for name in (*self.wider.get(model, ()), model):\n                    found",
        new="for name in (model,):\n                    found",
        test=ONE_NAME,
    ),
    Mutation(
        name="one model under two keys is refused",
        file="scheduler/parse/teamquota.py",
        old="        if name in read:\n",
        new="        if False:\n",
        test=ONE_NAME,
    ),
    Mutation(
        name="a replica counts for its part of a GPU",
        file="scheduler/model/gpu_names.py",
        old='    if found["shared"]:\n',
        new="    if False:\n",
        test=EVERY_NAME,
    ),
    Mutation(
        name="replicas of devices that are ill are not given",
        file="scheduler/devices/summary.py",
        old="known.shared_by(resource) * (len(well) - known.claimed) - held",
        new="known.shared_by(resource) * (len(slots) - known.claimed) - held",
        test=EVERY_NAME,
    ),
    Mutation(
        name="replicas under their own name stand on devices too",
        file="scheduler/devices/summary.py",
        old="free if exact or not free else UNLIMITED",
        new="UNLIMITED",
        test=EVERY_NAME,
    ),
    Mutation(
        name="instances that no report has are not given",
        file="scheduler/devices/book.py",
        old="if name not in arrays.caps and stands_on(name):",
        new="if False:",
        test=EVERY_NAME,
    ),
    Mutation(
        name="attributes of a MIG profile are spelled as the plugin does",
        file="scheduler/model/gpu_resources.py",
        old='profile.replace("+", ".")',
        new="profile",
        test=EVERY_NAME,
    ),
    Mutation(
        name="nothing is never while a node allocates less than it has",
        file="scheduler/explain/verdict.py",
        old="never, is_open = ((), False) if doubts else self._never(pending, gang)",
        new="never, is_open = self._never(pending, gang)",
        test=PROOFS,
    ),
    Mutation(
        name="a placeholder is no domain",
        file="scheduler/ground.py",
        old="known = np.where(real, self.rows.domains(label).of, -1).astype(np.int32)",
        new="known = self.rows.domains(label).of",
        test=PROOFS,
    ),
    Mutation(
        name="what is named as shared is shared, whatever the count says",
        file="scheduler/devices/labels.py",
        old="        if shared.by > 1 and replicas_of(labels) == 1:",
        new="        if False:",
        test=EVERY_NAME,
    ),
    Mutation(
        name="nothing is taken for shared that nobody says is",
        file="scheduler/devices/labels.py",
        old="    if not named and not is_shared(node.labels):",
        new="    if False:",
        test="tests/devices/test_one_model_has_one_name.py",
    ),
    Mutation(
        name="a part of an AMD GPU is named by its mode",
        file="scheduler/model/gpu_names.py",
        old="        if _AMD.fullmatch(family.name):",
        new="        if False:",
        test="tests/devices/test_each_platform_is_known_by_its_labels.py",
    ),
    Mutation(
        name="instances of another node's report are not here",
        file="scheduler/devices/arrays.py",
        old="self.caps[name][row] = summary.free.get(name, 0)",
        new="self.caps[name][row] = summary.free.get(name, UNLIMITED)",
        test=EVERY_NAME,
    ),
    Mutation(
        name="instances that no label tells of count for their parts",
        file="scheduler/devices/labels.py",
        old='told = f"{inventory.model}{_cut_into(labels, inventory)}"',
        new="told = inventory.model",
        test=EVERY_NAME,
    ),
    Mutation(
        name="a GPU of another vendor counts in quotas",
        file="scheduler/model/gpu_resources.py",
        old='        "amd.com/gpu",\n',
        new="",
        test="tests/devices/test_other_vendors_are_counted_and_placed.py",
    ),
)

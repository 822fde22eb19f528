"""Guards of what is around devices, whose loss storms find: names of models, proofs, and domains."""

from __future__ import annotations

from tests.mutations.guards import Mutation

STORMS = "tests/devices/test_devices_through_storms.py"
PROOFS = "tests/explain/test_a_proof_says_what_it_assumed.py"
MODELS = "tests/devices/test_one_model_has_one_name.py"
HELD = "tests/devices/test_what_is_held_decides.py"
NAMES = "tests/devices/test_every_name_of_a_device_is_tied_to_it.py"


def _both(name: str, file: str, old: str, new: str, test: str) -> tuple[Mutation, Mutation]:
    """The same broken once for a test of its own, and once for the storms."""
    return (
        Mutation(name=name, file=file, old=old, new=new, test=test),
        Mutation(name=f"{name}, through storms", file=file, old=old, new=new, test=STORMS),
    )


SURROUNDING_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a placeholder is no domain, through storms",
        file="scheduler/model/platforms.py",
        old="value.strip().lower() not in PLACEHOLDERS and",
        new="True and",
        test=STORMS,
    ),
    Mutation(
        name="a clique of more nodes than it can have is no domain, through storms",
        file="scheduler/model/platforms.py",
        old="nodes <= NVLINK_NODES_MAX)",
        new="True)",
        test=STORMS,
    ),
    Mutation(
        name="a model without its size is the usual one, through storms",
        file="scheduler/model/gpu_names.py",
        old="size or implied or family.usual or (",
        new="size or implied or (",
        test=STORMS,
    ),
    *_both(
        "how many share a device stands while nothing is offered",
        "scheduler/devices/labels.py",
        "    if not offered or (before",
        "    if (before",
        NAMES,
    ),
    *_both(
        "how many share a device is found anew when more of them show",
        "scheduler/devices/labels.py",
        "    stands = not found or (before.by in found and len(slots) <= before.slots)",
        "    stands = not found or before.by in found",
        NAMES,
    ),
    *_both(
        "what an agent said of a model stands while it is away",
        "scheduler/devices/labels.py",
        "        return {**known, **labels} if uid == node.uid and not model_of(labels) else labels",
        "        return labels",
        MODELS,
    ),
    Mutation(
        name="what is said of a model is said of that Node",
        file="scheduler/devices/labels.py",
        old=" if uid == node.uid and not model_of(labels) else labels",
        new=" if not model_of(labels) else labels",
        test=MODELS,
    ),
    Mutation(
        name="what HAMi gave is held",
        file="scheduler/records.py",
        old="if pod.scheduler_name == ours else _of_others(pod)",
        new="if pod.scheduler_name == ours else ()",
        test=HELD,
    ),
    Mutation(
        name="nobody holds more devices by HAMi's words than it requests",
        file="scheduler/model/hami.py",
        old=" if all(found) and len(uuids) <= dict(shape.requests).get(WHOLE_GPU, 0) else ()",
        new=" if all(found) else ()",
        test=HELD,
    ),
    Mutation(
        name="what HAMi meant for another node is not held",
        file="scheduler/model/hami.py",
        old="    if not text or words.get(NODE) != node:",
        new="    if not text:",
        test=HELD,
    ),
    Mutation(
        name="words that HAMi would not write name nothing",
        file="scheduler/model/hami.py",
        old=" if all(found) and len(uuids)",
        new=" if len(uuids)",
        test=HELD,
    ),
    Mutation(
        name="a device that has not told its name hides no other's",
        file="scheduler/parse/devices.py",
        old=" for device in node.devices if device.model}",
        new=" for device in node.devices}",
        test=MODELS,
    ),
    Mutation(
        name="nothing is never while a node allocates less than it has, through storms",
        file="scheduler/explain/verdict.py",
        old="never, is_open = ((), False) if doubts else self._never(pending, gang)",
        new="never, is_open = self._never(pending, gang)",
        test=STORMS,
    ),
    *_both(
        "what was offered a minute ago is not gone",
        "scheduler/devices/offers.py",
        "            if offers.get(name, 0) < amount:",
        "            if False:",
        PROOFS,
    ),
    *_both(
        "what a kubelet counts is not gone",
        "scheduler/devices/offers.py",
        "            for resource, amount in seen.capacity.items():",
        "            for resource, amount in ():",
        PROOFS,
    ),
    Mutation(
        name="only what is more than what is allocated is kept of a capacity",
        file="scheduler/parse/node.py",
        old=" if amount > amounts.get(name, 0)}",
        new="}",
        test=PROOFS,
    ),
    Mutation(
        name="what was offered long ago is gone",
        file="scheduler/devices/offers.py",
        old="if now_s < one[1] + REMEMBERED_S}",
        new="}",
        test=PROOFS,
    ),
    Mutation(
        name="a node that is replaced has offered nothing",
        file="scheduler/devices/offers.py",
        old="before is not None and before.uid == node.uid else ():",
        new="before is not None else ():",
        test=PROOFS,
    ),
    *_both(
        "what is more than all that could be is proven",
        "scheduler/explain/verdict.py",
        "            if int(np.maximum(most, offered).sum()) < need:",
        "            if False:",
        PROOFS,
    ),
    *_both(
        "a share proves nothing where no agent tells of devices",
        "scheduler/explain/verdict.py",
        "        return [*found, _SILENT.format(silent)] if silent else found",
        "        return found",
        PROOFS,
    ),
    *_both(
        "a device that cannot be asked may be there",
        "scheduler/explain/verdict.py",
        "            beyond |= offered > total",
        "            beyond |= False",
        PROOFS,
    ),
    Mutation(
        name="what claims could give is no proof of never, through storms",
        file="scheduler/explain/verdict.py",
        old="        return (stands, False) if stands else (core, True)",
        new="        return (stands, False) if stands else (core, False)",
        test=STORMS,
    ),
)

"""On the control plane: what NVML says of a node changes what is bound there, as docs/inventory.md says.

One node for each kind of trouble, all struck at once, and nobody tells the agents to look: what is waited for
comes with the probes themselves, and within two periods of them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Set
from dataclasses import dataclass

from scheduler.invariants import World
from scheduler.inventory import nvml
from scheduler.inventory.scenario import Ecc, Event, Fabric, Process, Remap, Repair, Scenario
from scheduler.inventory.writer import CLEAR_ANNOTATION, PATH
from tests.devices.scene import Json, Scene, manifest
from tests.inventory.scenes import changed

#: The agent's own.
PERIOD_S = 5.0
GPUS = 3
NOTHING: frozenset[int] = frozenset()
#: Of the last device of each node. Once it shows, the node was looked at since it was struck.
FOREIGN = (Process(pid=4711, mib=9_000),)
ILL, WELL, MARK = range(GPUS)

Change = Callable[[Scenario], Scenario]


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """``given``: the devices that pods may have while it lasts. ``kept``: those still out when it ended."""

    name: str
    strike: Change
    given: Set[int] = frozenset({WELL})
    kept: Set[int] = NOTHING


def of_device(**fields: object) -> Change:
    def strike(scenario: Scenario) -> Scenario:
        ill, *others = scenario.devices
        return changed(scenario, devices=(changed(ill, **fields), *others))

    return strike


def event(data: int, type_: int = 8) -> Change:
    return lambda scenario: changed(scenario, events=(Event(device=ILL, data=data, type=type_),))


def of_node(**fields: object) -> Change:
    return lambda scenario: changed(scenario, **fields)


def lacks(*calls: str) -> Change:
    return of_node(fail=dict.fromkeys(calls, nvml.FUNCTION_NOT_FOUND))


def unloaded(scenario: Scenario) -> Scenario:
    return changed(scenario, driver=changed(scenario.driver, loaded=False))


def unlisted(scenario: Scenario) -> Scenario:
    """The last one, so that those before keep their numbers."""
    return changed(scenario, devices=scenario.devices[:MARK])


BOTH = frozenset({ILL, WELL})
#: What stays out after its end does so for the clean period, or until a reset or a boot.
OUT = frozenset({ILL})

TROUBLES = (
    Trouble(name="foreign", strike=of_device(processes=FOREIGN)),
    Trouble(name="ecc-counts", strike=of_device(ecc=Ecc(volatile_uncorrected=3)), given=BOTH),
    Trouble(name="ecc-sram", strike=of_device(ecc=Ecc(sram_exceeded=True)), kept=OUT),
    Trouble(name="ecc-double-bit", strike=event(0, 0x2), kept=OUT),
    Trouble(name="rows-remapped", strike=of_device(remap=Remap(corrected=2, uncorrected=1)), given=BOTH),
    Trouble(name="remap-pending", strike=of_device(remap=Remap(pending=True)), kept=OUT),
    Trouble(name="remap-failure", strike=of_device(remap=Remap(failure=True)), kept=OUT),
    Trouble(name="repair-pending", strike=of_device(repair=Repair(channel=True)), kept=OUT),
    Trouble(name="xid-13", strike=event(13), given=BOTH),
    Trouble(name="xid-63", strike=event(63), given=BOTH),
    Trouble(name="xid-48", strike=event(48), kept=OUT),
    Trouble(name="xid-79", strike=event(79), kept=OUT),
    Trouble(name="xid-777", strike=event(777), kept=OUT),
    Trouble(name="lost", strike=of_device(lost=True), kept=OUT),
    Trouble(name="reset", strike=of_device(fail={"nvmlDeviceGetName": nvml.RESET_REQUIRED}), kept=OUT),
    Trouble(name="not-asked", strike=of_device(fail={"nvmlDeviceGetUUID": nvml.UNKNOWN})),
    Trouble(name="recovery", strike=of_device(recovery=1), kept=OUT),
    Trouble(name="fabric", strike=of_device(fabric=Fabric(cluster="0" * 32, status=nvml.UNKNOWN)), kept=OUT),
    Trouble(name="hang", strike=of_node(hang=("all",)), given=NOTHING),
    Trouble(name="hang-of-one", strike=of_device(hang=("nvmlDeviceGetTemperatureV",)), given=NOTHING),
    Trouble(name="no-driver", strike=unloaded, given=NOTHING),
    Trouble(name="unlisted", strike=unlisted, given=BOTH, kept=frozenset({MARK})),
    Trouble(name="lacks-remap", strike=lacks("nvmlDeviceGetRemappedRows"), given=BOTH),
    Trouble(name="lacks-ecc", strike=lacks("nvmlDeviceGetEccMode", "nvmlDeviceGetMemoryInfo_v2"), given=BOTH),
    Trouble(name="lacks-count", strike=lacks("nvmlDeviceGetCount_v2"), given=NOTHING),
)


class Ward:
    """A node for each trouble, and for each of its devices a pod that wants one of that node."""

    def __init__(self, scene: Scene, nodes: list[str]) -> None:
        self._scene = scene
        self._nodes = {trouble.name: node for trouble, node in zip(TROUBLES, nodes, strict=True)}
        self._well = {name: scene.scenario(node) for name, node in self._nodes.items()}

    def play(self, change: Callable[[Trouble, Scenario, Scenario], Scenario]) -> None:
        """Something happens to each node, by what it was when well and by what it is now. Nobody is told."""
        assert self._scene.actor.inventories is not None
        for trouble in TROUBLES:
            node = self._scene.actor.inventories.nodes[self._nodes[trouble.name]]
            node.play(change(trouble, self._well[trouble.name], node.scenario))

    def usable(self) -> dict[str, set[int]]:
        """What the API server was told last, by trouble."""
        told = self._scene.stage.auditor.world.gpu_nodes
        return {name: self._numbers(name, told[node].usable) for name, node in self._nodes.items()}

    def bound(self) -> dict[str, set[int]]:
        """Which devices were given to pods, by trouble."""
        pods = self._scene.stage.pods()
        return {
            name: {
                number
                for i in range(GPUS)
                if f"{name}-{i}" in pods
                for number in self._numbers(name, pods[f"{name}-{i}"].devices)
            }
            for name in self._nodes
        }

    def bodies(self) -> list[Json]:
        made = []
        for name, node in self._nodes.items():
            for i in range(GPUS):
                body = manifest(f"{name}-{i}", gpus=1)
                body["spec"]["nodeSelector"] = {"kubernetes.io/hostname": node}
                made.append(body)
        return made

    async def cleared(self) -> None:
        """An admin says that all devices are well."""
        for node in self._nodes.values():
            await self._scene.stage.patch(
                f"{PATH}/{node}", {"metadata": {"annotations": {CLEAR_ANNOTATION: "all"}}}
            )

    def _numbers(self, name: str, uuids: Iterable[str]) -> set[int]:
        by_uuid = {device.uuid: number for number, device in enumerate(self._well[name].devices)}
        return {by_uuid[uuid] for uuid in uuids}


def struck(trouble: Trouble, well: Scenario, _: Scenario) -> Scenario:
    *others, mark = well.devices
    return trouble.strike(changed(well, devices=(*others, changed(mark, processes=FOREIGN))))


def ended(trouble: Trouble, well: Scenario, now: Scenario) -> Scenario:
    """As before; what has happened has, and a driver that was unloaded is a new one."""
    generation = well.driver.generation + (not now.driver.loaded)
    return changed(well, events=now.events, driver=changed(well.driver, generation=generation))


def noted(_: Trouble, __: Scenario, now: Scenario) -> Scenario:
    return changed(now, events=(*now.events, Event(device=WELL, data=63)))


async def test_each_trouble_takes_from_pods_what_the_docs_say_and_gives_it_back(scene: Scene) -> None:
    nodes = await scene.nodes(scene.pool("n", len(TROUBLES), gpus=GPUS), period_s=PERIOD_S)
    ward = Ward(scene, nodes)
    given = {trouble.name: set(trouble.given) for trouble in TROUBLES}
    back = {trouble.name: set(range(GPUS)) - trouble.kept for trouble in TROUBLES}

    def are_looked_at(_: World) -> bool:
        return all(MARK not in numbers for numbers in ward.usable().values())

    def are_given(wanted: dict[str, set[int]]) -> Callable[[World], bool]:
        def holds(_: World) -> bool:
            pods = scene.stage.pods().values()
            return ward.bound() == wanted and all(pod.node or pod.told is not None for pod in pods)

        return holds

    ward.play(struck)
    await scene.stage.until(are_looked_at, "every node was looked at", timeout_s=2 * PERIOD_S)
    assert ward.usable() == given
    await scene.stage.create(ward.bodies())
    await scene.stage.until(are_given(given), "what is well is bound, what is not waits")
    ward.play(ended)
    await scene.stage.until(are_given(back), "what came back is bound", timeout_s=2 * PERIOD_S)
    await scene.stage.beats(3)
    assert ward.bound() == back, "what is out stays out until its clean period is over"
    await ward.cleared()
    # An agent meets the word with its next write.
    ward.play(noted)
    everything = {trouble.name: set(range(GPUS)) for trouble in TROUBLES}
    await scene.stage.until(are_given(everything), "what was cleared is bound", timeout_s=2 * PERIOD_S)
    await scene.judge()

"""The live shell, in virtual time: volumes first, then the whole gang, and nothing left behind in vain."""

from __future__ import annotations

from scheduler.live.config import SchedulerConfiguration, Volumes
from simulations.faults import server as api
from simulations.faults.storage import CLAIMS, SELECTED, ZONE
from simulations.faults.store import Json
from simulations.faults.virtual_time import elapse
from tests.volumes.course import Course, led, virtually


def two_zones(course: Course) -> None:
    for name, zone in (("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")):
        course.node(name, zone)


def test_no_pod_is_bound_before_the_last_volume_is_there() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        slow = iter((0.5, 90.0, 1.0, 40.0))
        course.storage.takes_s = lambda: next(slow)
        async with led(course):
            course.gang("g", 4)
            await course.until(lambda: len(course.storage.asked) == 4, 20.0)
            assert dict(course.selected()) == {k[1]: node for k, node in course.storage.asked}
            await elapse(60.0)
            assert course.bound == {}
            assert course.told("g-0").startswith("WaitingForVolumes: waits for the volumes of ")
            await course.until(lambda: len(course.bound) == 4, 60.0)
            assert {f"{pod}-data": node for pod, node in course.placed().items()} == course.selected()
            await elapse(120.0)
            assert course.evicted == []

    virtually(main())


def test_one_claim_of_all_keeps_the_gang_in_one_zone() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        async with led(course):
            course.claim("shared", mode="ReadWriteMany")
            words = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": "2"}
            for i in range(2):
                course.pod(f"g-{i}", "shared", words=words)
            await course.until(lambda: len(course.bound) == 2, 30.0)
            assert len(course.zones()) == 1
            assert len(course.storage.asked) == 1

    virtually(main())


def test_an_ephemeral_volume_is_provisioned_for_its_pod() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        async with led(course):
            course.gang("g", 2, claims=False, ephemeral="scratch")
            await course.until(lambda: len(course.bound) == 2, 30.0)
            assert set(course.selected()) == {"g-0-scratch", "g-1-scratch"}

    virtually(main())


def test_disks_that_are_there_are_set_aside_one_each() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        for name, node in (("v0", "a1"), ("v1", "b2"), ("v2", "b2")):
            course.volume(name, node)
        async with led(course):
            words = {"stowplan.dev/gang": "g", "stowplan.dev/gang-min-member": "3"}
            for i in range(3):
                course.claim(f"d{i}", of="local")
                course.pod(f"g-{i}", f"d{i}", gpus=1, words=words)
            await course.until(lambda: len(course.bound) == 3, 30.0)
            assert sorted(course.placed().values()) == ["a1", "b2", "b2"]
            given = [course.read(CLAIMS, f"d{i}") for i in range(3)]
            assert len({c["spec"]["volumeName"] for c in given if c is not None}) == 3
            assert course.selected() == {}

    virtually(main())


def test_a_zone_that_has_no_room_is_left_for_one_that_has() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        course.storage.gives = lambda claim, node: node["metadata"]["labels"][ZONE] == "b"
        async with led(course):
            course.gang("g", 2)
            await course.until(lambda: len(course.bound) == 2, 60.0)
            assert course.zones() == {"b"}
            assert course.evicted == []

    virtually(main())


def test_what_is_asked_in_vain_is_withdrawn_and_told() -> None:
    async def main() -> None:
        course = Course(config=SchedulerConfiguration(volumes=Volumes(bind_timeout_seconds=60.0)))
        two_zones(course)
        given: list[str] = []

        def only_one(claim: Json, node: Json) -> bool:
            given.append(claim["metadata"]["name"])
            return len(given) == 1

        course.storage.gives = only_one
        async with led(course):
            course.gang("g", 4)
            await course.until(lambda: "its provisioner gave it up" in course.told("g-1"), 30.0)
            assert "of 4 claims asked for 1 have their volumes" in course.told("g-1")
            await elapse(30.0)
            assert course.bound == {}
            assert course.evicted == []
            bound = [name for name in course.selected() if _volume(course, name)]
            assert list(course.selected()) == bound

    virtually(main())


def test_a_provisioner_that_says_nothing_is_waited_for_as_long_as_stated() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        course.storage.is_silent = True
        async with led(course):
            course.gang("g", 2)
            course.gang("h", 2, claims=False)
            await course.until(lambda: len(course.selected()) == 2, 30.0)
            await elapse(570.0)
            assert set(course.selected().values()) == {"a1", "a2"}
            assert set(course.bound) == {"h-0", "h-1"}
            await course.until(lambda: "no volume came within 600 s" in course.told("g-0"), 60.0)
            assert course.told("g-0").startswith("Unschedulable: ")
            course.storage.is_silent = False
            await course.until(lambda: len(course.bound) == 4, 1_200.0)
            assert course.evicted == []

    virtually(main())


def test_a_leader_that_dies_between_asking_and_binding_is_succeeded() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        course.storage.takes_s = lambda: 60.0
        async with led(course):
            course.gang("g", 4)
            course.claim("alone")
            await course.until(lambda: len(course.selected()) == 4, 30.0)
            before = course.selected()
            course.replica.crash()
            await course.until(lambda: len(course.bound) == 4, 120.0)
            assert course.selected() == before, "what a provisioner works at is kept to"
            assert course.evicted == []

    virtually(main())


def test_who_is_gone_before_its_volume_came_is_not_waited_for() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        course.storage.takes_s = lambda: 60.0
        async with led(course):
            course.gang("g", 3, minimum=2)
            course.gang("h", 1)
            await course.until(lambda: len(course.selected()) == 4, 30.0)
            course.store.remove(api.PODS, ("team", "g-1"))
            course.store.remove(api.PODS, ("team", "h-0"))
            await course.until(lambda: len(course.bound) == 2, 90.0)
            assert set(course.bound) == {"g-0", "g-2"}

    virtually(main())


def test_a_read_write_once_pod_claim_goes_from_pod_to_pod() -> None:
    async def main() -> None:
        course = Course()
        two_zones(course)
        async with led(course):
            course.claim("data", mode="ReadWriteOncePod")
            course.pod("first", "data")
            await course.until(lambda: course.bound, 30.0)
            course.pod("second", "data")
            await course.until(lambda: 'in use by pod "first"' in course.told("second"), 10.0)
            await elapse(60.0)
            assert set(course.bound) == {"first"}
            course.store.remove(api.PODS, ("team", "first"))
            await course.until(lambda: "second" in course.bound, 10.0)

    virtually(main())


def test_as_many_pods_start_as_nodes_attach_volumes() -> None:
    async def main() -> None:
        course = Course()
        course.node("a1", "a", most=27)
        async with led(course):
            for i in range(30):
                course.claim(f"c{i}")
                course.pod(f"p{i}", f"c{i}", gpus=0)
            await course.until(lambda: len(course.bound) == 27, 30.0)
            await elapse(30.0)
            assert len(course.bound) == 27
            waiting = next(f"p{i}" for i in range(30) if f"p{i}" not in course.bound)
            assert "1 node(s) exceed max volume count" in course.told(waiting)

    virtually(main())


def test_a_node_that_a_claim_names_for_nobody_is_withdrawn() -> None:
    """An earlier leader asked for a pod whose node is not to be had any more, and nobody remembers."""

    async def main() -> None:
        course = Course()
        course.node("b1", "b")
        course.storage.is_silent = True
        course.claim("data")
        course.store.change(
            CLAIMS, ("team", "data"), lambda c: c["metadata"].update(annotations={SELECTED: "gone"})
        )
        course.pod("p", "data")
        async with led(course):
            await elapse(20.0)
            assert course.bound == {}
            assert course.selected() == {"data": "gone"}
            course.storage.is_silent = False
            await course.until(lambda: course.bound, 60.0)
            assert course.placed() == {"p": "b1"}

    virtually(main())


def _volume(course: Course, name: str) -> str:
    claim = course.read(CLAIMS, name)
    return "" if claim is None else claim["spec"].get("volumeName", "")

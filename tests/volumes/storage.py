"""Small builders of what is said of storage: ``claim("data")``, ``zoned("v1", "z1")``."""

from __future__ import annotations

from dataclasses import replace

from scheduler.model.objects import Pod, Shape, Volume
from scheduler.model.plan import Budget, Plan, Policy
from scheduler.model.selection import NodeTerm, Requirement, Selector
from scheduler.model.volumes import (
    Claim,
    Driver,
    NodeDriver,
    NodeDrivers,
    PersistentVolume,
    StorageCapacity,
    StorageClass,
)
from scheduler.planner import plan
from scheduler.state import ClusterState
from tests.builders import node, shape

GIB = 2**30
ZONE = "topology.kubernetes.io/zone"
HOST = "kubernetes.io/hostname"
DRIVER = "disk.csi.example.com"
LATE = StorageClass(name="late", waits_for_consumer=True, provisioner=DRIVER, driver=DRIVER)
LOCAL = StorageClass(name="local", waits_for_consumer=True, provisioner="kubernetes.io/no-provisioner")


def mounting(*claims: str, is_ephemeral: bool = False, gpu: int = 0) -> Shape:
    """The shape of a pod of namespace ``team`` with these claims."""
    volumes = tuple(Volume(claim=name, is_ephemeral=is_ephemeral) for name in claims)
    return shape(gpu=gpu, volumes=volumes, namespace="team")


def claim(name: str, *, of: str = "late", gib: int = 1, **fields: object) -> Claim:
    """One that waits for its first consumer, in namespace ``team``."""
    bare = Claim(
        namespace="team",
        name=name,
        volume="",
        storage_class=of,
        uid=f"uid-{name}",
        resource_version="1",
        size=gib * GIB,
        modes=("ReadWriteOnce",),
    )
    return replace(bare, **fields)  # type: ignore[arg-type] # fields of Claim by name


def near(key: str, *values: str) -> tuple[NodeTerm, ...]:
    return (NodeTerm(expressions=(Requirement(key=key, operator="In", values=values),)),)


def volume(
    name: str, terms: tuple[NodeTerm, ...] | None, *, of: str = "local", gib: int = 1
) -> PersistentVolume:
    """One that is there and nobody's."""
    return PersistentVolume(
        name=name,
        node_terms=terms,
        uid=f"uid-{name}",
        resource_version="1",
        storage_class=of,
        size=gib * GIB,
        modes=("ReadWriteOnce",),
        is_available=True,
    )


def capacity(
    name: str, zone: str, gib: int | None, largest: int | None = None, of: str = "late"
) -> StorageCapacity:
    return StorageCapacity(
        name=f"kube-system/{name}",
        storage_class=of,
        selector=Selector(requirements=(Requirement(key=ZONE, operator="In", values=(zone,)),)),
        capacity=None if gib is None else gib * GIB,
        largest=None if largest is None else largest * GIB,
    )


def drivers(name: str, most: int | None, *, keys: tuple[str, ...] = (ZONE,)) -> NodeDrivers:
    return NodeDrivers(node=name, drivers=(NodeDriver(name=DRIVER, most=most, topology_keys=keys),))


class World:
    """A state that is told of storage piece by piece."""

    def __init__(self, nodes: dict[str, str], **node_fields: object) -> None:
        """nodes: zone by name."""
        self.state = ClusterState("stowplan")
        for name, zone in nodes.items():
            self.state.set_node(node(name, labels={ZONE: zone}, **node_fields))  # type: ignore[arg-type] # fields given by name
        self.state.set_storage("classes", {c.name: c for c in (LATE, LOCAL)})

    def claims(self, *found: Claim) -> None:
        self.state.set_storage("claims", {c.key: c for c in found})

    def volumes(self, *found: PersistentVolume) -> None:
        self.state.set_storage("volumes", {v.name: v for v in found})

    def limits(self, most: int | None, *, keys: tuple[str, ...] = (ZONE,)) -> None:
        """What every node can attach."""
        names = [n.name for n in self.state.columns.nodes]
        self.state.set_storage("node_drivers", {name: drivers(name, most, keys=keys) for name in names})

    def capacities(self, *found: StorageCapacity) -> None:
        self.state.set_storage("drivers", {DRIVER: Driver(name=DRIVER, tracks_capacity=True)})
        self.state.set_storage("capacities", {c.name: c for c in found})

    def pods(self, *found: Pod) -> None:
        for each in found:
            self.state.set_pod(each)

    def plan(self) -> Plan:
        return plan(self.state.snapshot(), Policy(), Budget())

    def places(self) -> dict[str, str]:
        """Node by pod, of what a plan places now and the state admits."""
        found: dict[str, str] = {}
        for place in self.plan().places:
            objection = self.state.objection(place)
            assert objection is None, objection
            for a in place.assignments:
                self.state.assume(a)
                found[a.pod.name] = a.node
        return found

    def words(self) -> str:
        """What is told of the one gang that waits."""
        (verdict,) = self.plan().verdicts
        return verdict.message

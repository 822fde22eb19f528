"""A pod in the cluster's state, and when two versions of an object are the same to a plan."""

from __future__ import annotations

from msgspec import Struct
from msgspec.structs import replace

from scheduler.model.devices import DEVICES
from scheduler.model.gang import GangKey
from scheduler.model.hami import given_by_hami
from scheduler.model.objects import Pod, Rejected, Shape
from scheduler.model.written import WRITTEN

#: Devices that one pod can hold.
DEVICES_MAX = 64
#: Labels that the API server copies from the node to the pod with its Binding (KEP-4742).
COPIED = frozenset({"topology.kubernetes.io/zone", "topology.kubernetes.io/region"})


class Record(Struct, eq=False, gc=False):
    """A pod as observed, and as it counts: an assumed pod counts as bound to its assumed node."""

    observed: Pod
    effective: Pod
    rejected: Rejected | None
    key: GangKey | None
    #: What is written in the pod; and with the defaults of its team. Its shape has its volumes as well.
    asked: Shape
    filled: Shape
    #: Node its requests are charged to, or empty, and the shape they were charged for.
    charged: str = ""
    charged_shape: Shape | None = None
    #: Everything that follows from ``effective`` has been worked out.
    is_settled: bool = False
    assumed: str = ""
    #: How much had come to nodes and gone from them when it was.
    planned_at: int = 0
    #: UUIDs of the devices it holds there, as we chose them or as its Binding's annotation says.
    devices: tuple[str, ...] = ()

    def see(self, pod: Pod, rejected: Rejected | None, asked: Shape, filled: Shape) -> None:
        """Take it as observed now. Shapes are compared by identity and only so many are interned: what equals
        the known one is the known one.
        """
        shape = _known(self.observed.shape, pod.shape)
        self.observed = pod if shape is pod.shape else replace(pod, shape=shape)
        self.rejected = rejected
        self.asked, self.filled = _known(self.asked, asked), _known(self.filled, filled)

    def see_devices(self, pod: Pod, ours: str) -> None:
        """What a bound pod of ours, or of HAMi's, is first seen with counts: it is not talked away after."""
        if pod.node_name and self.assumed not in ("", pod.node_name):
            # Somebody else was faster, elsewhere.
            self.devices = ()
        if pod.node_name and not self.devices:
            self.devices = devices_of(pod) if pod.scheduler_name == ours else _of_others(pod)


def _known(known: Shape, seen: Shape) -> Shape:
    return known if seen is known or seen == known else seen


def _of_others(pod: Pod) -> tuple[str, ...]:
    return given_by_hami(dict(pod.annotations), pod.node_name, pod.shape)


def devices_of(pod: Pod) -> tuple[str, ...]:
    """What the annotation of its Binding names, bounded; empty without one."""
    text = next((value for key, value in pod.annotations if key == DEVICES), "")
    return tuple(text.split(",")[:DEVICES_MAX]) if text else ()


def looks_alike(one: Pod, other: Pod, *, by_labels: bool = False) -> bool:
    """Whether a plan cannot tell the two versions of a pod apart.

    by_labels: some pod selects others by their labels, whoever set them.

    Running and bound but not started are the same to a plan: both hold their node.
    """
    return (
        one.node_name == other.node_name
        and one.shape is other.shape
        and one.holds_capacity == other.holds_capacity
        and (one.phase == "Succeeded") == (other.phase == "Succeeded")
        and (one.phase == "Failed") == (other.phase == "Failed")
        and one.is_deleting == other.is_deleting
        and one.gates == other.gates
        and one.priority == other.priority
        and same_gang_words(one, other)
        and (not by_labels or one.labels == other.labels)
    )


def same_gang_words(one: Pod, other: Pod) -> bool:
    """Whether both say the same of their gang."""
    if (
        one.annotations is other.annotations
        and one.labels is other.labels
        and one.owner is other.owner
        and one.pod_group == other.pod_group
        and one.scheduler_name == other.scheduler_name
    ):
        return True
    return gang_words(one) == gang_words(other)


def gang_words(pod: Pod) -> tuple[object, ...]:
    """Everything of a pod that decides its gang; what a Binding adds to it does not."""
    labels = own_labels(pod)
    said = tuple(pair for pair in pod.annotations if pair[0] not in WRITTEN)
    return (pod.scheduler_name, labels, said, pod.owner, pod.pod_group)


def own_labels(pod: Pod) -> tuple[tuple[str, str], ...]:
    """Its labels without those that come with its Binding."""
    return tuple(pair for pair in pod.labels if pair[0] not in COPIED)

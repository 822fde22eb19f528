"""What is to be done for one claim of a pod that has a node: the decision alone, from what is known now.

As kube-scheduler's ``volumebinding/binder.go`` (bindAPIUpdate, checkBindings; 1.37), level-triggered: asked
as often as one likes, with whatever the watch shows by then.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from scheduler.model.objects import Node, Volume
from scheduler.model.volumes import Claim, Claims, PersistentVolume, Wanted
from scheduler.predicates.matching import terms_match
from scheduler.predicates.mounts import is_for, mount_of
from scheduler.predicates.supply import candidates

Key = tuple[str, str]

GIVEN_UP = "its provisioner gave it up"


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """What we wrote for a claim, or found written: ``volume`` bound to it, or made for ``node``.

    version: of the object that carries it, at the least; one that is older says nothing against it.
    """

    node: str
    version: int
    volume: str = ""


@dataclass(frozen=True, slots=True)
class Ready:
    """The volume is there and bound."""


@dataclass(frozen=True, slots=True)
class Wait:
    """Others have to act."""


@dataclass(frozen=True, slots=True)
class Adopt:
    """As it should be already, whoever wrote it: then wait."""

    asked: Asked


@dataclass(frozen=True, slots=True)
class Select:
    """Name the node on the claim, so that its provisioner begins."""


@dataclass(frozen=True, slots=True)
class Take:
    """Set this volume aside for the claim, so that the volume controller binds them."""

    volume: PersistentVolume


@dataclass(frozen=True, slots=True)
class Fail:
    """It cannot be had on this node by this attempt. spent: why it is not asked for there again soon."""

    reason: str
    spent: str = ""


Step = Ready | Wait | Adopt | Select | Take | Fail


def step(
    claim: Claim | None,
    node: Node,
    claims: Claims,
    asked: Asked | None,
    offered: PersistentVolume | None = None,
) -> Step:
    """The next step for a claim of a pod on this node. ``offered``: a volume that is there for it."""
    if claim is None:
        return Fail("is gone")
    if claim.is_deleting or claim.is_lost:
        return Fail("is being deleted" if claim.is_deleting else "has lost its volume")
    if claim.volume:
        return _bound(claim, node, claims)
    if asked is None:
        return _first(claim, node, claims, offered)
    if asked.volume:
        return _taken(claim, claims.volumes.get(asked.volume), asked)
    is_news = version(claim.resource_version) >= asked.version
    if not is_news or claim.is_prebound or claim.selected_node == asked.node:
        return Wait()
    if claim.selected_node:
        return Fail(f"is to be provisioned for node {claim.selected_node} by somebody else's word")
    return Fail(f"could not be provisioned for node {asked.node}: {GIVEN_UP}", spent=GIVEN_UP)


def offers(
    asking: Mapping[Key, tuple[Wanted, Node]], claims: Claims, taken: Collection[str]
) -> dict[Key, PersistentVolume]:
    """Volumes that are there for these claims, one each: who has least choice first, the smallest first."""
    if not claims.open_volumes and not any(wanted.reserved for wanted, _ in asking.values()):
        return {}
    choice = {key: candidates(wanted, node, claims, taken) for key, (wanted, node) in asking.items()}
    given: dict[Key, PersistentVolume] = {}
    names: set[str] = set()
    for key in sorted(choice, key=lambda k: (len(choice[k]), asking[k][0].size or 0, k)):
        left = [volume for volume in choice[key] if volume.name not in names]
        if left:
            given[key] = min(left, key=lambda volume: (volume.size, volume.name))
            names.add(given[key].name)
    return given


def wanted_of(claim: Claim, claims: Claims) -> Wanted | None:
    """What is asked of the claim's volume, None where nothing is any more."""
    return mount_of(Volume(claim=claim.name), claim.namespace, claims).wanted


def version(text: str) -> int:
    """A resourceVersion as an integer; 0 where it is none, which is older than any."""
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0


def _bound(claim: Claim, node: Node, claims: Claims) -> Step:
    volume = claims.volumes.get(claim.volume)
    if volume is None:
        return Wait()  # The claim's watch was faster than the volume's.
    if terms_match(volume.node_terms, node.labels, None):
        return Ready()
    return Fail(f"got volume {volume.name}, which node {node.name} does not reach")


def _first(claim: Claim, node: Node, claims: Claims, offered: PersistentVolume | None) -> Step:
    """Nothing is written yet, or not by this attempt."""
    if claim.selected_node:
        if claim.selected_node != node.name:
            return Fail(f"is to be provisioned for node {claim.selected_node} already")
        return Adopt(Asked(node=node.name, version=version(claim.resource_version)))
    if claim.is_prebound:
        return Wait()
    if wanted_of(claim, claims) is None:
        return Fail("does not wait for a first consumer any more")
    if offered is None:
        return Select()
    if is_for(offered, claim):
        return Adopt(Asked(node=node.name, version=version(offered.resource_version), volume=offered.name))
    return Take(offered)


def _taken(claim: Claim, volume: PersistentVolume | None, asked: Asked) -> Step:
    if volume is None:
        return Fail(f"was to be bound to volume {asked.volume}, which is gone")
    if version(volume.resource_version) < asked.version or is_for(volume, claim):
        return Wait()
    return Fail(f"was to be bound to volume {volume.name}, which is somebody else's now")

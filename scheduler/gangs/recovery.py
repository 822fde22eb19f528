"""What a new leader does with what the last one began: finish it, or take it back (INV2, INV13)."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from msgspec.structs import replace

from scheduler.gangs.attempt import Attempt, Limits, Member, Members, MemberState, Phase, Writing
from scheduler.gangs.events import WriteClaim
from scheduler.gangs.machine import finish, unwind
from scheduler.gangs.member_rules import Outcome
from scheduler.gangs.registry import BY_NAME
from scheduler.gangs.standing import stands
from scheduler.gangs.view import is_pending
from scheduler.gangs.words import ROLE_DEFAULT
from scheduler.model.gang import GangKey, GangSpec
from scheduler.model.objects import Pod

#: Phases of a Gang object whose attempt to place the gang may be unfinished.
UNFINISHED = frozenset({"Claiming", "Binding"})
#: Of a Gang object whose placement names members that are to be evicted; what is left goes by ``left_over``.
TAKING_BACK = Phase.UNWINDING.value


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What the Gang object says of an attempt."""

    key: GangKey
    phase: str
    epoch: int
    #: uid -> node.
    placement: Mapping[str, str]


def recover(
    claim: Claim,
    spec: GangSpec,
    pods: Sequence[Pod],
    *,
    still_fits: bool,
    epoch: int,
    at_s: float,
    limits: Limits | None = None,
) -> Outcome | None:
    """The attempt that ends what an earlier leader began, or None when there is nothing to end.

    ``pods`` are the gang's members from a quorum list made when no write of the earlier leader can
    land any more (its lease and the write timeout are over). ``still_fits``: the placement's unbound
    pods still have room on their nodes. Finished when the gang stands; bound further, under a claim
    of the new epoch, when the rest still fits; taken back otherwise.
    """
    if claim.phase not in UNFINISHED or claim.epoch > epoch:
        return None
    limits = limits or Limits()
    by_uid = {pod.uid: pod for pod in pods}
    role = BY_NAME[claim.key.dialect].role
    members = {
        uid: Member(
            uid=uid,
            node=node,
            role=role(by_uid[uid]) if uid in by_uid else ROLE_DEFAULT,
            state=_state(by_uid.get(uid), node),
        )
        for uid, node in claim.placement.items()
        if not _stands_elsewhere(by_uid.get(uid), node)
    }
    bound = {uid for uid, member in members.items() if member.state is MemberState.BOUND}
    standing = [pod for pod in pods if stands(pod) and pod.uid not in bound]
    attempt = Attempt(
        key=claim.key,
        epoch=epoch,
        generation=spec.generation,
        min_member=spec.min_member,
        standing=len(standing),
        role_needs=_role_needs(spec, [role(pod) for pod in standing]),
        members=Members({}),
        deadline_s=at_s + limits.deadline_s,
        limits=limits,
        story=(f"{at_s:.3f} recovered from epoch {claim.epoch} in {claim.phase}",),
    ).put_all(members)
    bound_only = attempt.put_all({uid: _given_up(member) for uid, member in members.items()})
    if not bound_only.is_lost:
        return finish(replace(bound_only, phase=Phase.BINDING))
    if attempt.is_lost or not still_fits:
        return unwind(attempt.failed("the leader changed and the rest no longer fits", is_permanent=False))
    return replace(attempt, writing=Writing.SENT), (WriteClaim(),)


def _stands_elsewhere(pod: Pod | None, node: str) -> bool:
    """Bound by somebody else: it stands like any other member, and is no longer ours to take back."""
    return pod is not None and stands(pod) and pod.node_name != node


def _state(pod: Pod | None, node: str) -> MemberState:
    if pod is None:
        return MemberState.GONE
    if stands(pod):
        return MemberState.BOUND
    return MemberState.PLANNED if is_pending(pod) else MemberState.GONE


def _one_role(_: Pod) -> str:
    """A single pod has no dialect to say its role."""
    return ROLE_DEFAULT


def _given_up(member: Member) -> Member:
    planned = member.state is MemberState.PLANNED
    return replace(member, state=MemberState.REFUSED) if planned else member


def _role_needs(spec: GangSpec, standing: Sequence[str]) -> tuple[tuple[str, int], ...]:
    left = ((role.name, role.minimum - standing.count(role.name)) for role in spec.roles)
    return tuple(sorted((name, count) for name, count in left if count > 0))


def give_back(
    key: GangKey,
    pods: Sequence[Pod],
    *,
    min_member: int,
    epoch: int,
    at_s: float,
    reason: str,
    limits: Limits | None = None,
    is_inherited: bool = False,
) -> Outcome:
    """The attempt that takes back a gang that stands or stayed partly bound, whoever left it so (INV2).

    ``pods`` are the members to evict. That they will be is written first: a leader that comes in between
    evicts the rest, each once, and none of those who replace them. A single pod speaks for itself.
    is_inherited: such a leader's, so some of the evictions may have landed.
    """
    limits = limits or Limits()
    role = _one_role if key.is_single else BY_NAME[key.dialect].role
    attempt = Attempt(
        key=key,
        epoch=epoch,
        generation=0,
        min_member=min_member,
        standing=0,
        role_needs=(),
        members=Members({}),
        deadline_s=at_s + limits.deadline_s,
        limits=limits,
        story=(f"{at_s:.3f} given back: {reason}",),
        is_taking_back=not key.is_single,
        is_inherited=is_inherited,
    ).put_all(
        {p.uid: Member(uid=p.uid, node=p.node_name, role=role(p), state=MemberState.BOUND) for p in pods}
    )
    attempt = attempt.failed(reason, is_permanent=False)
    if key.is_single:
        return unwind(attempt)
    return replace(attempt, writing=Writing.SENT), (WriteClaim(),)


def left_over(placement: Collection[str], members: Sequence[Pod]) -> tuple[Pod, ...]:
    """Of the members whose UIDs a leader wrote down to take back, those that still hold capacity."""
    return tuple(
        pod for pod in members if pod.uid in placement and pod.holds_capacity and not pod.is_deleting
    )

"""The ``stowplan.dev/`` words a pod may carry, read totally and agreed upon among members.

A word is an annotation, or a label for those who can only set labels. Roles and topology may be
said beside any dialect; the size only where the dialect has no object that says it.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache, partial
from zlib import crc32

from scheduler.gangs.groups import Group
from scheduler.model.gang import GangKey, GangSpec, RoleSpec, TopologySpec
from scheduler.model.objects import Pod, Rejected

GANG = "stowplan.dev/gang"
MIN_MEMBER = "stowplan.dev/gang-min-member"
POLICY = "stowplan.dev/gang-policy"
ROLE = "stowplan.dev/gang-role"
ROLE_MIN = "stowplan.dev/gang-role-min"
TOPOLOGY_REQUIRED = "stowplan.dev/topology-required"
TOPOLOGY_PREFERRED = "stowplan.dev/topology-preferred"
TOPOLOGY = (TOPOLOGY_REQUIRED, TOPOLOGY_PREFERRED)
#: What becomes of a gang that lost a member: it waits for another one, or starts anew as a whole.
ON_LOSS = "stowplan.dev/gang-on-loss"
REPLACE, RESTART = "replace", "restart"
#: The one policy there is: the pods' controller is asked for a gang.
ALL_OR_NOTHING = "all-or-nothing"
KUEUE_REQUIRED = "kueue.x-k8s.io/podset-required-topology"
KUEUE_PREFERRED = "kueue.x-k8s.io/podset-preferred-topology"
KAI_REQUIRED = "kai.scheduler/topology-required-placement"
KAI_PREFERRED = "kai.scheduler/topology-preferred-placement"
#: Annotations of other schedulers that mean what a word of ours means, asked for in this order.
_ALIASES = {
    TOPOLOGY_REQUIRED: (KUEUE_REQUIRED, KAI_REQUIRED),
    TOPOLOGY_PREFERRED: (KUEUE_PREFERRED, KAI_PREFERRED),
}

#: A Deployment's label on the pods of each of its ReplicaSets, and the end of their names.
TEMPLATE_HASH = "pod-template-hash"

_Pairs = tuple[tuple[str, str], ...]

MEMBERS_MAX = 10_000
ROLE_DEFAULT = "member"

_DNS_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")
_LABEL_KEY = re.compile(
    r"([a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?"
)
_OBJECT_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
#: What a label may say, and an object may be called.
_NAME = re.compile(r"[A-Za-z0-9]([-A-Za-z0-9_.]{0,251}[A-Za-z0-9])?")
_SHOWN_MAX = 64
_PREFIX = "stowplan.dev/"


def shown(value: str) -> str:
    """A tenant's text as it may appear in a message: quoted, ASCII, one line, cut."""
    return ascii(value if len(value) <= _SHOWN_MAX else value[:_SHOWN_MAX] + "...")


def is_object_name(text: str) -> bool:
    """Whether an API object may have this name (RFC 1123 subdomain)."""
    return _OBJECT_NAME.fullmatch(text) is not None


def is_name(text: str) -> bool:
    """Whether a label may say this, or an object be called so: what may name a group that is no object."""
    return _NAME.fullmatch(text) is not None


def label(pod: Pod, key: str) -> str | None:
    """The label of that key."""
    return _pairs(pod.labels).get(key)


def annotation(pod: Pod, key: str) -> str | None:
    """The annotation of that key; only those that a dialect reads are kept (``parse.pod.KEPT``)."""
    return _pairs(pod.annotations).get(key)


@lru_cache(maxsize=1 << 16)
def _pairs(pairs: _Pairs) -> Mapping[str, str]:
    return dict(pairs)


def word(pod: Pod, key: str) -> str | None:
    """The annotation, else the label, of that key."""
    return _said(pod.annotations, pod.labels).get(key)


def _all_said(members: Sequence[Pod]) -> list[Mapping[str, str]]:
    """All words of each member, looked up once: most gangs agree, and then nothing else is asked of a pod."""
    return [_said(pod.annotations, pod.labels) for pod in members]


@lru_cache(maxsize=1 << 16)
def _said(annotations: _Pairs, labels: _Pairs) -> Mapping[str, str]:
    """All words of one pod. A gang's view asks for each of them several times a pod."""
    pairs = (*labels, *annotations)
    said = {key: value for key, value in pairs if key.startswith(_PREFIX)}
    others = _pairs(annotations)
    for key, aliases in _ALIASES.items():
        for alias in aliases:
            if alias in others:
                said.setdefault(key, others[alias])
    return said


def count_of(text: str) -> int | None:
    """A member count in 1..10,000, or None for anything else; ``08``, ``+8`` and ``8.0`` are not counts."""
    if not (text.isascii() and text.isdigit()) or len(text) > 5 or text.startswith("0"):
        return None
    return int(text) if int(text) <= MEMBERS_MAX else None


def fault(pod: Pod) -> Rejected | None:
    """What is wrong with the words on this pod alone, whichever dialect it speaks."""
    for key in (GANG, ROLE):
        value = word(pod, key)
        if value is not None and not _DNS_LABEL.fullmatch(value):
            return Rejected(
                reason=f"{key} is {shown(value)}: use at most 63 lower-case letters, digits and '-'"
            )
    for key in (MIN_MEMBER, ROLE_MIN):
        value = word(pod, key)
        if value is not None and count_of(value) is None:
            return Rejected(reason=f"{key} is {shown(value)}: use a whole number from 1 to {MEMBERS_MAX:,}")
    for key in TOPOLOGY:
        value = word(pod, key)
        if value is not None and not _LABEL_KEY.fullmatch(value):
            return Rejected(reason=f"{key} is {shown(value)}: use the key of a node label")
    loss = word(pod, ON_LOSS)
    if loss is not None and loss not in (REPLACE, RESTART):
        return Rejected(reason=f"{ON_LOSS} is {shown(loss)}: use {REPLACE} or {RESTART}")
    return _fault_between(pod)


def _fault_between(pod: Pod) -> Rejected | None:
    """Words that contradict each other on one pod."""
    labels = dict(pod.labels)
    for key, value in pod.annotations:
        if key.startswith(_PREFIX) and labels.get(key, value) != value:
            return Rejected(
                reason=f"{key} is {shown(value)} as annotation but {shown(labels[key])} as label: set one"
            )
    if word(pod, ROLE_MIN) is not None and word(pod, ROLE) is None:
        return Rejected(reason=f"{ROLE_MIN} is set without {ROLE}: name the role it counts")
    return None


def wrong_policy(policy: str) -> Rejected:
    return Rejected(
        reason=f"{POLICY} is {shown(policy)}: use {ALL_OR_NOTHING}, or remove it "
        "to start each pod when it fits"
    )


def role_of(pod: Pod) -> str:
    return word(pod, ROLE) or ROLE_DEFAULT


def agreed(members: Sequence[Pod], key: str) -> str | None:
    """What the members say under a key: see ``majority``."""
    return majority(members, lambda pod: word(pod, key))


def majority(members: Sequence[Pod], says: Callable[[Pod], str | None]) -> str | None:
    """What counts of that which members say: of those who wait if they say anything, else of the others.

    What controls a pod changes its word for pods that it makes from then on, so its newest pods speak for
    all of its pods. Then the value most carry, of equals that which others carry too, then the one of the
    oldest member. A member without the word has no say. One wrong pod so never changes the gang of the
    others, and the answer does not depend on order.
    """
    said = {says(pod) for pod in members} - {None}
    if len(said) <= 1:
        return said.pop() if said else None
    heard = _heard(members, says)
    votes: Counter[str] = Counter()
    beside: Counter[str] = Counter()
    oldest: dict[str, tuple[float, str]] = {}
    for pod in members:
        value = heard[pod.uid]
        if value is None:
            continue
        (votes if _is_new(pod) else beside)[value] += 1
        oldest[value] = min(oldest.get(value, (pod.created_s, pod.uid)), (pod.created_s, pod.uid))
    if not votes:
        votes, beside = beside, votes
    return min(votes, key=lambda value: (-votes[value], -beside[value], oldest[value]))


def _is_new(pod: Pod) -> bool:
    """Waits for a node: the words of those who have one were for the start that is behind them."""
    return not pod.node_name and not pod.has_ended


def _heard(members: Sequence[Pod], says: Callable[[Pod], str | None]) -> dict[str, str | None]:
    """By UID, what a pod counts for: the word of the newest pods that the same object made, else its own."""
    newest: dict[str, float] = {}
    for pod in members:
        made_by = maker(pod)
        if made_by and says(pod) is not None:
            newest[made_by] = max(newest.get(made_by, pod.created_s), pod.created_s)
    last: dict[str, Counter[str]] = {}
    for pod in members:
        made_by, value = maker(pod), says(pod)
        if made_by and value is not None and pod.created_s == newest[made_by]:
            last.setdefault(made_by, Counter())[value] += 1
    told = {one: min(votes, key=lambda v: (-votes[v], v)) for one, votes in last.items()}
    return {pod.uid: told.get(maker(pod), says(pod)) for pod in members}


def maker(pod: Pod) -> str:
    """What controls the pod, over its own changes: a Deployment makes a ReplicaSet for each of them."""
    owner = pod.owner
    if owner is None:
        return ""
    revision = label(pod, TEMPLATE_HASH) if owner.kind == "ReplicaSet" else None
    return f"{owner.name.removesuffix(revision)}/" if revision else owner.uid


def dissenters(members: Sequence[Pod], keys: Sequence[str]) -> dict[str, Rejected]:
    """Members that wait, by uid, whose words differ from what the gang agreed on; each one's reason."""
    found: dict[str, Rejected] = {}
    said = _all_said(members)
    for key in keys:
        if not _is_one({words.get(key) for words in said}):
            found |= {**dissent(members, partial(word, key=key), key, "its gang"), **found}
    if _is_one({words.get(ROLE_MIN) for words in said}):
        return found
    for role, pods in _by_role(members).items():
        told = dissent(pods, partial(word, key=ROLE_MIN), ROLE_MIN, f"its role {role}")
        found |= {**told, **found}
    return found


def dissent(
    members: Sequence[Pod], says: Callable[[Pod], str | None], field: str, whom: str
) -> dict[str, Rejected]:
    """As ``dissenters``, for anything that a member may say, in the words of its field."""
    agreed_on = majority(members, says)
    heard = _heard(members, says)
    return {
        pod.uid: Rejected(
            reason=f"{field} is {shown(heard[pod.uid] or '')} but {shown(agreed_on or '')} for {whom}: "
            "make them equal"
        )
        for pod in members
        if _is_new(pod) and heard[pod.uid] not in (None, agreed_on)
    }


def _is_one(values: set[str | None]) -> bool:
    """Whether nobody contradicts anybody: at most one value beside none at all."""
    return len(values) - (None in values) <= 1


def _by_role(members: Sequence[Pod]) -> Mapping[str, list[Pod]]:
    said = _all_said(members)
    if not any(ROLE in words for words in said):
        return {ROLE_DEFAULT: list(members)}
    roles: dict[str, list[Pod]] = {}
    for pod, words in zip(members, said, strict=True):
        roles.setdefault(words.get(ROLE) or ROLE_DEFAULT, []).append(pod)
    return roles


def roles_of(members: Sequence[Pod]) -> tuple[RoleSpec, ...]:
    """Roles with a minimum of their own, sorted by name."""
    found: list[RoleSpec] = []
    if not any(ROLE_MIN in words for words in _all_said(members)):
        return ()
    for role, pods in sorted(_by_role(members).items()):
        minimum = agreed(pods, ROLE_MIN)
        if minimum is not None:
            found.append(RoleSpec(name=role, minimum=int(minimum)))
    return tuple(found)


def topology_of(members: Sequence[Pod]) -> tuple[TopologySpec, ...]:
    """Topology the pods ask for, the required one first."""
    found: list[TopologySpec] = []
    said = {key for words in _all_said(members) for key in TOPOLOGY if key in words}
    for key in TOPOLOGY:
        label = agreed(members, key) if key in said else None
        if label is not None:
            found.append(TopologySpec(label=label, is_required=key == TOPOLOGY_REQUIRED))
    return tuple(found)


def describe(
    key: GangKey,
    members: Sequence[Pod],
    *,
    min_member: int,
    group: Group | None,
    min_field: str,
    topology: tuple[TopologySpec, ...] = (),
    priority: int | None = None,
    roles: tuple[RoleSpec, ...] | None = None,
    notice: str = "",
) -> GangSpec | Rejected:
    """The spec of a gang whose size is known, with the words of its pods; the last checks.

    ``min_field`` names where the size stands, for the tenant. ``topology`` of the group object, if
    it has one, goes before that of the pods; so do its ``roles``, which then are the dialect's and
    add up to no more than ``min_member``. The generation is a checksum of the whole description,
    so it changes whenever the gang does, whoever described it.
    """
    if not 1 <= min_member <= MEMBERS_MAX:
        return Rejected(reason=f"{min_field} is {counted(min_member)}: use 1 to {MEMBERS_MAX:,}")
    if len(members) > MEMBERS_MAX:
        return Rejected(reason=f"the gang has {len(members):,} pods: at most {MEMBERS_MAX:,} may share one")
    roles = roles_of(members) if roles is None else roles
    wanted = sum(role.minimum for role in roles)
    if wanted > min_member:
        return Rejected(
            reason=f"{ROLE_MIN} adds up to {wanted:,} over the roles but {min_field} is {min_member:,}: "
            f"raise {min_field} to {wanted:,} or lower a role's minimum"
        )
    asked = topology or topology_of(members)
    group_words = None if group is None else (group.uid, group.generation)
    said = repr((group_words, min_member, roles, asked, priority))
    return GangSpec(
        key=key,
        min_member=min_member,
        generation=crc32(said.encode()),
        roles=roles,
        topology=asked,
        priority=priority,
        owner=owner_of(members) if group is None else group.owner,
        notice=notice,
    )


def one_by_one(key: GangKey, members: Sequence[Pod], *, notice: str) -> GangSpec | Rejected:
    """A gang whose size nobody can tell: each pod starts when it fits, and its owner is told why."""
    return describe(key, members, min_member=1, group=None, min_field=MIN_MEMBER, roles=(), notice=notice)


def remedy() -> str:
    """How any pods become a gang, whatever made them."""
    return f"set {GANG} and {MIN_MEMBER} on the pods to start them together"


def counted(value: int) -> str:
    """A number of an object as it may appear in a message."""
    return f"{value:,}" if abs(value) < 10**12 else "beyond all bounds"


def owner_of(members: Sequence[Pod]) -> tuple[str, str, str, str] | None:
    """The controlling owner all members share, or None."""
    owners = {pod.owner for pod in members}
    if len(owners) != 1:
        return None
    owner = owners.pop()
    return None if owner is None else (owner.api_version, owner.kind, owner.name, owner.uid)

"""What describes a gang, as things stand now: its dialect's word, less those who cannot be there yet.

A PodGroup may count pods that a controller makes only when the others run, such as the launcher of an MPIJob
with ``launcherCreationPolicy: WaitForWorkersReady``: both would wait for each other for ever.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final
from zlib import crc32

from scheduler.gangs.described import Described
from scheduler.gangs.dialect import Dialect
from scheduler.gangs.groups import GroupObjects
from scheduler.gangs.registry import DIALECTS
from scheduler.model.gang import GangKey, GangSpec, Waiting
from scheduler.model.objects import Pod, Rejected

#: What made the pods, where they name another group themselves.
_IMPLIED: Final = tuple(d for d in DIALECTS if isinstance(d, Described) and not d.is_explicit)


def described(
    dialect: Dialect, key: GangKey, members: Sequence[Pod], objects: GroupObjects
) -> GangSpec | Waiting | Rejected:
    """The description of a gang of these members."""
    spec = dialect.spec(key, members, objects)
    if not isinstance(spec, GangSpec) or not dialect.is_explicit or not members:
        return spec
    most = _most_now(members, objects)
    if most is None or spec.min_member <= most:
        return spec
    there = {dialect.role(pod) for pod in members}
    roles = tuple(role for role in spec.roles if role.name in there)
    return replace(
        spec,
        min_member=most,
        generation=crc32(repr((spec.generation, most)).encode()),
        roles=roles if sum(role.minimum for role in roles) <= most else (),
    )


def _most_now(members: Sequence[Pod], objects: GroupObjects) -> int | None:
    """How many pods can be there before others run, by what made them; None where all can."""
    for implied in _IMPLIED:
        key = implied.key(members[0])
        if isinstance(key, GangKey):
            mine = [pod for pod in members if implied.key(pod) == key]
            most = implied.before_others(key, mine, objects)
            # Pods of somebody else in the same group are awaited like any.
            return None if most is None or len(mine) < len(members) else max(1, most)
    return None

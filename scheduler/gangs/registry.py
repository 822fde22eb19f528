"""All dialects in the order in which they are asked; a new one is one file and one line here."""

from __future__ import annotations

from collections.abc import Mapping

from scheduler.gangs import words
from scheduler.gangs.coscheduling import Coscheduling
from scheduler.gangs.dialect import Dialect
from scheduler.gangs.job import BatchJob
from scheduler.gangs.own import Own
from scheduler.gangs.podgroup import Native
from scheduler.model.gang import SINGLE, GangKey
from scheduler.model.objects import Pod, Rejected

#: Own keys, then Kubernetes' PodGroup, then explicit group keys, then what an owner implies.
DIALECTS: tuple[Dialect, ...] = (Own(), Native(), Coscheduling(), BatchJob())

DIALECT_NAMES: tuple[str, ...] = tuple(dialect.name for dialect in DIALECTS)

BY_NAME: Mapping[str, Dialect] = {dialect.name: dialect for dialect in DIALECTS}


def resolve(pod: Pod) -> GangKey | Rejected:
    """The gang of a pod; a pod that names none is a gang of its own.

    The first dialect that recognises the pod decides, even if it decides to reject.
    """
    for dialect in DIALECTS:
        found = dialect.key(pod)
        if found is not None:
            return found
    for key in (words.MIN_MEMBER, words.ROLE_MIN):
        if words.word(pod, key) is not None:
            return Rejected(reason=f"{key} is set but the pod names no gang: set {words.GANG}")
    return GangKey(namespace=pod.namespace, dialect=SINGLE, name=pod.uid)


def contradictions(pod: Pod) -> str | None:
    """A warning when more than one dialect recognises the pod, saying which one is followed."""
    claims = [(dialect, dialect.key(pod)) for dialect in DIALECTS]
    found = [(dialect, key) for dialect, key in claims if key is not None]
    if len(found) < 2:
        return None
    told = [
        f"{dialect.doc.title}: {'not valid' if isinstance(key, Rejected) else key.name}"
        for dialect, key in found
    ]
    return f"the pod names more than one gang; followed is {told[0]}; ignored is {'; '.join(told[1:])}"

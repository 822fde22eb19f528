"""What a tenant writes that another should not feel: foreign pods, absurd amounts, rules, words, crowds."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Final

from simulations.faults.server import PODS
from simulations.faults.store import Json
from simulations.faults.users import GPU, OURS
from simulations.life.pods import Site

NAMESPACE: Final = "evil"
#: Whose kubelet answers nobody.
SILENT: Final = "silent"
#: Pods of one kind of writes.
MANY: Final = 24
MANY_FOREIGN: Final = 140
#: What stands in a stored object for fields that nest deeper than a decoder of this machine recurses.
DEEP_MARK: Final = b'"@deep"'
DEEP: Final = b'{"f:x":' * 1_500 + b"{}" + b"}" * 1_500


async def write(site: Site, chance: random.Random, at_s: float) -> None:
    """Some kinds of writes, some pods each, all over a while."""
    await asyncio.sleep(at_s)
    kinds = chance.sample(list(KINDS), chance.randint(1, 3))
    for kind in kinds:
        site.story.tell("stranger", kind)
        for number in range(MANY_FOREIGN if kind == "foreign" else MANY):
            await asyncio.sleep(chance.choice((0.0, 0.0, 0.2)))
            body = _pod(f"{kind}-{number}")
            KINDS[kind](body, number, chance)
            site.server.store.create(PODS, body)


def _pod(name: str) -> Json:
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"namespace": NAMESPACE, "name": name, "labels": {"app": "evil"}, "annotations": {}},
        "spec": {
            "schedulerName": OURS,
            "terminationGracePeriodSeconds": 0,
            "containers": [_container({GPU: "64"})],
        },
        "status": {"phase": "Pending"},
    }


def _container(limits: dict[str, str]) -> Json:
    return {"name": "main", "image": "none", "resources": {"limits": limits, "requests": limits}}


def _foreign(body: Json, number: int, chance: random.Random) -> None:
    """Created on a node by somebody who asks no scheduler; its kubelet has not seen it yet."""
    body["spec"] |= {"schedulerName": "another", "nodeName": SILENT}
    body["spec"]["containers"] = [_container({"memory": "64Ti"})]


def _amounts(body: Json, number: int, chance: random.Random) -> None:
    amount = chance.choice(("1e30", "9223372036854775807", "0.5", "-1", "1Ei", "1e-9", "8Ei"))
    name = chance.choice((GPU, "memory", "cpu", "ephemeral-storage"))
    body["spec"]["containers"] = [_container({GPU: "64", name: amount})]


def _resources(body: Json, number: int, chance: random.Random) -> None:
    body["spec"]["containers"] = [_container({f"example.com/thing-{number}": "1"})]


def _rules(body: Json, number: int, chance: random.Random) -> None:
    term = {
        "labelSelector": {"matchLabels": {"app": "evil"}},
        "topologyKey": "kubernetes.io/hostname",
    }
    body["spec"]["affinity"] = {"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [term]}}


def _words(body: Json, number: int, chance: random.Random) -> None:
    size = chance.choice(("0", "-1", "99999999999999999999", "2.0", "two", ""))
    name = chance.choice(("", "UPPER", "x" * 300, "a\nb", "../../etc", f"evil-{number % 3}"))
    body["metadata"]["annotations"] = {
        "stowplan.dev/gang": name,
        "stowplan.dev/gang-min-member": size,
        "note": "x" * chance.choice((0, 100_000)),
    }


def _hard(body: Json, number: int, chance: random.Random) -> None:
    """Gangs that cannot fit, each of another shape, so that a solver would look at all of them."""
    body["metadata"]["annotations"] = {
        "stowplan.dev/gang": f"hard-{number // 4}",
        "stowplan.dev/gang-min-member": "4",
    }
    body["spec"]["containers"] = [_container({GPU: str(2 + number % 4), "cpu": f"{number + 1}00m"})]
    body["spec"]["nodeSelector"] = {"kubernetes.io/hostname": "nowhere"}


def _nested(body: Json, number: int, chance: random.Random) -> None:
    """Fields of a manager nested as deep as an API server takes them."""
    body["metadata"]["managedFields"] = [{"manager": "m", "operation": "Update", "fieldsV1": "@deep"}]


def deepened(raw: bytes) -> bytes:
    """As the API server would show an object of which this store holds a shallower one."""
    return raw.replace(DEEP_MARK, DEEP) if DEEP_MARK in raw else raw


KINDS: Final[dict[str, Callable[[Json, int, random.Random], None]]] = {
    "foreign": _foreign,
    "amounts": _amounts,
    "resources": _resources,
    "rules": _rules,
    "words": _words,
    "hard": _hard,
    "nested": _nested,
}

"""What an identity is granted by its manifest, and what it asked for on its way through a proxy."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import yaml

from tests.deploy.documents import Json
from tests.faults.calls import Call
from tests.faults.proxy import Logged

#: (verb, API group, resource or resource/subresource)
Right = tuple[str, str, str]

WRITES: Final = {"POST": "create", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}


def granted(identity: Path) -> set[Right]:
    """Every right that the identity's manifest gives, a role's as well as a cluster role's."""
    documents: list[Json] = list(yaml.safe_load_all(identity.read_text(encoding="utf-8")))
    rules: list[Json] = [rule for one in documents for rule in one.get("rules", ())]
    return {
        (verb, group, resource)
        for rule in rules
        for verb in rule["verbs"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
    }


def right_of(call: Call) -> Right:
    resource = f"{call.resource}/{call.subresource}" if call.subresource else call.resource
    if call.method in WRITES:
        verb = WRITES[call.method]
    elif call.is_watch:
        verb = "watch"
    else:
        verb = "get" if call.name else "list"
    return (verb, call.group, resource)


def used(logged: list[Logged]) -> set[Right]:
    """The rights behind the requests for objects; the pages that say which APIs there are need none."""
    return {right_of(one.call) for one in logged if one.call.resource}

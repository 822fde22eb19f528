"""Every verb on every resource the API server serves, asked of the API server itself."""

from __future__ import annotations

import asyncio
from pathlib import Path

import msgspec
import pytest

from deploy.local.cluster import Cluster
from deploy.local.identities import Identity
from scheduler.kube.transport import Endpoint, Transport, Unauthorized
from scheduler.live.sources import PATHS

VERBS = ("get", "list", "watch", "create", "update", "patch", "delete", "deletecollection")
#: Verbs that are no requests of their own, but let their holder become more than it is.
SPECIAL = {
    "clusterroles.rbac.authorization.k8s.io": ("bind", "escalate"),
    "roles.rbac.authorization.k8s.io": ("bind", "escalate"),
    "users": ("impersonate",),
    "groups": ("impersonate",),
    "serviceaccounts": ("impersonate",),
    "signers.certificates.k8s.io": ("approve", "sign"),
}
IN_FLIGHT = 12
#: (namespace, name), the widest first; empty is all.
Place = tuple[str, str]
PLACES: tuple[Place, ...] = (("", ""), ("stowplan-system", ""), ("stowplan-system", "stowplan"))
LISTS = Path(__file__).parent


class _Resource(msgspec.Struct):
    name: str


class _Resources(msgspec.Struct):
    resources: list[_Resource]


class _Version(msgspec.Struct, rename="camel"):
    group_version: str


class _Group(msgspec.Struct, rename="camel"):
    name: str
    versions: list[_Version]


class _Groups(msgspec.Struct):
    groups: list[_Group]


class _Verdict(msgspec.Struct):
    allowed: bool


class _Review(msgspec.Struct):
    status: _Verdict


def _transport(cluster: Cluster, identity: Identity) -> Transport:
    return Transport(Endpoint.from_kubeconfig(cluster.kubeconfig(identity)), connections_max=IN_FLIGHT)


async def _served(api: Transport) -> set[tuple[str, str]]:
    """(group, resource or resource/subresource) of all that is served."""
    places = [("", "/api/v1")]
    for group in (await api.get("/apis", _Groups)).groups:
        places += [(group.name, f"/apis/{version.group_version}") for version in group.versions]
    found = set()
    for name, path in places:
        found |= {(name, r.name) for r in (await api.get(path, _Resources)).resources}
    return found


def _of_other_projects() -> set[tuple[str, str]]:
    """(group, resource) of what the scheduler reads where it is served, which is not here."""
    return {(path.split("/")[2], path.split("/")[-1]) for path in PATHS}


async def _may(api: Transport, verb: str, group: str, resource: str, place: Place) -> bool:
    kind, _, subresource = resource.partition("/")
    attributes = {"verb": verb, "group": group, "resource": kind, "subresource": subresource}
    namespace, name = place
    body = {"spec": {"resourceAttributes": attributes | {"namespace": namespace, "name": name}}}
    answer = await api.request(
        "POST", "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews", body=msgspec.json.encode(body)
    )
    return msgspec.json.decode(answer, type=_Review).status.allowed


def _shown(verb: str, group: str, resource: str, place: Place) -> str:
    namespace, name = place
    where = f" in {namespace}" if namespace else ""
    return f"{verb} {resource}{'.' + group if group else ''}{' ' + name if name else ''}{where}"


async def _rights(api: Transport) -> set[str]:
    """The widest form of each right that the identity has."""
    resources = await _served(api) | _of_other_projects()
    asked = [(verb, *resource) for resource in resources for verb in VERBS]
    for qualified, verbs in SPECIAL.items():
        resource, _, group = qualified.partition(".")
        asked += [(verb, group, resource) for verb in verbs]
    gate = asyncio.Semaphore(IN_FLIGHT)

    async def held(verb: str, group: str, resource: str) -> str | None:
        async with gate:
            for place in PLACES:
                if await _may(api, verb, group, resource, place):
                    return _shown(verb, group, resource, place)
        return None

    return {right for right in await asyncio.gather(*(held(*one) for one in asked)) if right is not None}


@pytest.mark.parametrize("identity", ["stowplan", "stowplan-agent", "node-actor"])
async def test_the_rights_are_the_listed_ones(cluster: Cluster, identity: Identity) -> None:
    lines = (LISTS / f"rights-of-{identity}.txt").read_text().splitlines()
    listed = {line for line in lines if line and not line.startswith("#")}
    async with _transport(cluster, identity) as api:
        assert await _rights(api) == listed


async def test_an_unknown_token_is_nobody(cluster: Cluster, tmp_path: Path) -> None:
    text = cluster.kubeconfig("admin").read_text()
    token = text[text.index("token: ") :].split()[1]
    forged = tmp_path / "kubeconfig"
    forged.write_text(text.replace(token, token[:-1] + ("A" if token[-1] != "A" else "B")))
    async with Transport(Endpoint.from_kubeconfig(forged), connections_max=1) as api:
        with pytest.raises(Unauthorized):
            await api.request("GET", "/api/v1/nodes")


def test_keys_and_tokens_are_their_owners_only(cluster: Cluster) -> None:
    assert cluster.directory.stat().st_mode & 0o077 == 0
    secrets = [cluster.directory / "tokens.csv", *cluster.directory.glob("pki/*.key")]
    secrets += cluster.directory.glob("kubeconfigs/*")
    assert len(secrets) == 9
    assert [file.name for file in secrets if file.stat().st_mode & 0o077] == []

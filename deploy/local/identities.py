"""Who may ask the local API server, as whom: one bearer token and one kubeconfig an identity."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, Literal, get_args

import yaml

Identity = Literal[
    "admin", "stowplan", "stowplan-agent", "node-actor", "kube-scheduler", "kube-controller-manager"
]

#: User and groups. Only the harness and a person with kubectl are admin; the scheduler is the service
#: account that a cluster would give it, so what RBAC refuses there is refused here.
USERS: Final[Mapping[Identity, tuple[str, tuple[str, ...]]]] = {
    "admin": ("stowplan-local-admin", ("system:masters",)),
    "stowplan": (
        "system:serviceaccount:stowplan-system:stowplan",
        ("system:serviceaccounts", "system:serviceaccounts:stowplan-system"),
    ),
    "stowplan-agent": (
        "system:serviceaccount:stowplan-system:stowplan-agent",
        ("system:serviceaccounts", "system:serviceaccounts:stowplan-system"),
    ),
    "node-actor": ("stowplan:node-actor", ()),
    "kube-scheduler": ("system:kube-scheduler", ()),
    "kube-controller-manager": ("system:kube-controller-manager", ()),
}
IDENTITIES: Final[tuple[Identity, ...]] = get_args(Identity)


def write_tokens(file: Path, token: Callable[[], str]) -> dict[Identity, str]:
    """The API server's --token-auth-file, with a fresh token for each identity."""
    tokens = {identity: token() for identity in IDENTITIES}
    lines = []
    for identity, (user, groups) in USERS.items():
        quoted = f',"{",".join(groups)}"' if groups else ""
        lines.append(f"{tokens[identity]},{user},{identity}{quoted}\n")
    file.touch(mode=0o600)
    file.write_text("".join(lines))
    return tokens


def read_tokens(file: Path) -> dict[Identity, str]:
    """What ``write_tokens`` wrote."""
    fields = [line.split(",", 3) for line in file.read_text().splitlines()]
    by_name = {name: token for token, _, name, *_ in fields}
    return {identity: by_name[identity] for identity in IDENTITIES}


def write_kubeconfig(file: Path, *, name: str, url: str, ca: bytes, user: str, token: str) -> None:
    """A kubeconfig that needs no other file."""
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [
            {
                "name": name,
                "cluster": {"server": url, "certificate-authority-data": base64.b64encode(ca).decode()},
            }
        ],
        "users": [{"name": user, "user": {"token": token}}],
        "contexts": [{"name": f"{user}@{name}", "context": {"cluster": name, "user": user}}],
        "current-context": f"{user}@{name}",
    }
    file.touch(mode=0o600)
    file.write_text(yaml.safe_dump(document, sort_keys=False))

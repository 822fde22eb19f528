"""Where the API server is and who we are there.

Plain kubeconfigs (token, token file, client certificate) are read here, because importing the generated
client costs a third of a second of start-up. Exec plugins and auth providers go through it.
"""

from __future__ import annotations

import base64
import binascii
import os
import ssl
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import msgspec

from scheduler.kube.errors import EndpointError

__all__ = ["Endpoint", "EndpointError"]

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
FILE_BYTES_MAX = 16 * 2**20


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """An API server and a way to be known there.

    base_url: without a trailing slash. tls: None for plain HTTP. token: the bearer token now, None to
    send none; it may block, and raises EndpointError. is_refreshing: whether the token can change.
    server_hostname: the name to check the certificate against, if not the URL's.
    """

    base_url: str
    tls: ssl.SSLContext | None = None
    token: Callable[[], str | None] = lambda: None
    is_refreshing: bool = False
    server_hostname: str | None = None
    proxy: str | None = None

    @staticmethod
    def default(kubeconfig: str | Path | None = None, context: str | None = None) -> Endpoint:
        """The kubeconfig given, else $KUBECONFIG, else in-cluster, else ~/.kube/config.

        Raises EndpointError.
        """
        named = str(kubeconfig) if kubeconfig else os.environ.get("KUBECONFIG", "")
        files = [path for path in named.split(os.pathsep) if path]
        if len(files) > 1:
            raise EndpointError("KUBECONFIG names several files; give --kubeconfig FILE")
        if files:
            return Endpoint.from_kubeconfig(files[0], context)
        if os.environ.get("KUBERNETES_SERVICE_HOST") and (SERVICE_ACCOUNT / "token").exists():
            return Endpoint.in_cluster()
        home = Path.home() / ".kube" / "config"
        if home.exists():
            return Endpoint.from_kubeconfig(home, context)
        raise EndpointError("no cluster: give --kubeconfig FILE, set KUBECONFIG, or run inside a cluster")

    @staticmethod
    def in_cluster(folder: Path = SERVICE_ACCOUNT) -> Endpoint:
        """The service account of the pod this process runs in. Raises EndpointError outside of one."""
        address = os.environ.get("KUBERNETES_SERVICE_HOST")
        if not address:
            raise EndpointError("not inside a cluster: KUBERNETES_SERVICE_HOST is not set")
        port = os.environ.get("KUBERNETES_SERVICE_PORT", "443")
        bracketed = f"[{address}]" if ":" in address else address
        return Endpoint(
            base_url=f"https://{bracketed}:{port}",
            tls=_trusting(None, str(folder / "ca.crt")),
            token=_token_file(folder / "token"),
            is_refreshing=True,
        )

    @staticmethod
    def from_kubeconfig(path: str | Path, context: str | None = None) -> Endpoint:
        """The cluster and user of a context, by default the file's current one. Raises EndpointError."""
        file = Path(path)
        config = _read(file)
        wanted = context or config.current_context
        chosen = _named(config.contexts, wanted, f"{file}: contexts").context
        cluster = _named(config.clusters, chosen.cluster, f"{file}: clusters").cluster
        user = _named(config.users, chosen.user, f"{file}: users").user if chosen.user else _User()
        if user.exec is not None or user.auth_provider is not None:
            return _through_client(file, wanted)
        if user.username:
            raise EndpointError(f"{file}: basic authentication is no longer part of Kubernetes; use a token")
        try:
            return _plain(cluster, user, file.parent)
        except (OSError, ValueError, binascii.Error) as error:
            raise EndpointError(f"{file}: context {wanted!r}: {error}") from error


class _Kebab(msgspec.Struct, rename="kebab", frozen=True):
    pass


class _Cluster(_Kebab, frozen=True):
    server: str = ""
    certificate_authority: str = ""
    certificate_authority_data: str = ""
    insecure_skip_tls_verify: bool = False
    tls_server_name: str = ""
    proxy_url: str = ""


class _User(_Kebab, frozen=True):
    client_certificate: str = ""
    client_certificate_data: str = ""
    client_key: str = ""
    client_key_data: str = ""
    token: str = ""
    token_file: str = msgspec.field(name="tokenFile", default="")
    username: str = ""
    exec: Mapping[str, object] | None = None
    auth_provider: Mapping[str, object] | None = None


class _Context(_Kebab, frozen=True):
    cluster: str = ""
    user: str = ""


class _NamedCluster(_Kebab, frozen=True):
    name: str
    cluster: _Cluster = _Cluster()


class _NamedUser(_Kebab, frozen=True):
    name: str
    user: _User = _User()


class _NamedContext(_Kebab, frozen=True):
    name: str
    context: _Context = _Context()


class _Config(_Kebab, frozen=True):
    current_context: str = ""
    clusters: tuple[_NamedCluster, ...] | None = ()
    users: tuple[_NamedUser, ...] | None = ()
    contexts: tuple[_NamedContext, ...] | None = ()


def _read(file: Path) -> _Config:
    import yaml  # Only here: an agent or scheduler in a cluster never reads a kubeconfig.

    try:
        if file.stat().st_size > FILE_BYTES_MAX:
            raise EndpointError(f"{file}: larger than {FILE_BYTES_MAX} bytes")
        document: object = yaml.load(file.read_bytes(), getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        return msgspec.convert(document, _Config)
    except (OSError, yaml.YAMLError, msgspec.ValidationError) as error:
        raise EndpointError(f"{file}: {error}") from error


Named = TypeVar("Named", _NamedCluster, _NamedUser, _NamedContext)


def _named(entries: tuple[Named, ...] | None, name: str, place: str) -> Named:
    for entry in entries or ():
        if entry.name == name:
            return entry
    known = ", ".join(entry.name for entry in entries or ()) or "none"
    raise EndpointError(f"{place}: no entry named {name!r} (there are: {known})")


def _plain(cluster: _Cluster, user: _User, folder: Path) -> Endpoint:
    scheme, _, rest = cluster.server.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise ValueError(f"server {cluster.server!r} is not an http or https URL")
    tls = _tls(cluster, user, folder) if scheme == "https" else None
    static = user.token or None
    return Endpoint(
        base_url=cluster.server.rstrip("/"),
        tls=tls,
        token=_token_file(folder / user.token_file) if user.token_file else lambda: static,
        is_refreshing=bool(user.token_file),
        server_hostname=cluster.tls_server_name or None,
        proxy=cluster.proxy_url or None,
    )


def _tls(cluster: _Cluster, user: _User, folder: Path) -> ssl.SSLContext:
    if cluster.certificate_authority_data:
        tls = _trusting(_decoded(cluster.certificate_authority_data).decode(), None)
    elif cluster.certificate_authority:
        tls = _trusting(None, str(folder / cluster.certificate_authority))
    else:
        tls = _trusting(None, None)
    if cluster.insecure_skip_tls_verify:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    certificate = _pem(user.client_certificate_data, user.client_certificate, folder)
    if certificate:
        _present(tls, certificate + b"\n" + _pem(user.client_key_data, user.client_key, folder))
    return tls


def _trusting(authority: str | None, file: str | None) -> ssl.SSLContext:
    try:
        tls = ssl.create_default_context(cadata=authority, cafile=file)
    except (OSError, ValueError) as error:
        raise EndpointError(f"certificate authority {file or 'in the kubeconfig'}: {error}") from error
    # Hand-made cluster authorities often lack the extensions that Python 3.13 began to insist on.
    tls.verify_flags &= ~ssl.VERIFY_X509_STRICT
    return tls


def _pem(data: str, file: str, folder: Path) -> bytes:
    if data:
        return _decoded(data)
    return (folder / file).read_bytes() if file else b""


def _decoded(data: str) -> bytes:
    # Strictly: what decodes to nothing would silently mean the system's authorities.
    return base64.b64decode("".join(data.split()), validate=True)


def _present(tls: ssl.SSLContext, pem: bytes) -> None:
    # OpenSSL reads client certificates from files only; this one is private and gone at once.
    with tempfile.NamedTemporaryFile(suffix=".pem") as file:
        file.write(pem)
        file.flush()
        tls.load_cert_chain(file.name)


def _token_file(file: Path) -> Callable[[], str]:
    def read() -> str:
        try:
            return file.read_text().strip()
        except OSError as error:
            raise EndpointError(f"token file {file}: {error}") from error

    return read


def _through_client(file: Path, context: str) -> Endpoint:
    """Through the synchronous half of ``kubernetes``: it runs an exec plugin again once its token expired."""
    from kubernetes import client, config

    settings = client.Configuration()
    try:
        config.load_kube_config(  # type: ignore[no-untyped-call] # the client has no types
            config_file=str(file), context=context, client_configuration=settings, persist_config=False
        )
    except (config.ConfigException, OSError, ValueError) as error:
        raise EndpointError(f"{file}: context {context!r}: {error}") from error
    url = str(settings.host).rstrip("/")
    tls = _trusting(None, settings.ssl_ca_cert) if url.startswith("https:") else None
    if tls is not None and not settings.verify_ssl:
        tls.check_hostname = False
        tls.verify_mode = ssl.CERT_NONE
    if tls is not None and settings.cert_file:
        tls.load_cert_chain(settings.cert_file, settings.key_file)

    def token() -> str | None:
        try:
            bearer = settings.auth_settings().get("BearerToken", {}).get("value")
        except (config.ConfigException, OSError, ValueError) as error:
            raise EndpointError(f"{file}: context {context!r}: {error}") from error
        return str(bearer).removeprefix("Bearer ").strip() if bearer else None

    return Endpoint(
        base_url=url,
        tls=tls,
        token=token,
        is_refreshing=True,
        server_hostname=settings.tls_server_name or None,
        proxy=settings.proxy or None,
    )

"""Kubeconfigs: which cluster, which identity, and an error that names the file and the field."""

from __future__ import annotations

import base64
import datetime
import json
import ssl
import stat
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from scheduler.kube.endpoint import Endpoint, EndpointError

Entry = dict[str, object]


def certificate() -> tuple[str, str]:
    """A self-signed certificate and its key, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=36500))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return made.public_bytes(serialization.Encoding.PEM).decode(), private.decode()


CERTIFICATE, KEY = certificate()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def kubeconfig(
    folder: Path, *, user: Entry, cluster: Entry | None = None, server: str = "https://a:6443"
) -> Path:
    """A kubeconfig with a second context, ``other``, without a user."""
    file = folder / "config"
    document = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "main",
        "contexts": [
            {"name": "main", "context": {"cluster": "c", "user": "u", "namespace": "n"}},
            {"name": "other", "context": {"cluster": "plain"}},
            {"name": "broken", "context": {"cluster": "absent"}},
        ],
        "clusters": [
            {"name": "c", "cluster": {"server": "https://a:6443", **(cluster or {})}},
            {"name": "plain", "cluster": {"server": "http://127.0.0.1:8001/prefix/"}},
        ],
        "users": [{"name": "u", "user": user}],
        "preferences": {},
    }
    file.write_text(json.dumps(document))
    return file


def test_a_static_token_and_an_authority_in_the_file(tmp_path: Path) -> None:
    authority: Entry = {"certificate-authority-data": encoded(CERTIFICATE), "tls-server-name": "api"}
    found = Endpoint.from_kubeconfig(kubeconfig(tmp_path, user={"token": "t"}, cluster=authority))
    assert (found.base_url, found.token(), found.is_refreshing) == ("https://a:6443", "t", False)
    assert found.server_hostname == "api"
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_REQUIRED
    assert len(found.tls.get_ca_certs()) == 1, "the cluster's authority and no other"


def test_files_are_found_beside_the_kubeconfig(tmp_path: Path) -> None:
    for name, text in (("ca.pem", CERTIFICATE), ("me.pem", CERTIFICATE), ("me.key", KEY)):
        (tmp_path / name).write_text(text)
    user: Entry = {"client-certificate": "me.pem", "client-key": "me.key"}
    found = Endpoint.from_kubeconfig(
        kubeconfig(tmp_path, user=user, cluster={"certificate-authority": "ca.pem"})
    )
    assert found.token() is None
    assert found.tls is not None


def test_a_client_certificate_in_the_file_leaves_nothing_on_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(scratch))
    user: Entry = {"client-certificate-data": encoded(CERTIFICATE), "client-key-data": encoded(KEY)}
    found = Endpoint.from_kubeconfig(
        kubeconfig(tmp_path, user=user, cluster={"insecure-skip-tls-verify": True})
    )
    assert found.tls is not None
    assert found.tls.verify_mode is ssl.CERT_NONE
    assert list(scratch.iterdir()) == []


def test_a_token_file_is_read_each_time(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("one\n")
    found = Endpoint.from_kubeconfig(kubeconfig(tmp_path, user={"tokenFile": "token"}))
    assert found.is_refreshing
    assert found.token() == "one"
    (tmp_path / "token").write_text("two")
    assert found.token() == "two"
    (tmp_path / "token").unlink()
    with pytest.raises(EndpointError, match="token file"):
        found.token()


def test_another_context_and_a_server_behind_a_prefix(tmp_path: Path) -> None:
    found = Endpoint.from_kubeconfig(kubeconfig(tmp_path, user={"token": "t"}), "other")
    assert (found.base_url, found.tls, found.token()) == ("http://127.0.0.1:8001/prefix", None, None)


def test_an_exec_plugin_gives_the_token(tmp_path: Path) -> None:
    plugin = tmp_path / "plugin"
    credential = {
        "apiVersion": "client.authentication.k8s.io/v1",
        "kind": "ExecCredential",
        "status": {"token": "from-plugin"},
    }
    plugin.write_text(f"#!/bin/sh\necho '{json.dumps(credential)}'\n")
    plugin.chmod(plugin.stat().st_mode | stat.S_IXUSR)
    user: Entry = {
        "exec": {
            "apiVersion": "client.authentication.k8s.io/v1",
            "command": str(plugin),
            "interactiveMode": "Never",
        }
    }
    found = Endpoint.from_kubeconfig(kubeconfig(tmp_path, user=user, cluster={"server": "http://a:80"}))
    assert (found.base_url, found.token(), found.is_refreshing) == ("http://a:80", "from-plugin", True)


@pytest.mark.parametrize(
    ("user", "cluster", "context", "told"),
    [
        (
            {"token": "t"},
            {},
            "absent",
            "contexts: no entry named 'absent' \\(there are: main, other, broken\\)",
        ),
        ({"token": "t"}, {}, "broken", "clusters: no entry named 'absent'"),
        ({"username": "u", "password": "p"}, {}, None, "basic authentication"),
        ({"token": 5}, {}, None, "token"),
        ({"token": "t"}, {"server": "a:6443"}, None, "server 'a:6443'"),
        ({"token": "t"}, {"certificate-authority-data": "!!"}, None, "context 'main'"),
        ({"token": "t"}, {"certificate-authority-data": encoded("junk")}, None, "certificate authority"),
        ({"token": "t"}, {"certificate-authority": "absent.pem"}, None, "certificate authority"),
        ({"client-certificate": "absent.pem"}, {}, None, "absent.pem"),
        ({"client-certificate-data": encoded("junk"), "client-key-data": ""}, {}, None, "context 'main'"),
    ],
)
def test_what_is_wrong_is_named(
    tmp_path: Path, user: Entry, cluster: Entry, context: str | None, told: str
) -> None:
    with pytest.raises(EndpointError, match=told):
        Endpoint.from_kubeconfig(kubeconfig(tmp_path, user=user, cluster=cluster), context)


@pytest.mark.parametrize("text", ["", "[]", "a: [", "\x00", "users: 5"])
def test_a_file_that_is_no_kubeconfig_is_named(tmp_path: Path, text: str) -> None:
    (tmp_path / "config").write_text(text)
    with pytest.raises(EndpointError, match="config"):
        Endpoint.from_kubeconfig(tmp_path / "config")


def test_the_default_is_the_argument_then_the_variable_then_the_pod_then_home(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("KUBECONFIG", "KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(EndpointError, match="no cluster"):
        Endpoint.default()
    (tmp_path / ".kube").mkdir()
    kubeconfig(tmp_path / ".kube", user={"token": "home"})
    assert Endpoint.default().token() == "home"
    (tmp_path / "variable").mkdir()
    monkeypatch.setenv("KUBECONFIG", str(kubeconfig(tmp_path / "variable", user={"token": "variable"})))
    assert Endpoint.default().token() == "variable"
    (tmp_path / "argument").mkdir()
    assert (
        Endpoint.default(kubeconfig(tmp_path / "argument", user={"token": "argument"})).token() == "argument"
    )


def test_in_a_pod_the_service_account_speaks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ca.crt").write_text(CERTIFICATE)
    (tmp_path / "token").write_text("projected")
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "fd00::1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    found = Endpoint.in_cluster(tmp_path)
    assert (found.base_url, found.token(), found.is_refreshing) == (
        "https://[fd00::1]:443",
        "projected",
        True,
    )
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST")
    with pytest.raises(EndpointError, match="not inside a cluster"):
        Endpoint.in_cluster(tmp_path)

"""The command line of each component."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, Literal, get_args

Component = Literal["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler"]
COMPONENTS: Final[tuple[Component, ...]] = get_args(Component)

#: The gate behind scheduling.k8s.io PodGroups in 1.37.
FEATURE_GATES: Final = "GenericWorkload=true"
SERVICE_RANGE: Final = "10.96.0.0/16"
#: High enough that neither tests nor benchmarks measure the API server's own throttling.
REQUESTS_IN_FLIGHT_MAX: Final = 4_000
MUTATING_IN_FLIGHT_MAX: Final = 2_000
#: What turns Jobs, Deployments and StatefulSets into pods, binds their volumes, and cleans up after them.
CONTROLLERS: Final = (
    "job-controller",
    "garbage-collector-controller",
    "namespace-controller",
    "statefulset-controller",
    "deployment-controller",
    "replicaset-controller",
    "ttl-after-finished-controller",
    "disruption-controller",
    "serviceaccount-controller",
    "podgroup-protection-controller",
    "persistentvolume-binder-controller",
    "ephemeral-volume-controller",
)


def etcd() -> list[str]:
    """On sockets in the cluster's directory: no port to find, and only its owner can connect.

    Without fsync: an end of the process loses nothing, only an end of the machine does.
    """
    return [
        "etcd",
        "--data-dir=etcd",
        "--unsafe-no-fsync",
        "--listen-client-urls=unix://etcd.sock",
        "--advertise-client-urls=unix://etcd.sock",
        "--listen-peer-urls=unix://peer.sock",
        "--initial-advertise-peer-urls=unix://peer.sock",
        "--initial-cluster=default=unix://peer.sock",
        "--log-level=warn",
    ]


def kube_apiserver(*, port: int, has_service_accounts: bool) -> list[str]:
    """On loopback with TLS and RBAC. Pods need a service account only where something makes them."""
    admission = [] if has_service_accounts else ["--disable-admission-plugins=ServiceAccount"]
    return [
        "kube-apiserver",
        "--etcd-servers=unix://etcd.sock",
        "--bind-address=127.0.0.1",
        f"--secure-port={port}",
        "--tls-cert-file=pki/apiserver.crt",
        "--tls-private-key-file=pki/apiserver.key",
        "--authorization-mode=RBAC",
        "--anonymous-auth=false",
        "--token-auth-file=tokens.csv",
        "--service-account-issuer=https://kubernetes.default.svc",
        "--service-account-key-file=pki/sa.pub",
        "--service-account-signing-key-file=pki/sa.key",
        f"--service-cluster-ip-range={SERVICE_RANGE}",
        "--endpoint-reconciler-type=none",
        f"--feature-gates={FEATURE_GATES}",
        "--runtime-config=scheduling.k8s.io/v1beta1=true",
        f"--max-requests-inflight={REQUESTS_IN_FLIGHT_MAX}",
        f"--max-mutating-requests-inflight={MUTATING_IN_FLIGHT_MAX}",
        *admission,
    ]


def kube_controller_manager(kubeconfig: Path) -> list[str]:
    """Each controller under its own service account, with its bootstrap role."""
    return [
        "kube-controller-manager",
        f"--kubeconfig={kubeconfig}",
        f"--controllers={','.join(CONTROLLERS)}",
        f"--feature-gates={FEATURE_GATES}",
        "--use-service-account-credentials=true",
        "--leader-elect=false",
        "--secure-port=0",
        "--kube-api-qps=1000",
        "--kube-api-burst=2000",
    ]


def kube_scheduler(kubeconfig: Path) -> list[str]:
    """The default scheduler, for the pods that name no other."""
    return [
        "kube-scheduler",
        f"--kubeconfig={kubeconfig}",
        f"--feature-gates={FEATURE_GATES}",
        "--leader-elect=false",
        "--secure-port=0",
    ]


def optional(names: Sequence[str]) -> tuple[Component, ...]:
    """The components to run beside etcd and the API server. ``kube-`` may be left out.

    Raises: ValueError for a name that is none of them.
    """
    found: list[Component] = []
    for name in names:
        full = name if name.startswith("kube-") else f"kube-{name}"
        known = next((c for c in COMPONENTS[2:] if c == full), None)
        if known is None:
            choices = ", ".join(c.removeprefix("kube-") for c in COMPONENTS[2:])
            raise ValueError(f"no component {name!r}; choose from {choices}")
        found.append(known)
    return tuple(dict.fromkeys(found))

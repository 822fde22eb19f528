"""Names of pods for pods: an /etc/hosts for each namespace, in which every pod's process finds the others.

Stands in for cluster DNS: a pod answers to its own name, as behind a headless Service of that name
(Kubeflow makes one for each replica), and to HOSTNAME.SUBDOMAIN, as a StatefulSet's or an indexed Job's
pods do; each also as NAME.NAMESPACE, NAME.NAMESPACE.svc and NAME.NAMESPACE.svc.cluster.local.
"""

from __future__ import annotations

import os
from pathlib import Path

from deploy.local.nodes.wire import NodePod

_SUFFIXES = ("", ".{0}", ".{0}.svc", ".{0}.svc.cluster.local")
_HEAD = "127.0.0.1 localhost"


class Names:
    """``directory`` gets one file for each namespace; a process mounts it over its own /etc/hosts."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lines: dict[str, dict[str, str]] = {}

    def add(self, pod: NodePod, ip: str) -> Path:
        """Make the pod known to its namespace; the file its process shall see."""
        namespace = pod.metadata.namespace
        known = self._lines.setdefault(namespace, {})
        known[pod.uid] = f"{ip} {' '.join(names_of(pod))}"
        return self._write(namespace)

    def remove(self, namespace: str, uid: str) -> None:
        if self._lines.get(namespace, {}).pop(uid, None) is not None:
            self._write(namespace)

    def _write(self, namespace: str) -> Path:
        """In place, since the file is mounted; padded, since a reader may look while it is written."""
        self._directory.mkdir(parents=True, exist_ok=True)
        file = self._directory / namespace
        text = "\n".join((_HEAD, *self._lines[namespace].values(), "")).encode()
        number = os.open(file, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            os.pwrite(number, text.ljust(os.fstat(number).st_size, b"\n"), 0)
        finally:
            os.close(number)
        return file


def names_of(pod: NodePod) -> tuple[str, ...]:
    """All names of the pod, the longest last."""
    bare = [pod.metadata.name]
    if pod.spec.subdomain:
        bare.append(f"{pod.spec.hostname or pod.metadata.name}.{pod.spec.subdomain}")
    return tuple(name + suffix.format(pod.metadata.namespace) for name in bare for suffix in _SUFFIXES)

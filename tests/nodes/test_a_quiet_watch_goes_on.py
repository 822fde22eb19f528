"""What an API server sends when nothing happens for a minute."""

from __future__ import annotations

from deploy.local.nodes.watch import bookmarked


def test_a_bookmark_is_a_pod_with_nothing_but_a_version() -> None:
    """As kube-apiserver writes it; read as a pod, it ended the actor's watch once."""
    head = (
        b'{"kind": "Pod", "apiVersion": "v1", "metadata": {"resourceVersion": "7", "creationTimestamp": null}'
    )
    assert bookmarked(head + b', "spec": {"containers": null}, "status": {}}') == "7"

"""Every object of the chart, against the API's own schemas of each Kubernetes that it may be installed on."""

from __future__ import annotations

import copy
import random

import kubernetes_validate
import pytest

from deploy.local import helm
from tests.deploy.documents import Json, of_kind, parsed

VERSIONS = ("1.35", "1.36", "1.37")
#: All that the chart can bring but objects of the Prometheus Operator, whose schemas are not Kubernetes' own.
EVERYTHING: Json = {
    "image": {"digests": {"scheduler": f"sha256:{'0' * 64}", "agent": f"sha256:{'1' * 64}"}},
    "imagePullSecrets": [{"name": "registry"}],
    "scheduler": {
        "nodeSelector": {"kubernetes.io/os": "linux"},
        "tolerations": [{"key": "control-plane", "operator": "Exists"}],
        "config": {
            "policy": {"cordon": {"enabled": True}},
            "provisioning": {},
            "teams": {"gpuUnits": {"h100": 2.5}},
        },
    },
    "agent": {
        "pools": [
            {"name": "nvidia", "runtimeClassName": "nvidia", "nodeLabels": ["a=b", "c"], "env": {"X": "1"}},
            {"name": "other", "nodeLabels": ["d"]},
        ]
    },
    "admission": {"otherSchedulers": ["system:kube-scheduler", "system:serviceaccount:v:s"]},
    "monitoring": {"dashboards": True},
}


@pytest.mark.parametrize("values", [{}, EVERYTHING], ids=["defaults", "everything"])
@pytest.mark.parametrize("version", VERSIONS)
def test_every_object_is_valid(version: str, values: Json) -> None:
    documents = parsed(helm.template(values, kube_version=f"{version}.0"))
    assert {"CustomResourceDefinition", "ValidatingAdmissionPolicy", "Deployment", "DaemonSet"} <= {
        document["kind"] for document in documents
    }
    for document in documents:
        kubernetes_validate.validate(document, version, strict=True)


@pytest.mark.parametrize("version", VERSIONS)
def test_a_field_that_is_not_there_is_found(version: str) -> None:
    """The schemas are strict at every level: a word added anywhere to a workload is refused."""
    documents = parsed(helm.template(EVERYTHING, kube_version=f"{version}.0"))
    rng = random.Random(7)
    for document in of_kind(documents, "Deployment", "DaemonSet", "PodDisruptionBudget", "Service"):
        wrong = copy.deepcopy(document)
        inner = wrong["spec"]
        while (
            below := [v for k, v in inner.items() if isinstance(v, dict) and k not in FREE]
        ) and rng.random() < 0.7:
            inner = rng.choice(below)
        inner["replicaz"] = 1
        with pytest.raises(kubernetes_validate.ValidationError):
            kubernetes_validate.validate(wrong, version, strict=True)


#: Where any key may stand.
FREE = frozenset({"matchLabels", "labels", "annotations", "nodeSelector", "limits", "requests", "selector"})


def test_an_older_kubernetes_is_refused_by_name() -> None:
    with pytest.raises(helm.HelmRefused, match=r"kubeVersion: >=1\.35"):
        helm.template(kube_version="1.34.9")

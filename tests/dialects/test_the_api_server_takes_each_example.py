"""docs/examples against the real schemas: no field that an API server does not know, none of a wrong type."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from deploy.local import manifests
from deploy.local.cluster import running_cluster_async
from deploy.local.frameworks.operator import ensure_operator
from scheduler.kube.transport import ApiError, Endpoint, NotFound, Transport
from tests.dialects.controllers import Manifest
from tests.dialects.examples import EXAMPLES, documents, text

#: Kinds whose schemas are here: Kubernetes' own, coscheduling's, and those of Kubeflow's operator.
SERVED: Final = frozenset(
    {
        ("v1", "Pod"),
        ("apps/v1", "Deployment"),
        ("apps/v1", "ReplicaSet"),
        ("apps/v1", "StatefulSet"),
        ("batch/v1", "Job"),
        ("scheduling.k8s.io/v1beta1", "PodGroup"),
        ("scheduling.x-k8s.io/v1alpha1", "PodGroup"),
        ("kubeflow.org/v1", "MPIJob"),
        ("kubeflow.org/v1", "PaddleJob"),
        ("kubeflow.org/v1", "PyTorchJob"),
        ("kubeflow.org/v1", "TFJob"),
        ("kubeflow.org/v1", "XGBoostJob"),
    }
)


def _path(document: Manifest) -> str:
    version, plural = document["apiVersion"], f"{document['kind'].lower()}s"
    root = "/api/v1" if version == "v1" else f"/apis/{version}"
    return f"{root}/namespaces/default/{plural}"


async def _taken(admin: Transport, document: Manifest) -> bool:
    """Whether the API server takes the object, strictly read and not kept; False where it has no such API.

    Raises: ApiError with the field that is wrong.
    """
    strictly = {"dryRun": "All", "fieldValidation": "Strict"}
    try:
        await admin.request("POST", _path(document), body=msgspec.json.encode(document), params=strictly)
    except NotFound:
        return False
    return True


async def test_no_example_has_a_field_that_its_api_does_not_know() -> None:
    async with running_cluster_async() as cluster:
        async with Transport(Endpoint.from_kubeconfig(cluster.admin_kubeconfig), user_agent="tests") as admin:
            definitions = sorted((ensure_operator() / "crds").glob("*.yaml"))
            await manifests.apply(admin, definitions)
            await manifests.until_served(
                admin,
                [
                    f"/apis/kubeflow.org/v1/{kind.lower()}s"
                    for version, kind in SERVED
                    if "kubeflow" in version
                ],
            )
            taken = set()
            for file in EXAMPLES:
                for document in documents(text(file)):
                    if await _taken(admin, document):
                        taken.add((document["apiVersion"], document["kind"]))
            assert taken == SERVED
            await _refuses_a_misspelt_field(admin)


async def _refuses_a_misspelt_field(admin: Transport) -> None:
    """The check can fail: one letter less in the line that matters, and nothing is taken."""
    for file in ("job/independent.yaml", "pytorchjob/simple.yaml"):
        for document in documents(text(file).replace("schedulerName:", "schedulrName:")):
            with pytest.raises(ApiError, match="schedulrName"):
                await _taken(admin, document)

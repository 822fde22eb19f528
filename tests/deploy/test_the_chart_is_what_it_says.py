"""The chart as text: Helm lints it, its schema is its model's, and its rules are the plain manifests'."""

from __future__ import annotations

import pytest
import yaml

from deploy.local import helm
from deploy.local.cluster import Cluster
from deploy.local.manifests import DEPLOY
from deploy.values import SCHEMA, Values, schema_text
from scheduler.live.config import parse
from tests.deploy.documents import Json, kubectl, named, of_kind, parsed

NOT_PLAIN = (
    "ConfigMap",
    "Deployment",
    "DaemonSet",
    "Service",
    "PodDisruptionBudget",
    "CustomResourceDefinition",
)


def test_helm_finds_nothing_to_say() -> None:
    assert "1 chart(s) linted, 0 chart(s) failed" in helm.run(["lint", "--strict", str(helm.CHART)])


def test_the_schema_and_the_values_are_the_models() -> None:
    assert SCHEMA.read_text(encoding="utf-8") == schema_text(), "run python -m deploy.values"
    written = yaml.safe_load((helm.CHART / "values.yaml").read_text(encoding="utf-8"))
    assert Values.model_validate(written) == Values()


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"scheduler": {"replica": 3}}, "replica"),
        ({"scheduler": {"config": {"policy": {"strategy": "best"}}}}, "strategy"),
        ({"scheduler": {"config": {"leaderElection": {"name": "mine"}}}}, "name"),
        ({"image": {"digests": {"agent": "latest"}}}, "agent"),
        ({"agent": {"pools": [{"name": "x"}]}}, "nodeLabels"),
    ],
)
def test_a_wrong_value_is_refused_by_name(values: Json, field: str) -> None:
    with pytest.raises(helm.HelmRefused, match=field):
        helm.template(values)


def test_the_charts_rules_are_the_plain_ones(documents: list[Json]) -> None:
    """One source: what ``kubectl apply`` installs and local clusters run under is what Helm installs."""
    plain = [
        document
        for folder in ("rbac", "admission")
        for file in sorted((DEPLOY / folder).glob("*.yaml"))
        for document in parsed(file.read_text(encoding="utf-8"))
        if document["kind"] != "Namespace"
    ]
    found = [document for document in documents if document["kind"] not in NOT_PLAIN]
    for document in found:
        del document["metadata"]["labels"]
    assert sorted(map(_text, found)) == sorted(map(_text, plain))


@pytest.mark.parametrize(
    ("name", "on", "off"),
    [
        ("cordon", {"policy": {"cordon": {"enabled": True}}}, {"policy": {"cordon": {"enabled": False}}}),
        ("provisioning", {"provisioning": {}}, {"provisioning": None}),
    ],
)
def test_an_optional_right_comes_with_the_configuration_that_needs_it(
    documents: list[Json], name: str, on: Json, off: Json
) -> None:
    """Without it the charts' rules are the plain ones (above); with it, those and these."""
    plain = parsed((DEPLOY / "optional" / f"{name}.yaml").read_text(encoding="utf-8"))
    with_it = parsed(helm.template({"scheduler": {"config": on}}))
    known = {(one["kind"], one["metadata"]["name"]) for one in documents}
    found = [one for one in with_it if (one["kind"], one["metadata"]["name"]) not in known]
    for document in found:
        del document["metadata"]["labels"]
    assert sorted(map(_text, found)) == sorted(map(_text, plain))
    without = parsed(helm.template({"scheduler": {"config": off}}))
    assert {(one["kind"], one["metadata"]["name"]) for one in without} == known


def test_each_image_is_named_by_its_own_digest() -> None:
    digests = {"scheduler": f"sha256:{'a' * 64}", "agent": f"sha256:{'b' * 64}"}
    found = parsed(helm.template({"image": {"repository": "r/stowplan", "digests": digests}}))
    images = {
        container["image"]
        for one in of_kind(found, "Deployment", "DaemonSet")
        for container in one["spec"]["template"]["spec"]["containers"]
    }
    assert images == {f"r/stowplan-{target}@{digest}" for target, digest in digests.items()}


def test_another_namespace_and_name_reach_every_rule() -> None:
    text = helm.template({"scheduler": {"config": {"schedulerName": "gpus"}}}, namespace="elsewhere")
    assert "stowplan-system" not in "\n".join(
        line for line in text.splitlines() if not line.lstrip().startswith("#")
    )
    config = parse(named(parsed(text), "ConfigMap", "stowplan")["data"]["stowplan.yaml"].encode(), "rendered")
    assert (config.scheduler_name, config.leader_election.namespace) == ("gpus", "elsewhere")
    policy = named(parsed(text), "ValidatingAdmissionPolicy", "stowplan-pods")
    assert "schedulerName != 'gpus'" in policy["spec"]["validations"][0]["expression"]


def test_the_api_server_takes_every_object(installed: Cluster, rendered: str, documents: list[Json]) -> None:
    """Applied again, all of it is there and nothing changes; unknown fields would be an error."""
    words = ("apply", "--server-side", "--dry-run=server", "--validate=strict", "-o", "name", "-f", "-")
    named_lines = kubectl(installed, *words, given=rendered).split()
    assert len(named_lines) == len(documents)


def test_replicas_are_kept_apart_and_protected(documents: list[Json]) -> None:
    (deployment,) = of_kind(documents, "Deployment")
    (budget,) = of_kind(documents, "PodDisruptionBudget")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert budget["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] == 0


def _text(document: Json) -> str:
    return yaml.safe_dump(document)

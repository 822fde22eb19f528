"""A configuration file is read strictly; each problem names file, field and remedy."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from scheduler.live.config import (
    FILE_BYTES_MAX,
    PROBLEMS_MAX,
    ConfigurationError,
    SchedulerConfiguration,
    load,
    parse,
    schema,
)

HEAD = "apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n"
SCHEMA = Path(__file__).parents[2] / "docs" / "reference" / "configuration.schema.json"

PROBLEMS = {
    "an unknown field, with the one meant": ("polici: {}", "polici: unknown field; did you mean policy?"),
    "an unknown nested field": (
        "policy: {solver: {pergang: 1}}",
        "policy.solver.pergang: unknown field; did you mean perGang?",
    ),
    "a field spelled as in Python": ("scheduler_name: a", "scheduler_name: unknown field"),
    "a choice that does not exist": ("policy: {strategy: pak}", "policy.strategy: input should be 'pack' or"),
    "a number written as text": ('health: {port: "8080"}', "health.port: input should be a valid integer"),
    "a boolean in YAML 1.0 style": (
        'leaderElection: {enabled: "yes"}',
        "leaderElection.enabled: input should",
    ),
    "a port that does not exist": (
        "health: {port: 65536}",
        "health.port: input should be less than or equal",
    ),
    "not a number": ("watch: {staleSeconds: .nan}", "watch.staleSeconds: input should be"),
    "endless": ("gangs: {partialSeconds: .inf}", "gangs.partialSeconds: input should be less than or equal"),
    "a dialect nobody speaks": (
        "gangs: {restartOnLoss: [own, kia]}",
        "gangs: restartOnLoss: 'kia' is no dialect; use own, podgroup",
    ),
    "a name no object can have": (
        "schedulerName: Stow Plan",
        "schedulerName: 'Stow Plan' is not a Kubernetes",
    ),
    "a deadline after the lease": (
        "leaderElection: {leaseSeconds: 5, renewDeadlineSeconds: 5}",
        "leaderElection: renewDeadlineSeconds must be below leaseSeconds; lower it",
    ),
    "a retry after the deadline": (
        "leaderElection: {renewDeadlineSeconds: 2, retrySeconds: 3}",
        "leaderElection: retrySeconds must be below renewDeadlineSeconds; lower it",
    ),
    "a write that outlives the lease": (
        "api: {writeTimeoutSeconds: 6}",
        "api.writeTimeoutSeconds (6) must not exceed leaderElection.leaseSeconds - renewDeadlineSeconds (5)",
    ),
    "no connection left for the lease": (
        "api: {bindsInFlight: 140}",
        "api: connections must be at least bindsInFlight + 16 = 156",
    ),
    "a class that adds no nodes": (
        "provisioning: {className: check-capacity.autoscaling.x-k8s.io}",
        "provisioning: className: check-capacity.autoscaling.x-k8s.io adds no nodes, it only looks",
    ),
    "an unknown field of a part that is off by default": (
        "provisioning: {clasName: a}",
        "provisioning.clasName: unknown field; did you mean className?",
    ),
    "a key given twice": ("api: {}\napi: {}", "key 'api' is given twice"),
    "prices of no label": (
        "policy: {prices: [{label: instance type, values: {a: 1}}]}",
        "policy.prices.0.label: 'instance type' is not a label key; use letters",
    ),
    "prices that name nothing": (
        "policy: {prices: [{label: a, values: {}}]}",
        "policy.prices.0.values: dictionary should have at least 1 item",
    ),
    "a price below nothing": (
        "policy: {prices: [{label: a, values: {b: -1}}]}",
        "policy.prices.0.values.b: input should be greater than or equal",
    ),
    "an unknown field of an item": (
        "policy: {prices: [{lable: a, values: {b: 1}}]}",
        "policy.prices.0.lable: unknown field; did you mean label?",
    ),
    "a list": ("policy: []", "policy: input should be"),
}


@pytest.mark.parametrize("case", PROBLEMS)
def test_a_problem_is_told_with_its_field_and_remedy(case: str) -> None:
    text, told = PROBLEMS[case]
    with pytest.raises(ConfigurationError) as caught:
        parse((HEAD + text).encode(), "stowplan.yaml")
    assert any(told in problem for problem in caught.value.problems), caught.value.problems
    assert all(problem.startswith("stowplan.yaml: ") for problem in caught.value.problems)


def test_all_problems_are_told_at_once() -> None:
    text = "kind: Deployment\nlog: {level: loud, format: xml}\nhealth: {port: -1}\n"
    with pytest.raises(ConfigurationError) as caught:
        parse(text.encode(), "f")
    fields = {problem.split(": ")[1] for problem in caught.value.problems}
    assert fields == {"apiVersion", "kind", "log.level", "log.format", "health.port"}


def test_a_file_without_its_marks_is_not_taken_for_a_configuration() -> None:
    with pytest.raises(ConfigurationError, match=r"apiVersion: missing; set it to stowplan\.dev/v1alpha1"):
        parse(b"{}", "f")


def test_what_is_left_out_has_its_default() -> None:
    assert parse(HEAD.encode(), "f") == SchedulerConfiguration()


def test_a_file_with_values_is_read(tmp_path: Path) -> None:
    file = tmp_path / "stowplan.yaml"
    file.write_text(
        HEAD + "leaderElection: {leaseSeconds: 3, renewDeadlineSeconds: 2, retrySeconds: 0.25}\n"
        "api: {writeTimeoutSeconds: 0.5}\npolicy: {strategy: spread, solver: {total: 0}}\n"
    )
    read = load(file)
    assert (read.leader_election.lease_seconds, read.leader_election.retry_seconds) == (3, 0.25)
    assert (read.policy.strategy, read.policy.solver.total) == ("spread", 0)


UNREADABLE = {
    "missing": (None, "No such file or directory"),
    "not YAML": (b"{", "not valid YAML"),
    "not text": (b"\xff\xfe\x00", "not valid YAML"),
    "empty": (b"", "must be one YAML mapping"),
    "a tag that builds objects": (b"!!python/object/apply:os.system ['true']", "not valid YAML"),
    "a mapping as key": (b"{{a: 1}: 2}", "not valid YAML"),
    "too deep": (b"[" * 20_000, "not valid YAML"),
    "too large": (b"#" * (FILE_BYTES_MAX + 1), "larger than"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_a_file_that_cannot_be_read_is_told(case: str, tmp_path: Path) -> None:
    content, told = UNREADABLE[case]
    file = tmp_path / "stowplan.yaml"
    if content is not None:
        file.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told):
        load(file)


@given(
    st.dictionaries(
        st.sampled_from([*SchedulerConfiguration.model_json_schema()["properties"], "x", "apiversion"]),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
            lambda inner: (
                st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3)
            ),
            max_leaves=6,
        ),
        max_size=6,
    )
)
def test_whatever_the_file_holds_the_answer_is_a_configuration_or_its_problems(document: object) -> None:
    problems = _problems(yaml.safe_dump(document).encode())
    assert len(problems) <= PROBLEMS_MAX
    assert all("\n" not in problem and len(problem) < 1024 for problem in problems)


def _problems(content: bytes) -> tuple[str, ...]:
    """What is wrong with a file, or nothing."""
    try:
        parse(content, "f")
    except ConfigurationError as error:
        return error.problems
    return ()


def test_the_published_schema_is_the_one_of_the_code() -> None:
    published = json.loads(SCHEMA.read_text(encoding="utf-8"))
    assert published == schema(), "run: stowplan config schema > docs/reference/configuration.schema.json"


def test_every_field_of_the_schema_is_bounded_and_closed() -> None:
    open_objects = [s for s in _objects(schema()) if s.get("additionalProperties") is not False]
    assert [s["title"] for s in open_objects if not _is_bounded_map(s)] == []


def _is_bounded_map(node: dict[str, object]) -> bool:
    values = node.get("additionalProperties")
    if not isinstance(values, dict) or "maxProperties" not in node:
        return False
    return {"minimum", "maximum"} <= values.keys() or "maxLength" in values


def _objects(node: object) -> Iterator[dict[str, object]]:
    if isinstance(node, dict):
        if node.get("type") == "object":
            yield node
        for inner in node.values():
            yield from _objects(inner)

"""``gangs``, ``why`` and ``doctor`` on a real API server."""

from __future__ import annotations

import json

import pytest
import yaml

from scheduler.cli.main import main
from tests.faces.conftest import Stand

MESSAGE = "needs 5 of 5 x (8 nvidia.com/gpu) at once; needs 40 nvidia.com/gpu, 32 can be had where it may go"
GANG = {"stowplan.dev/gang": "train", "stowplan.dev/gang-min-member": "2"}


def told(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    """(exit code, standard output, standard error) of a command."""
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    out = capsys.readouterr()
    return int(ended.value.code or 0), out.out, out.err


@pytest.fixture
def mixed(stand: Stand) -> Stand:
    """A gang that waits, one that is bound, a single pod that waits, one of another scheduler."""
    stand.gang("train", phase="Pending", reason="NeverFits", message=MESSAGE, minMember=2, members=2, bound=0)
    stand.gang("done", phase="Bound", reason="Bound", minMember=3, members=3, bound=3, epoch=7)
    for name in ("train-10", "train-9"):
        stand.pod(name, annotations=GANG)
        stand.tell(name, reason="Unschedulable", message=MESSAGE)
    stand.pod("alone")
    stand.tell("alone", reason="Rejected", message="nvidia.com/gpu is -1: use a whole number")
    stand.pod("odd", annotations={"stowplan.dev/gang": "Not A Name"})
    stand.pod("foreign", schedulerName="default-scheduler")
    return stand


def test_gangs_lists_waiting_ones_first_and_singles_beside_them(
    mixed: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--kubeconfig", mixed.kubeconfig(), "-n", mixed.namespace]
    code, out, _ = told(["gangs", *where, "-o", "json"], capsys)
    rows = json.loads(out)
    assert code == 0
    assert [(row["name"], row["kind"], row["phase"], row["reason"]) for row in rows] == [
        ("alone", "pod", "Pending", "Rejected"),
        ("odd", "pod", "Pending", ""),
        ("train", "gang", "Pending", "NeverFits"),
        ("done", "gang", "Bound", "Bound"),
    ]
    _, as_yaml, _ = told(["gangs", *where, "-o", "yaml"], capsys)
    assert yaml.safe_load(as_yaml) == rows
    _, as_table, _ = told(["gangs", *where], capsys)
    lines = as_table.splitlines()
    columns = ["namespace", "name", "kind", "phase", "bound", "min", "members", "age", "reason", "message"]
    assert lines[0].lower().split() == columns
    assert MESSAGE in as_table
    assert len(lines) == 1 + len(rows)


def test_all_namespaces_hold_at_least_this_one(mixed: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = told(["gangs", "--kubeconfig", mixed.kubeconfig(), "-A", "-o", "json"], capsys)
    assert {row["name"] for row in json.loads(out) if row["namespace"] == mixed.namespace} == {
        "alone",
        "odd",
        "train",
        "done",
    }


def test_why_a_gang_waits_is_said_with_what_is_proven(
    mixed: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--kubeconfig", mixed.kubeconfig(), "-n", mixed.namespace]
    code, out, _ = told(["why", "train", *where], capsys)
    assert code == 0
    assert f"gang {mixed.namespace}/train: Pending (NeverFits)\n  {MESSAGE}\n  proven:" in out
    members = [line.split()[0] for line in out.splitlines() if line.startswith("train-")]
    assert members == ["train-9", "train-10"]
    # A member leads to its gang.
    assert (
        told(["why", "train-9", *where, "-o", "json"], capsys)[1]
        == told(["why", "train", *where, "-o", "json"], capsys)[1]
    )


def test_what_is_not_proven_is_not_called_so(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    """Claims could give what no device plugin offers: the verdict is open, and the message says what of."""
    message = "what resource claims (DRA) could give is not counted, so nothing is proven"
    stand.gang("open", phase="Pending", reason="Unproven", message=message, minMember=2, members=2, bound=0)
    code, out, _ = told(["why", "open", "--kubeconfig", stand.kubeconfig(), "-n", stand.namespace], capsys)
    assert code == 0
    assert message in out
    assert "proven:" not in out
    assert "none is ruled out: the message says what was not looked at" in out


def test_why_a_single_pod_waits_is_in_its_condition(mixed: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    where = ["--kubeconfig", mixed.kubeconfig(), "-n", mixed.namespace]
    code, out, _ = told(["why", "alone", *where], capsys)
    assert code == 0
    assert f"pod {mixed.namespace}/alone: Pending (Rejected)\n  nvidia.com/gpu is -1" in out


def test_a_pod_of_another_scheduler_is_said_to_be_one(
    mixed: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    where = ["--kubeconfig", mixed.kubeconfig(), "-n", mixed.namespace]
    code, _, err = told(["why", "foreign", *where], capsys)
    assert code == 1
    assert "is scheduled by 'default-scheduler'; set spec.schedulerName: stowplan" in err


def test_what_does_not_exist_is_said_with_where_to_look(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, err = told(["why", "x", "--kubeconfig", stand.kubeconfig(), "-n", stand.namespace], capsys)
    assert code == 1
    assert f"no gang and no pod {stand.namespace}/x; see `stowplan gangs -n {stand.namespace}`" in err


def test_doctor_finds_a_healthy_cluster_healthy(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(["doctor", "--kubeconfig", stand.kubeconfig(), "-o", "json"], capsys)
    states = {finding["check"]: finding["state"] for finding in json.loads(out)}
    assert code == 0
    assert {states[check] for check in ("API server", "CRDs", "rights", "epoch fence", "gang APIs")} == {"ok"}


def test_doctor_names_missing_rights_and_the_remedy(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    kubeconfig = str(stand.cluster.kubeconfig("node-actor"))
    code, out, _ = told(["doctor", "--kubeconfig", kubeconfig, "-o", "json"], capsys)
    (rights,) = [finding for finding in json.loads(out) if finding["check"] == "rights"]
    assert code == 1
    assert "create pods/binding" in rights["detail"]
    assert rights["remedy"] == "kubectl apply -f deploy/rbac/scheduler.yaml"


def test_the_schedulers_own_identity_has_every_right_it_uses(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = str(stand.cluster.kubeconfig("stowplan"))
    code, out, _ = told(["doctor", "--kubeconfig", kubeconfig, "-o", "json"], capsys)
    states = {finding["check"]: finding["state"] for finding in json.loads(out)}
    assert (code, states["rights"]) == (0, "ok")


def diagnosed(
    stand: Stand, setting: str, capsys: pytest.CaptureFixture[str]
) -> tuple[int, dict[str, dict[str, str]]]:
    """What doctor finds with this line in the configuration, by check."""
    config = stand.cluster.directory / "diagnosed.yaml"
    config.write_text(f"apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n{setting}\n")
    words = ["doctor", "--kubeconfig", stand.kubeconfig(), "--config", str(config), "-o", "json"]
    code, out, _ = told(words, capsys)
    found = json.loads(out)
    by_check = {finding["check"]: finding for finding in found}
    assert len(by_check) == len(found)
    return code, by_check


@pytest.mark.parametrize("cordons", [False, True])
def test_doctor_asks_for_the_right_to_cordon_only_where_the_policy_does(
    stand: Stand, capsys: pytest.CaptureFixture[str], cordons: bool
) -> None:
    code, found = diagnosed(stand, f"policy: {{cordon: {{enabled: {str(cordons).lower()}}}}}", capsys)
    rights = found["rights"]
    assert (code, rights["state"]) == ((1, "fail") if cordons else (0, "ok"))
    assert ("may not patch nodes" in rights["detail"]) == cordons
    assert rights["remedy"] == ("kubectl apply -f deploy/optional/cordon.yaml" if cordons else "")


@pytest.mark.parametrize("asks", [False, True])
def test_doctor_says_that_nobody_serves_provisioning_requests_where_they_are_wanted(
    stand: Stand, capsys: pytest.CaptureFixture[str], asks: bool
) -> None:
    code, found = diagnosed(stand, f"provisioning: {'{}' if asks else 'null'}", capsys)
    rights = found["rights"]
    assert (code, rights["state"]) == ((1, "fail") if asks else (0, "ok"))
    assert ("create provisioningrequests.autoscaling.x-k8s.io" in rights["detail"]) == asks
    assert rights["remedy"] == ("kubectl apply -f deploy/optional/provisioning.yaml" if asks else "")
    assert ("provisioning" in found) == asks
    if asks:
        assert found["provisioning"]["state"] == "warn"
        assert "is not served" in found["provisioning"]["detail"]


def test_doctor_says_who_does_not_lead(stand: Stand, capsys: pytest.CaptureFixture[str]) -> None:
    path = "/apis/coordination.k8s.io/v1/namespaces/stowplan-system/leases"
    lease: dict[str, object] = {
        "apiVersion": "coordination.k8s.io/v1",
        "kind": "Lease",
        "metadata": {"name": stand.namespace},
        "spec": {
            "holderIdentity": "gone_1",
            "leaseDurationSeconds": 15,
            "leaseTransitions": 3,
            "renewTime": "2020-01-01T00:00:00.000000Z",
        },
    }
    stand.post(path, lease)
    head = "apiVersion: stowplan.dev/v1alpha1\nkind: SchedulerConfiguration\n"
    config = stand.cluster.directory / "doctor.yaml"
    config.write_text(f"{head}leaderElection: {{name: {stand.namespace}}}\n")
    _, out, _ = told(
        ["doctor", "--kubeconfig", stand.kubeconfig(), "--config", str(config), "-o", "json"], capsys
    )
    (leader,) = [finding for finding in json.loads(out) if finding["check"] == "leader"]
    assert leader["state"] == "warn"
    assert leader["detail"].startswith("gone_1, epoch 3, renewed ")
    assert leader["detail"].endswith(": expired")


def test_a_right_that_is_missing_is_an_error_not_a_traceback(
    stand: Stand, capsys: pytest.CaptureFixture[str]
) -> None:
    kubeconfig = str(stand.cluster.kubeconfig("node-actor"))
    code, _, err = told(["gangs", "--kubeconfig", kubeconfig, "-n", stand.namespace], capsys)
    assert code == 1
    assert err.startswith("error: 403 Forbidden")
    assert err.rstrip().endswith("ask for the right, or use another --context")

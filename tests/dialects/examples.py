"""The manifests of docs/examples that speak a dialect: a folder each, and what starts together in a file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from scheduler.model.gang import SINGLE
from tests.dialects.controllers import Manifest

FOLDER: Final = Path(__file__).parents[2] / "docs" / "examples"


@dataclass(frozen=True, slots=True, kw_only=True, order=True)
class Start:
    """One gang: ``minimum`` of its first ``pods`` must be there, then ``late`` ones together."""

    dialect: str
    pods: int
    minimum: int
    late: int = 0


def whole(dialect: str, pods: int, *, minimum: int = 0, late: int = 0) -> Start:
    return Start(dialect=dialect, pods=pods, minimum=minimum or pods, late=late)


def singles(count: int) -> tuple[Start, ...]:
    return (whole(SINGLE, 1),) * count


EXAMPLES: Final[Mapping[str, tuple[Start, ...]]] = {
    "own/two-nodes.yaml": (whole("own", 2),),
    "podgroup/job.yaml": (whole("podgroup", 4),),
    "coscheduling/replicaset.yaml": (whole("coscheduling", 6, minimum=3),),
    "volcano/job.yaml": (whole("volcano", 3),),
    "kai/podgroup.yaml": (whole("kai", 3),),
    "koordinator/annotations.yaml": (whole("koordinator", 3),),
    "koordinator/podgroup.yaml": (whole("koordinator", 4, minimum=2),),
    "yunikorn/job.yaml": (whole("yunikorn", 5),),
    "kueue/plain-pods.yaml": (whole("kueue", 2),),
    "pytorchjob/simple.yaml": (whole("pytorchjob", 4),),
    "pytorchjob/elastic.yaml": (whole("pytorchjob", 4, minimum=2),),
    "tfjob/parameter-server.yaml": (whole("tfjob", 6),),
    "xgboostjob/iris.yaml": (whole("xgboostjob", 3),),
    "paddlejob/simple.yaml": (whole("paddlejob", 2),),
    "jaxjob/simple.yaml": (whole("jaxjob", 2),),
    "mpijob/pi.yaml": (whole("mpijob", 3),),
    "mpijob/launcher-comes-late.yaml": (whole("mpijob", 2, late=1),),
    "mpijob/training-operator.yaml": (whole("mpijob", 3),),
    # The pods of a TrainJob carry its step only where the runtime's pod template says so.
    "trainjob/torch-distributed.yaml": (whole("jobset", 4),),
    "jobset/driver-and-workers.yaml": (whole("jobset", 9),),
    "jobset/in-order.yaml": (whole("jobset", 1, late=4),),
    "raycluster/autoscaling.yaml": (whole("raycluster", 4, minimum=3),),
    "raycluster/rayjob.yaml": (whole("raycluster", 5), *singles(1)),
    "lws/vllm.yaml": (whole("lws", 2), whole("lws", 2)),
    "lws/leader-first.yaml": (whole("lws", 1, late=3),),
    "spark/executors.yaml": (whole("spark", 4), *singles(1)),
    "job/indexed.yaml": (whole("job", 4),),
    "job/elastic.yaml": (whole("job", 4, minimum=2),),
    "job/success-policy.yaml": (whole("job", 3),),
    "job/independent.yaml": singles(3),
    "statefulset/model-server.yaml": singles(3),
    "deployment/notebooks.yaml": singles(2),
}
#: Folders of controllers whose pods are no gang.
NO_GANGS: Final = frozenset({"statefulset", "deployment"})
#: Dialects of projects that have no word for a gang of their own: there one line is not enough.
WITH_KEYS: Final = frozenset({"own", "job", "spark"})


def text(file: str) -> str:
    return (FOLDER / file).read_text(encoding="utf-8")


def documents(content: str) -> list[Manifest]:
    """The objects of a manifest, lists opened."""
    found: list[Manifest] = []
    for document in yaml.safe_load_all(content):
        found += document["items"] if document["kind"] == "List" else [document]
    return found


def before(content: str) -> str:
    """A manifest as it was before its one line was changed: of another scheduler, or of the default one."""
    named = re.sub(r"schedulerName: stowplan # was: (.+)", r"schedulerName: \1", content)
    return re.sub(r"\n *schedulerName: stowplan[^\n]*", "", named)

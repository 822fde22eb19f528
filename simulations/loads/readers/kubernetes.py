"""Objects as ``kubectl get pods,jobs --all-namespaces -o json`` prints them.

Pods are jobs by their gangs. A Job counts where none of its pods is listed any more: its parallelism is its
gang, from its start to its completion.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simulations.loads.files import BadTrace
from simulations.loads.readers.documents import NOTHING, Object, items, json_document, part, text_of, time_of
from simulations.loads.readers.pods import Past, jobs_of, past
from simulations.loads.table import BadRow
from simulations.loads.trace import Format, Left, Source, Tally
from simulations.workload import PODS_MAX, Job

OTHER: Final = "neither a Pod nor a Job"
BY_PODS: Final = "a Job whose pods are listed"
NO_PARALLELISM: Final = "a Job of no pods"
_CONDITIONS: Final = frozenset({"Complete", "Failed"})


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    document = json_document(source.path)
    if not isinstance(part(document).get("items"), list):
        raise BadTrace(f"{source.path}: expected a List with items, as kubectl -o json prints")
    pods: list[Past] = []
    jobs: list[tuple[int, Object]] = []
    owners: set[tuple[str, str]] = set()
    for number, each in enumerate(items(part(document).get("items")), start=1):
        tally.records += 1
        item, where = part(each), f"{source.path}: items[{number - 1}]"
        kind = text_of(item, "kind")
        if kind == "Job":
            jobs.append((number, item))
        elif kind != "Pod":
            tally.left(OTHER, number)
        else:
            owners |= {(text_of(part(item, "metadata"), "namespace"), name) for name in _owners(item)}
            try:
                pods.append(past(item, number, where))
            except BadRow as error:
                tally.fault(error, number)
    yield from jobs_of(pods, source, tally)
    for number, item in jobs:
        metadata = part(item, "metadata")
        if (text_of(metadata, "namespace"), text_of(metadata, "name")) in owners:
            tally.folded(BY_PODS, number)
            continue
        try:
            yield from jobs_of(_as_pods(item, number, source), source, _Once(tally, number))
        except Left as why:
            tally.left(why.reason, number)
        except BadRow as error:
            tally.fault(error, number)


class _Once(Tally):
    """Counts one record for all the pods that a Job would have had."""

    def __init__(self, tally: Tally, line: int) -> None:
        super().__init__(path=tally.path)
        self._all = tally

    def left(self, reason: str, line: int) -> None:
        self._all.left(reason, line)

    def folded(self, reason: str, line: int) -> None:
        """The pods are not records."""

    def noted(self, reason: str, line: int) -> None:
        self._all.noted(reason, line)

    def team(self, name: str) -> str:
        return self._all.team(name)


def _owners(item: Object) -> Iterator[str]:
    for owner in items(part(item, "metadata").get("ownerReferences")):
        if text_of(part(owner), "kind") == "Job":
            yield text_of(part(owner), "name")


def _as_pods(item: Object, number: int, source: Source) -> list[Past]:
    """The pods of a Job that are gone, as one gang that started and ended with it."""
    spec, status, metadata = part(item, "spec"), part(item, "status"), part(item, "metadata")
    count = spec.get("parallelism", 1)
    where = f"{source.path}: items[{number - 1}]"
    if not isinstance(count, int) or isinstance(count, bool) or not 0 <= count <= PODS_MAX:
        raise BadRow(f"{where}: spec.parallelism: expected 0 to {PODS_MAX:,} pods", line=number)
    if not count:
        raise Left(NO_PARALLELISM)
    template = part(spec, "template")
    labels = {"stowplan.dev/gang": text_of(metadata, "name")}
    pod = {
        "metadata": {
            **{
                key: metadata[key]
                for key in ("name", "namespace", "uid", "creationTimestamp")
                if key in metadata
            },
            "annotations": dict(part(template, "metadata", "annotations")) | (labels if count > 1 else {}),
        },
        "spec": {**part(template, "spec"), **_deadline(spec)},
        "status": {
            "phase": "Succeeded",
            "startTime": status.get("startTime"),
            "conditions": [{"lastTransitionTime": _ended(status)}],
        },
    }
    return [past(pod, number, where)] * count


def _deadline(spec: Object) -> Object:
    seconds = spec.get("activeDeadlineSeconds")
    return NOTHING if seconds is None else {"activeDeadlineSeconds": seconds}


def _ended(status: Object) -> str | None:
    """When it completed or failed."""
    if time_of(status, "completionTime") is not None:
        return text_of(status, "completionTime")
    for one in items(status.get("conditions")):
        if text_of(part(one), "type") in _CONDITIONS and text_of(part(one), "status") == "True":
            return text_of(part(one), "lastTransitionTime")
    return None


FORMAT = Format(
    name="kubernetes",
    origin="Kubernetes (kubectl get pods,jobs --all-namespaces -o json); a namespace is a team",
    units="dates, from the start of the first container to the end of the last; requests of each pod",
    recognises=lambda text: text.lstrip().startswith("{") and '"apiVersion"' in text and '"items"' in text,
    read=_read,
    is_dated=True,
    counts="item",
)

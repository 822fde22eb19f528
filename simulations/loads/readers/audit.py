"""A Kubernetes audit log, one event a line: pods by their creation, Binding, status and deletion.

Needs the level RequestResponse or Request for pods (``audit.k8s.io/v1``). A pod whose end nobody wrote down
ended when it was deleted.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from simulations.loads.readers.documents import Object, json_lines, part, text_of
from simulations.loads.readers.pods import Past, jobs_of, merged, past
from simulations.loads.table import BadRow
from simulations.loads.trace import Format, Source, Tally
from simulations.workload import Job

OTHER: Final = "not about a pod's life"
EVENT: Final = "a later event of the same pod"
UNSEEN: Final = "a pod whose creation is not in the log"
_WRITES: Final = frozenset({"create", "update", "patch", "delete"})


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    pods: dict[tuple[str, str], tuple[int, dict[str, object]]] = {}
    done: list[tuple[int, dict[str, object]]] = []
    for line, event in json_lines(source.path):
        tally.records += 1
        if isinstance(event, BadRow):
            tally.fault(event, line)
            continue
        _take(part(event), line, pods, done, tally)
    found: list[Past] = []
    for line, pod in [*done, *pods.values()]:
        try:
            found.append(past(pod, line, f"{source.path}:{line}"))
        except BadRow as error:
            tally.fault(error, line)
    found.sort(key=lambda one: one.line)
    yield from jobs_of(found, source, tally)


def _take(
    event: Object,
    line: int,
    pods: dict[tuple[str, str], tuple[int, dict[str, object]]],
    done: list[tuple[int, dict[str, object]]],
    tally: Tally,
) -> None:
    """Note one event. ``pods`` are those that are there, ``done`` those that were deleted."""
    about, verb = part(event, "objectRef"), text_of(event, "verb")
    stage, code = text_of(event, "stage"), part(event, "responseStatus").get("code", 200)
    is_ok = isinstance(code, int) and code < 300
    if (
        text_of(about, "resource") != "pods"
        or verb not in _WRITES
        or stage != "ResponseComplete"
        or not is_ok
    ):
        tally.left(OTHER, line)
        return
    body = part(event, "responseObject") or part(event, "requestObject")
    of, at = text_of(about, "subresource"), text_of(event, "stageTimestamp")
    name = text_of(about, "name") or text_of(part(body, "metadata"), "name")
    key = text_of(about, "namespace"), name
    if verb == "create" and not of:
        said = {"metadata": {"namespace": key[0], "name": name, "creationTimestamp": at}}
        if key in pods:
            done.append(pods.pop(key))
        pods[key] = line, merged(said, body)
        return
    if key not in pods:
        tally.left(UNSEEN, line)
        return
    tally.folded(EVENT, line)
    first, pod = pods[key]
    if of == "binding":
        pods[key] = first, merged(pod, {"status": {"startTime": at}})
    elif verb == "delete":
        done.append((first, _ended(pod, at)))
        del pods[key]
    elif of == "status":
        seen = merged(pod, {"status": dict(part(body, "status"))})
        phase = text_of(part(seen, "status"), "phase")
        pods[key] = first, _ended(seen, at) if phase in ("Succeeded", "Failed") else seen


def _ended(pod: dict[str, object], at: str) -> dict[str, object]:
    """The pod with an end, which is that of its containers where they have one."""
    status = dict(part(pod, "status"))
    if text_of(status, "phase") not in ("Succeeded", "Failed"):
        status |= {"phase": "Failed", "containerStatuses": [], "conditions": [{"lastTransitionTime": at}]}
    status.setdefault("conditions", [{"lastTransitionTime": at}])
    return {**pod, "status": status}


FORMAT = Format(
    name="audit",
    origin="Kubernetes audit log (audit.k8s.io/v1, one event a line); a namespace is a team",
    units="dates, from the Binding or the first container to the end or deletion; requests of each pod",
    recognises=lambda text: text.lstrip().startswith("{") and '"audit.k8s.io/' in text.partition("\n")[0],
    read=_read,
    is_dated=True,
)

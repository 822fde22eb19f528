"""Microsoft's Philly as it was published: Jeon et al., USENIX ATC 2019. ``cluster_job_log``, JSON.

A job has attempts; a failed one was tried again, so their run times add up. Its GPUs are those of its largest
attempt. Times are local and without a zone.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from simulations.loads.files import BadTrace
from simulations.loads.readers.documents import Object, items, json_document, text_of, time_of
from simulations.loads.table import GPUS_TOTAL_MAX, BadRow
from simulations.loads.trace import NEVER_STARTED, NO_END, Format, Left, Source, Tally, each, of_gpus
from simulations.workload import Job

KEYS: Final = frozenset({"status", "vc", "jobid", "attempts", "submitted_time", "user"})
NO_TIMES: Final = "an attempt without times is not counted"


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    found = json_document(source.path)
    if not isinstance(found, list):
        raise BadTrace(f"{source.path}: expected a list of jobs")
    tally.records += len(found)
    return each(enumerate(found, start=1), tally, lambda number, one: _job(one, number, source, tally))


def _job(record: object, number: int, source: Source, tally: Tally) -> Job:
    if not isinstance(record, Mapping) or set(record) != KEYS:
        raise BadRow(f"{source.path}: job {number}: expected the keys {', '.join(sorted(KEYS))}", line=number)
    submit_s = time_of(record, "submitted_time")
    if submit_s is None or not text_of(record, "jobid"):
        raise BadRow(f"{source.path}: job {number}: expected a jobid and a submitted_time", line=number)
    attempts = [one for one in items(record["attempts"]) if isinstance(one, Mapping)]
    if not attempts:
        raise Left(NEVER_STARTED)
    if time_of(attempts[-1], "end_time") is None:
        raise Left(NO_END)
    spans = [_span_s(one) for one in attempts]
    if None in spans:
        tally.noted(NO_TIMES, number)
    known = [span for span in spans if span is not None]
    if not known:
        raise Left(NEVER_STARTED)
    gpus = max(_gpus(one) for one in attempts)
    if gpus > GPUS_TOTAL_MAX:
        raise BadRow(f"{source.path}: job {number}: expected at most {GPUS_TOTAL_MAX:,} GPUs", line=number)
    return of_gpus(
        gpus,
        source,
        name=text_of(record, "jobid"),
        submit_s=submit_s,
        duration_s=sum(known),
        estimate_s=None,
        team=tally.team(text_of(record, "vc")),
    )


def _span_s(attempt: Object) -> float | None:
    start_s, end_s = time_of(attempt, "start_time"), time_of(attempt, "end_time")
    return None if start_s is None or end_s is None or end_s < start_s else end_s - start_s


def _gpus(attempt: Object) -> int:
    return sum(
        len(items(one.get("gpus"))) for one in items(attempt.get("detail")) if isinstance(one, Mapping)
    )


FORMAT = Format(
    name="philly",
    origin="Philly (msr-fiddle/philly-traces, cluster_job_log); a virtual cluster is a team",
    units="dates without a zone, run time of all attempts together; GPUs of the largest attempt",
    recognises=lambda text: text.lstrip().startswith("[") and '"attempts"' in text and '"jobid"' in text,
    read=_read,
    is_dated=True,
    counts="job",
)

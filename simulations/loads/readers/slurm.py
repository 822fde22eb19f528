"""Slurm's accounting: ``sacct --parsable2 --allusers --duplicates`` with any of its fields.

``sacct(1)``: a job's line carries what was allocated to it; its steps (``17.batch``, ``17.0``) are parts of
it. With ``--duplicates`` each run of a requeued job is a line of its own under the same id. Where Slurm has
given an id out again (MaxJobId), the lines are different jobs. Times are local and without a zone, so run
times are taken from Elapsed where it is there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from simulations.loads.table import GPUS_TOTAL_MAX, BadRow, Row
from simulations.loads.trace import (
    NEVER_STARTED,
    NO_END,
    NO_GPUS,
    Format,
    Left,
    Source,
    Tally,
    between,
    columns,
    each,
    good_rows,
)
from simulations.workload import GPUS_MAX, PODS_MAX, SECONDS_MAX, Job, split

STEP: Final = "step of a job"
RERUN: Final = "earlier run of a job that was requeued"
SAME: Final = "duplicate id"
AGAIN: Final = "an id that Slurm gave out again is another job"
OTHER_MODEL: Final = "GPU type is no model of the cluster: any model is taken"
SLICE: Final = "a MIG slice counts as a whole GPU"
CUT: Final = "its GPUs do not fit the nodes: cut anew"

#: States of a run that the job outlived, and of a job that has not ended.
_REQUEUED: Final = frozenset(
    {"REQUEUED", "PREEMPTED", "NODE_FAIL", "BOOT_FAIL", "REQUEUE_HOLD", "REQUEUE_FED"}
)
_RUNS: Final = frozenset({"RUNNING", "SUSPENDED", "COMPLETING", "STOPPED", "RESIZING", "CONFIGURING"})
_WAITS: Final = frozenset({"PENDING", "REQUEUE_HOLD", "SPECIAL_EXIT"})
_MINUTE_S: Final = 60.0
_SLICE: Final = re.compile(r"\d+g\.\d+gb", re.IGNORECASE)
_CLOCK: Final = re.compile(r"(?:(\d+)-)?(?:(\d+):)?(\d+):(\d+)(?:\.\d+)?")

NEEDS: Final = columns("JobID Submit Start End State")
#: Every field of ``sacct --helpformat`` (Slurm 20.11 to 25.11).
FIELDS: Final = frozenset(
    columns(
        "Account AdminComment AllocCPUS AllocGRES AllocNodes AllocTRES AssocID AveCPU AveCPUFreq",
        "AveDiskRead AveDiskWrite AvePages AveRSS AveVMSize BlockID Cluster Comment Constraints",
        "ConsumedEnergy ConsumedEnergyRaw Container CPUTime CPUTimeRAW DBIndex DerivedExitCode Elapsed",
        "ElapsedRaw Eligible ExitCode Extra FailedNode Flags GID Group JobIDRaw JobName Layout Licenses",
        "MaxDiskRead MaxDiskReadNode MaxDiskReadTask MaxDiskWrite MaxDiskWriteNode MaxDiskWriteTask",
        "MaxPages MaxPagesNode MaxPagesTask MaxRSS MaxRSSNode MaxRSSTask MaxVMSize MaxVMSizeNode",
        "MaxVMSizeTask McsLabel MinCPU MinCPUNode MinCPUTask NCPUS NNodes NodeList NTasks Partition",
        "Planned PlannedCPU PlannedCPURAW Priority QOS QOSRAW QOSREQ QosReq Reason ReqCPUFreq",
        "ReqCPUFreqGov ReqCPUFreqMax ReqCPUFreqMin ReqCPUS ReqGRES ReqMem ReqNodes ReqTRES",
        "ReqReservation Reservation ReservationId Reserved ResvCPU ResvCPURAW Restarts SegmentSize",
        "SLUID StdErr StdIn StdOut SubmitLine Suspended SystemComment SystemCPU Timelimit TimelimitRaw",
        "TotalCPU TRESUsageInAve TRESUsageInMax TRESUsageInMaxNode TRESUsageInMaxTask TRESUsageInMin",
        "TRESUsageInMinNode TRESUsageInMinTask TRESUsageInTot TRESUsageOutAve TRESUsageOutMax",
        "TRESUsageOutMaxNode TRESUsageOutMaxTask TRESUsageOutMin TRESUsageOutMinNode",
        "TRESUsageOutMinTask TRESUsageOutTot UID User UserCPU WCKey WCKeyID WorkDir",
    )
)


@dataclass(slots=True)
class _Run:
    """One line of a job."""

    line: int
    row: Row
    state: str
    submit_s: float
    start_s: float | None


def _read(source: Source, tally: Tally) -> Iterator[tuple[int, Job]]:
    return each(_last_runs(source, tally), tally, lambda _, found: _job(*found, source, tally))


def _last_runs(source: Source, tally: Tally) -> Iterator[tuple[int, tuple[list[_Run], int]]]:
    """As ``_by_job``, with the line of the last run, which stands for the earlier ones."""
    for runs, number in _by_job(source, tally):
        for earlier in runs[:-1]:
            tally.folded(RERUN, earlier.line)
        yield runs[-1].line, (runs, number)


def _by_job(source: Source, tally: Tally) -> Iterator[tuple[list[_Run], int]]:
    """The runs of each job, the last one last; and how many jobs had its id before."""
    by_id: dict[str, list[_Run]] = {}
    for row in good_rows(source, tally):
        try:
            if "." in row.text("JobID"):
                tally.folded(STEP, row.line)
                continue
            state = (row.text("State").split() or [""])[0].upper()
            found = _Run(row.line, row, state, row.date("Submit"), row.optional_date("Start"))
        except BadRow as error:
            tally.fault(error, row.line)
            continue
        by_id.setdefault(row.text("JobID"), []).append(found)
    for runs in by_id.values():
        yield from _parted(runs, tally)


def _parted(runs: list[_Run], tally: Tally) -> Iterator[tuple[list[_Run], int]]:
    """Lines of one id in the order in which they ran, cut where a job came to its end."""
    runs.sort(key=lambda run: (run.submit_s, run.start_s is None, run.start_s or 0.0))
    job: list[_Run] = []
    number = 0
    for run in runs:
        before = job[-1] if job else None
        if before is not None and (before.submit_s, before.start_s, before.state) == (
            run.submit_s, run.start_s, run.state,
        ):  # fmt: skip
            tally.left(SAME, run.line)
        elif before is not None and before.state not in _REQUEUED:
            yield job, number
            tally.noted(AGAIN, run.line)
            job, number = [run], number + 1
        else:
            job.append(run)
    yield job, number


def _job(runs: Sequence[_Run], number: int, source: Source, tally: Tally) -> Job:
    run = runs[-1]
    row, line = run.row, run.line
    duration_s = _ran_s(run, len(runs))
    tres = _tres(row.text("AllocTRES", "") or row.text("ReqTRES", ""))
    total, types = _gpus(row, tres)
    if not total:
        raise Left(NO_GPUS)
    pods, each, last, is_cut = _shape(total, _nodes(row, tres), source.per_node)
    models = _models(types, source.models)
    if is_cut:
        tally.noted(CUT, line)
    if any(_SLICE.search(name) for name in types):
        tally.noted(SLICE, line)
    elif types and source.models and not models:
        tally.noted(OTHER_MODEL, line)
    return Job(
        name=f"job-{row.text('JobID')}" + (f"-again-{number}" if number else ""),
        submit_s=runs[0].submit_s,
        duration_s=duration_s,
        estimate_s=_limit_s(row),
        gpus=each,
        pods=pods,
        min_pods=pods,
        last_gpus=last,
        models=models,
        team=tally.team(row.text("Account", "") or row.text("Group", "") or "default"),
    )


def _ran_s(run: _Run, runs: int) -> float:
    """How long the last run took. Raises: Left where it did not start or has not ended."""
    if run.state in _WAITS and run.start_s is None:
        raise Left(NEVER_STARTED if runs == 1 else NO_END)
    if run.state in _RUNS:
        raise Left(NO_END)
    end_s = run.row.optional_date("End")
    if run.start_s is None or end_s is None:
        raise Left(NEVER_STARTED if run.start_s is None else NO_END)
    if run.row.text("ElapsedRaw", ""):
        found_s = run.row.seconds("ElapsedRaw")
    elif run.row.text("Elapsed", ""):
        found_s = _clock_s(run.row, "Elapsed")
    else:
        found_s = between(run.start_s, end_s)
    if not found_s and run.state == "CANCELLED":
        raise Left(NEVER_STARTED)
    return found_s


def _tres(text: str) -> Mapping[str, str]:
    """``billing=8,gres/gpu:a100=8,node=1`` by its names."""
    pairs = (part.partition("=") for part in text.split(",") if part)
    return {name.strip().lower(): value.strip() for name, _, value in pairs}


def _gpus(row: Row, tres: Mapping[str, str]) -> tuple[int, tuple[str, ...]]:
    """GPUs of the whole job, and their types. A count without a type includes those with one."""
    typed = {name.partition(":")[2]: value for name, value in tres.items() if name.startswith("gres/gpu:")}
    counts = {name: _count(row, value) for name, value in typed.items()}
    total = max(_count(row, tres.get("gres/gpu", "0")), sum(counts.values()))
    if total > GPUS_TOTAL_MAX:
        raise row.fault("AllocTRES", f"at most {GPUS_TOTAL_MAX:,} GPUs")
    return total, tuple(sorted(name for name, count in counts.items() if count))


def _count(row: Row, text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise row.fault("AllocTRES", "whole numbers of GPUs, as gres/gpu=8 or gres/gpu:a100=8")
    return int(text)


def _nodes(row: Row, tres: Mapping[str, str]) -> int:
    """Nodes that the job had, 1 where nothing says."""
    texts = (tres.get("node", ""), row.text("NNodes", ""), row.text("AllocNodes", ""))
    counts = (int(text) for text in texts if text.isascii() and text.isdigit() and len(text) <= 6)
    return max(1, next(counts, 1))


def _shape(total: int, nodes: int, per_node: int) -> tuple[int, int, int | None, bool]:
    """Pods, GPUs of each and of the last, and whether that is otherwise than it ran: one pod a node."""
    each, rest = divmod(total, nodes)
    if not rest and each <= min(per_node, GPUS_MAX) and nodes <= PODS_MAX:
        return nodes, each, None, False
    return (*split(total, per_node), nodes > 1 or total > per_node)


def _models(types: Sequence[str], models: Sequence[str]) -> tuple[str, ...]:
    """The models of the cluster whose names contain the type: ``a100`` is in ``NVIDIA-A100-SXM4-80GB``."""
    plain = ["".join(filter(str.isalnum, name.lower())) for name in types]
    return tuple(
        model
        for model in models
        if any(name in "".join(filter(str.isalnum, model.lower())) for name in plain)
    )


def _limit_s(row: Row) -> float | None:
    """The time limit, which is what the owner expects at most; None where there is none."""
    raw = row.text("TimelimitRaw", "")
    if raw and raw.isascii() and raw.isdigit():
        return row.seconds("TimelimitRaw", unit_s=_MINUTE_S)
    text = row.text("Timelimit", "")
    return _clock_s(row, "Timelimit") if text[:1].isdigit() else None


def _clock_s(row: Row, column: str) -> float:
    """``[days-]hours:minutes:seconds``, or ``minutes:seconds``."""
    match = _CLOCK.fullmatch(row.text(column))
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups()) if match else (0, 0, 0, -1)
    found = ((days * 24 + hours) * 60 + minutes) * 60.0 + seconds
    if not 0.0 <= found <= SECONDS_MAX:
        raise row.fault(column, "a time such as 1-02:30:00")
    return found


FORMAT = Format(
    name="slurm",
    origin="Slurm (sacct --parsable2 --allusers --duplicates); an account is a team",
    units="local dates, run time from Elapsed; GPUs from AllocTRES, one pod a node; the time limit is the "
    "estimate; CPUs and memory, which Slurm allocates by the node, are not read",
    needs=(*NEEDS, "AllocTRES"),
    may=FIELDS,
    read=_read,
    is_dated=True,
)

"""The shipped samples, as what each is read, and what of it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import simulations

SAMPLES: Final = Path(simulations.__file__).parent / "samples"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """``left`` counts by the first words of the reason; sums in seconds and GPU-seconds, worked out by hand
    or by a sum over the file's own columns. Without ``gpu_seconds`` only the counts are known.
    """

    file: str
    form: str
    records: int
    jobs: int
    left: tuple[tuple[str, int], ...] = ()
    folded: int = 0
    gpu_seconds: float | None = None
    say: bool = False


NEVER, NO_END, NO_GPUS = "never started", "no end", "no GPUs"
ALL: Final = (
    Sample(file="jobs.csv", form="csv", records=8, jobs=8),
    Sample(file="muri.csv", form="muri", records=100, jobs=100),
    # sum of num_gpu x duration
    Sample(file="tiresias.csv", form="tiresias", records=10, jobs=10, gpu_seconds=19_950),
    Sample(file="itp.csv", form="itp", records=100, jobs=100),
    Sample(file="elasticflow.csv", form="elasticflow", records=50, jobs=50),
    Sample(file="gavel.csv", form="gavel", records=100, jobs=89, left=(("no speed", 11),)),
    Sample(file="gavel-physical.csv", form="gavel-physical", records=96, jobs=96),
    # sum of num_gpu x gpu_milli / 1000 x (deletion - creation)
    Sample(file="openb.csv", form="openb", records=100, jobs=100, gpu_seconds=126_580_208.24),
    Sample(
        file="helios.csv", form="helios", records=7, jobs=4,
        left=((NEVER, 1), (NO_GPUS, 1), ("duplicate", 1)),
        gpu_seconds=3600 + 4 * 249 + 8 * 7200 + 32 * 43_200,
    ),
    Sample(file="acme-seren.csv", form="acme-seren", records=2, jobs=2, gpu_seconds=936 + 21_544),
    # start to end, and not the column ``duration``, in which the queue is counted
    Sample(file="acme-kalos.csv", form="acme-kalos", records=2, jobs=2, gpu_seconds=64 * (8 + 70)),
    Sample(
        file="pai_task_table.csv", form="pai", records=6, jobs=3,
        left=((NEVER, 1), (NO_GPUS, 1), (NO_END, 1)),
        gpu_seconds=0.5 * 3600 + 4 * 7200 + 2 * 8 * 300, say=True,
    ),
    Sample(file="chronus.csv", form="chronus", records=11, jobs=10, left=((NO_GPUS, 1),)),
    # the column gpu_time
    Sample(
        file="pollux-philly.csv", form="pollux-philly", records=10, jobs=10,
        gpu_seconds=66 + 2951 + 860_662 + 2759 + 64 + 7944 + 1_546_048 + 789_124 + 746_192 + 240,
    ),
    Sample(file="sia.csv", form="sia", records=10, jobs=9, left=(("run_times.csv has no", 1),)),
    Sample(
        file="small.swf", form="swf", records=4, jobs=3, left=((NEVER, 1),),
        gpu_seconds=8 * 600 + 120 + 16 * 3600,
    ),
    Sample(
        file="alea.swf", form="alea", records=6, jobs=3, left=((NEVER, 1), (NO_GPUS, 1), ("GPUs that", 1)),
        gpu_seconds=8 * 600 + 8 * 3600 + 1800,
    ),
    Sample(
        file="slurm.txt", form="slurm", records=13, jobs=5,
        left=((NEVER, 2), (NO_GPUS, 1), (NO_END, 1)), folded=4,
        gpu_seconds=16 * 43_200 + 1800 + 3630 + 8 * 9000 + 20 * 3600,
    ),
    Sample(
        file="philly.json", form="philly", records=6, jobs=3,
        left=((NEVER, 1), (NO_GPUS, 1), (NO_END, 1)),
        gpu_seconds=8 * (74 + 14_400) + 12 * 3600 + 1200,
    ),
    Sample(
        file="kubernetes.json", form="kubernetes", records=12, jobs=4,
        left=((NEVER, 1), (NO_GPUS, 1), (NO_END, 2)), folded=4,
        gpu_seconds=32 * (3 * 3600 + 28 * 60 + 3) + 15 * 60 + 2 * 3600 + 12 * 3600,
    ),
    Sample(
        file="audit.jsonl", form="audit", records=11, jobs=2,
        left=((NEVER, 1), ("not about", 2), ("a pod whose creation", 1)), folded=5,
        gpu_seconds=8 * 3570 + 2 * 7200,
    ),
    Sample(file="kueue.yaml", form="kueue", records=24, jobs=24, gpu_seconds=0.0),
    Sample(file="kai.yaml", form="kai", records=25, jobs=25, gpu_seconds=10.24 * (5 * 16 + 20)),
)  # fmt: skip

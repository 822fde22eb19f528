"""All recordings by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tests.dialects import recorded_groups, recorded_jobs
from tests.dialects.recorded import Recording

RECORDINGS: Mapping[str, Callable[[str, int], Recording]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        recorded_groups.own,
        recorded_groups.native,
        recorded_groups.coscheduling,
        recorded_groups.volcano,
        recorded_groups.kai,
        recorded_groups.koordinator,
        recorded_groups.koordinator_pod_group,
        recorded_groups.yunikorn,
        recorded_groups.yunikorn_spark,
        recorded_groups.kueue,
        recorded_jobs.pytorch,
        recorded_jobs.pytorch_elastic,
        recorded_jobs.tensorflow,
        recorded_jobs.xgboost,
        recorded_jobs.jax,
        recorded_jobs.paddle,
        recorded_jobs.mpi,
        recorded_jobs.mpi_late,
        recorded_jobs.mpi_v1,
        recorded_jobs.jobset,
        recorded_jobs.jobset_in_order,
        recorded_jobs.jobset_exclusive,
        recorded_jobs.trainjob,
        recorded_jobs.ray,
        recorded_jobs.ray_capped,
        recorded_jobs.ray_multi_host,
        recorded_jobs.lws,
        recorded_jobs.lws_leader_ready,
        recorded_jobs.spark,
        recorded_jobs.job,
    )
}

"""Guards of what a planner's own history becomes: as what it is read, and that nothing of it is lost unsaid."""

from __future__ import annotations

from tests.mutations.guards import Mutation

FORMATS = "tests/simulations/test_each_public_format_is_read_as_what_it_is.py"
SIMULATED = f"{FORMATS}::test_it_is_simulated_and_accounted_for"
SPLIT = "tests/simulations/test_every_known_trace_is_read.py"
UNEVEN = "tests/simulations/test_a_run_keeps_the_rules_of_the_cluster.py"

TRACE_GUARDS: tuple[Mutation, ...] = (
    Mutation(
        name="a table with more columns is another format",
        file="simulations/loads/registry.py",
        old="if form.needs and form.distance(columns) == ((), ()):",
        new="if form.needs and not form.distance(columns)[0]:",
        test=f"{FORMATS}::test_a_column_more_or_less_is_another_format",
    ),
    Mutation(
        name="an id that is there already is counted",
        file="simulations/loads/formats.py",
        old="            tally.left(DUPLICATE, line)",
        new="            yield job",
        test=f"{SIMULATED}[helios]",
    ),
    Mutation(
        name="a file that mostly cannot be parsed is refused",
        file="simulations/loads/trace.py",
        old="unparsed > UNPARSED_SHARE_MAX * self.records:",
        new="False:",
        test=f"{FORMATS}::test_a_few_broken_records_are_left_out_and_many_are_refused",
    ),
    Mutation(
        name="steps are parts of their job",
        file="simulations/loads/readers/slurm.py",
        old='if "." in row.text("JobID"):',
        new="if False:",
        test=f"{SIMULATED}[slurm]",
    ),
    Mutation(
        name="a requeued job is one job",
        file="simulations/loads/readers/slurm.py",
        old="before.state not in _REQUEUED:",
        new="True:",
        test=f"{SIMULATED}[slurm]",
    ),
    Mutation(
        name="Kalos' run time is without the queue",
        file="simulations/loads/readers/acme.py",
        old='between(row.optional_date("start_time"), row.optional_date("end_time"))',
        new='row.seconds("duration")',
        test=f"{SIMULATED}[acme-kalos]",
    ),
    Mutation(
        name="a job's GPUs are cut into whole nodes",
        file="simulations/workload.py",
        old="return (whole + 1, per_node, rest) if rest else (whole, per_node, None)",
        new="return gpus, 1, None",
        test=SPLIT,
    ),
    Mutation(
        name="the last pod of a gang holds its own GPUs",
        file="simulations/engine.py",
        old="gpus = _gpus(pod.shape)",
        new="gpus = job.gpus",
        test=UNEVEN,
    ),
)

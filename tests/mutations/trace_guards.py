"""Guards of what a planner's own history becomes: as what it is read, and that nothing of it is lost unsaid."""

from __future__ import annotations

from tests.mutations.guards import Mutation

FORMATS = "tests/simulations/test_each_public_format_is_read_as_what_it_is.py"
SIMULATED = f"{FORMATS}::test_it_is_simulated_and_accounted_for"
SPLIT = "tests/simulations/test_every_known_trace_is_read.py"
SHARES = "tests/simulations/test_shares_of_gpus_are_placed_on_devices.py"
FAST = "tests/simulations/test_jobs_take_as_long_as_their_gpus_are_fast.py"
SIDES = "tests/simulations/test_runs_stand_side_by_side_on_one_page.py"
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
        old="milli = milli_of(pod.shape)",
        new="milli = MILLI * job.gpus + job.share_milli",
        test=UNEVEN,
    ),
    Mutation(
        name="a share of a GPU counts as what it is",
        file="simulations/virtual.py",
        old="MILLI * dict(shape.requests).get(GPU, 0) + share",
        new="MILLI * (dict(shape.requests).get(GPU, 0) + bool(share))",
        test=f"{SHARES}::test_what_is_held_is_what_was_asked",
    ),
    Mutation(
        name="a share waits as what it is",
        file="simulations/workload.py",
        old="return MILLI * whole + self.share_milli * self.pods",
        new="return MILLI * whole + self.share_milli",
        test=SHARES,
    ),
    Mutation(
        name="nodes report devices where somebody shares one",
        file="simulations/engine.py",
        old="self._tells_devices = any(job.share_milli for job in workload.jobs)",
        new="self._tells_devices = False",
        test=f"{SHARES}::test_parts_of_few_gpus_go_as_the_wholes_of_many",
    ),
    Mutation(
        name="a share asks for its part of a device",
        file="simulations/virtual.py",
        old="DeviceAsk(milli=job.share_milli)",
        new="DeviceAsk(milli=MILLI)",
        test=f"{SHARES}::test_parts_of_few_gpus_go_as_the_wholes_of_many",
    ),
    Mutation(
        name="a node that joins reports its devices",
        file="simulations/engine.py",
        old="                self._nodes[node.name] = node\n                self._join(node)\n",
        new="                self._nodes[node.name] = node\n                self._shell.state.set_node(node)\n",
        test=f"{SHARES}::test_a_node_that_joins_has_devices_for_shares",
    ),
    Mutation(
        name="what a file holds goes before its name",
        file="simulations/loads/registry.py",
        old="    if not magic(path).startswith(PARQUET):\n",
        new="    if named_so is None and not magic(path).startswith(PARQUET):\n",
        test=f"{SIMULATED}[alea]",
    ),
    Mutation(
        name="each side of a page is its own run",
        file="simulations/report/sides.py",
        old="timeline=found[0].timeline,",
        new="timeline=results[0].timeline,",
        test=f"{SIDES}::test_boxes_of_several_stand_beside_each_other_in_their_colours",
    ),
    Mutation(
        name="what is held before and after a change is what ended and started",
        file="simulations/whatif.py",
        old="            self._hold(-_held(pod))\n            self._cluster.delete(pod.uid)\n",
        new="            self._cluster.delete(pod.uid)\n",
        test=f"{SIDES}::test_before_and_after_a_change_stand_beside_each_other",
    ),
    Mutation(
        name="a format that is said is no part of the file's name",
        file="simulations/loads/formats.py",
        old="return Path(rest if name in BY_NAME and rest and not Path(said).exists() else said)",
        new="return Path(said)",
        test=f"{SIDES}::test_a_format_that_is_said_is_no_part_of_the_files_name",
    ),
    Mutation(
        name="a gang waits for its slowest GPUs",
        file="simulations/speeds.py",
        old="return min((self.of(job, model)",
        new="return max((self.of(job, model)",
        test=f"{FAST}::test_a_gang_waits_for_its_slowest_gpus",
    ),
    Mutation(
        name="what is left of a stopped job is counted at its speed",
        file="simulations/underway.py",
        old="(ran_s - again_s) * self.speed)",
        new="(ran_s - again_s))",
        test=f"{FAST}::test_at_one_speed_it_is_as_if_all_durations_were_divided",
    ),
    Mutation(
        name="a job without a speed is refused",
        file="simulations/engine.py",
        old="        if setting.speeds is not None:\n            setting.speeds.check(",
        new="        if False and setting.speeds is not None:\n            setting.speeds.check(",
        test=f"{FAST}::test_a_table_that_cannot_be_is_refused",
    ),
    Mutation(
        name="throughputs are beside the model that durations are on",
        file="simulations/speeds.py",
        old="{model: value / by_model[GAVEL_REFERENCE] for",
        new="{model: value for",
        test=f"{FAST}::test_gavels_throughputs_are_speeds_beside_a_v100",
    ),
    Mutation(
        name="a share of the trace is asked for as one",
        file="simulations/loads/readers/openb.py",
        old="        share_milli=share_milli,\n",
        new="",
        test=f"{SIMULATED}[openb]",
    ),
    Mutation(
        name="parts of several GPUs are no share",
        file="simulations/loads/readers/openb.py",
        old="if share_milli and gpus > 1:",
        new="if False:",
        test=f"{SHARES}::test_several_gpus_are_no_share",
    ),
    Mutation(
        name="unequal shares of a gang are no share",
        file="simulations/loads/readers/pods.py",
        old="shares.pop() if len(shares) == 1 else 0",
        new="max(shares)",
        test=f"{SHARES}::test_pods_of_a_cluster_keep_their_shares",
    ),
)

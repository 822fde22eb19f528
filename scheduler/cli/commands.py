"""The commands and their options; each imports what it needs when it runs."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Annotated, Literal

import typer

from scheduler.cli.failure import Failure

Output = Literal["table", "json", "yaml"]

ConfigOption = Annotated[Path | None, typer.Option("--config", help="SchedulerConfiguration file.")]
KubeconfigOption = Annotated[Path | None, typer.Option("--kubeconfig", help="Default: $KUBECONFIG.")]
ContextOption = Annotated[str | None, typer.Option("--context", help="Context of the kubeconfig.")]
NamespaceOption = Annotated[str, typer.Option("--namespace", "-n", help="Namespace.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the answer.")]
LOAD_HELP = (
    "Jobs: a file of any known format (docs/simulation.md) or a generator such as poisson:jobs=500,load=0.9."
)
LoadArgument = Annotated[str, typer.Argument(help=LOAD_HELP)]
FormatOption = Annotated[
    str | None, typer.Option("--format", help="What the file is, where its columns do not say.")
]
ClusterOption = Annotated[Path, typer.Option("--cluster", help="Node file (YAML) or node list (CSV).")]
PolicyOption = Annotated[
    Path | None, typer.Option("--policy", help="SchedulerConfiguration file; its policy is taken.")
]
TeamsOption = Annotated[Path | None, typer.Option("--teams", help="TeamQuota manifests (YAML).")]
RestartOption = Annotated[
    float, typer.Option("--restart-seconds", min=0, help="Lost each time an evicted job starts again.")
]
CheckpointOption = Annotated[
    float,
    typer.Option(
        "--checkpoint-seconds",
        min=0,
        help="Work between two checkpoints; a job whose node fails does again what came after the last.",
    ),
]
EventsOption = Annotated[
    Path | None, typer.Option("--events", help="Nodes that fail, are drained or join, and when (YAML).")
]
WarmUpOption = Annotated[
    str, typer.Option("--warm-up", help="Figures are of jobs submitted from then on: 3600, 90min, 2h, 1d.")
]
HorizonOption = Annotated[
    str | None, typer.Option("--horizon", help="The run ends then, whatever runs or waits: 90min, 2h, 1d.")
]
SidesOption = Annotated[
    Path | None, typer.Option("--report", help="Write a page with all of it side by side; no network.")
]
SpeedsOption = Annotated[
    Path | None, typer.Option("--speeds", help="How fast jobs run on each GPU model (CSV).")
]
CycleOption = Annotated[
    float, typer.Option("--cycle-seconds", min=0.001, help="Least time between scheduling cycles.")
]

app = typer.Typer(
    name="stowplan",
    help="A GPU-aware gang scheduler for Kubernetes.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
config_app = typer.Typer(help="Check or describe the configuration file.", no_args_is_help=True)
app.add_typer(config_app, name="config")
trace_app = typer.Typer(help="Look into a trace.", no_args_is_help=True)
app.add_typer(trace_app, name="trace")


@app.command()
def run(
    config: ConfigOption = None, kubeconfig: KubeconfigOption = None, context: ContextOption = None
) -> None:
    """Schedule pods until told to stop."""
    from scheduler.cli.start import start

    raise typer.Exit(start(config, kubeconfig, context))


@app.command()
def gangs(
    namespace: NamespaceOption = "default",
    all_namespaces: Annotated[bool, typer.Option("--all-namespaces", "-A")] = False,
    output: OutputOption = "table",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """List gangs, and pods of their own that wait."""
    from scheduler.cli.gangs import show

    show(kubeconfig, context, namespace=None if all_namespaces else namespace, output=output)


@app.command()
def why(
    name: Annotated[str, typer.Argument(help="Gang or pod.")],
    namespace: NamespaceOption = "default",
    output: OutputOption = "table",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Say why a gang or a pod waits, and what is proven about it."""
    from scheduler.cli.why import show

    show(kubeconfig, context, name=name, namespace=namespace, output=output)


@app.command()
def teams(
    explain: Annotated[
        bool, typer.Option("--explain", help="Also the order of what waits, and why.")
    ] = False,
    config: ConfigOption = None,
    output: OutputOption = "table",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show the teams: guaranteed, used, borrowed, lent, pending, share, and whose turn it is."""
    from scheduler.cli.teams import show

    show(kubeconfig, context, config=config, explain=explain, output=output)


@app.command()
def replay(
    file: Annotated[Path, typer.Argument(help="Decision records, as `record.path` names them.")],
    output: OutputOption = "table",
) -> None:
    """Make recorded decisions again; exit 1 when one comes out otherwise."""
    from scheduler.cli.replay import show

    raise typer.Exit(show(file, output=output))


@app.command()
def gpus(
    node: Annotated[str | None, typer.Argument(help="Show the devices of this node.")] = None,
    output: OutputOption = "table",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Show each node's devices: free, shared, held, sick, foreign, and by whom."""
    from scheduler.cli.gpus import show

    show(kubeconfig, context, node=node, output=output)


@app.command()
def doctor(
    config: ConfigOption = None,
    output: OutputOption = "table",
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Check that the cluster has what the scheduler needs; exit 1 when something is missing."""
    from scheduler.cli.doctor import show

    raise typer.Exit(show(kubeconfig, context, config=config, output=output))


@config_app.command("check")
def config_check(file: Annotated[Path, typer.Argument(help="SchedulerConfiguration file.")]) -> None:
    """Validate a configuration file; every problem is told."""
    from scheduler.cli.configuration import read

    read(file)
    typer.echo(f"{file}: valid")


@config_app.command("schema")
def config_schema() -> None:
    """Print the JSON Schema of the configuration file."""
    from scheduler.cli.configuration import schema_text

    typer.echo(schema_text(), nl=False)


@app.command()
def demo(
    keep: Annotated[
        bool, typer.Option("--keep", envvar="KEEP", help="Leave everything running at the end.")
    ] = False,
) -> None:
    """Boot a cluster, run a mix of gangs on it, check the outcome against the API server."""
    if not has_local():
        raise Failure("the extra that boots a control plane is missing; install stowplan[scheduler,local]")
    from scheduler.cli.demo import show

    raise typer.Exit(show(keep=keep))


@app.command()
def simulate(
    context: typer.Context,
    load: LoadArgument,
    cluster: ClusterOption,
    policy: PolicyOption = None,
    teams: TeamsOption = None,
    events: EventsOption = None,
    form: FormatOption = None,
    restart_s: RestartOption = 0.0,
    checkpoint_s: CheckpointOption = 0.0,
    cycle_s: CycleOption = 0.01,
    warm_up: WarmUpOption = "0",
    horizon: HorizonOption = None,
    speeds: SpeedsOption = None,
    output: Annotated[
        Literal["table", "json", "yaml", "parquet"],
        typer.Option("--output", "-o", help="Form of the figures; parquet writes tables of the whole run."),
    ] = "table",
    report: Annotated[
        Path | None, typer.Option("--report", help="Write a page with charts that needs no network.")
    ] = None,
    tables: Annotated[
        Path, typer.Option("--tables", help="Directory for the tables of `-o parquet`.")
    ] = Path("tables"),
) -> None:
    """What would have happened: a trace on a cluster under a policy, by the code that schedules."""
    from scheduler.cli import simulate as command

    terms = command.terms(
        restart_s=restart_s,
        checkpoint_s=checkpoint_s,
        cycle_s=cycle_s,
        warm_up=warm_up,
        horizon=horizon,
        speeds=speeds,
    )
    chosen = command.setting(policy, teams=teams, terms=terms)
    code = command.simulate(
        command.said_as(load, form),
        cluster=cluster,
        events=events,
        chosen=chosen,
        policy=command.title(policy),
        output=output,
        report=report,
        tables=tables,
        asked=command.Asked(
            words=context.obj or [],
            files=(cluster, policy, teams, events, speeds),
        ),
    )
    raise typer.Exit(code)


@app.command()
def compare(
    context: typer.Context,
    load: Annotated[str, typer.Option("--load", help=LOAD_HELP)],
    alternatives: Annotated[
        list[Path] | None,
        typer.Argument(help="SchedulerConfigurations or clusters; the first is the baseline."),
    ] = None,
    form: FormatOption = None,
    cluster: Annotated[Path | None, typer.Option("--cluster", help="Where policies are compared.")] = None,
    policy: PolicyOption = None,
    teams: Annotated[
        list[Path] | None,
        typer.Option("--teams", help="TeamQuota manifests; given more than once, they are compared."),
    ] = None,
    seeds: Annotated[int, typer.Option("--seeds", min=1, max=10_000, help="Runs of a generated load.")] = 20,
    processes: Annotated[
        int | None,
        typer.Option("--processes", help="Runs at a time on the cores here.  [default: one a core]"),
    ] = None,
    backend: Annotated[
        str | None,
        typer.Option("--backend", help="A cluster to run on: dask:HOST:PORT or ray:HOST:PORT."),
    ] = None,
    events: EventsOption = None,
    restart_s: RestartOption = 0.0,
    checkpoint_s: CheckpointOption = 0.0,
    cycle_s: CycleOption = 0.01,
    warm_up: WarmUpOption = "0",
    horizon: HorizonOption = None,
    speeds: SpeedsOption = None,
    report: SidesOption = None,
    output: OutputOption = "table",
) -> None:
    """Policies, clusters or teams on the same load: paired differences, with confidence intervals."""
    from scheduler.cli.simulate import Asked, need, said_as, terms

    need("simulations.comparison")
    from scheduler.cli import compare as command

    options = command.Options(
        load=said_as(load, form),
        cluster=cluster,
        policy=policy,
        teams=teams or (),
        seeds=seeds,
        processes=processes,
        backend=backend,
        events=events,
        terms=terms(
            restart_s=restart_s,
            checkpoint_s=checkpoint_s,
            cycle_s=cycle_s,
            warm_up=warm_up,
            horizon=horizon,
            speeds=speeds,
        ),
        report=report,
        asked=Asked(words=context.obj or [], files=(speeds,)),
    )
    command.show(alternatives or (), options, output=output)


@trace_app.command("check")
def trace_check(
    file: Annotated[Path, typer.Argument(help="A trace of any known format.")],
    form: FormatOption = None,
    cluster: Annotated[
        Path | None, typer.Option("--cluster", help="Cluster that the load is held against.")
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Say what is in a trace: as what it is read, what is left out and why, load and sizes."""
    from scheduler.cli.trace import check

    check(file, form=form, cluster=cluster, output=output)


@app.command()
def snapshot(
    file: Annotated[Path, typer.Argument(help="Where to write it; compressed.")],
    config: ConfigOption = None,
    kubeconfig: KubeconfigOption = None,
    context: ContextOption = None,
) -> None:
    """Write the live cluster down as far as scheduling reads it: no environments, arguments or secrets."""
    from scheduler.cli.snapshot import save

    save(file, kubeconfig, context, config=config)


@app.command("what-if")
def what_if(
    context: typer.Context,
    file: Annotated[Path, typer.Argument(help="A file of `stowplan snapshot`.")],
    add: Annotated[list[Path] | None, typer.Option("--add", help="Node file: these nodes join.")] = None,
    drain: Annotated[list[str] | None, typer.Option("--drain", help="Node that is drained.")] = None,
    teams: Annotated[
        Path | None, typer.Option("--teams", help="TeamQuotas that replace those of the same name.")
    ] = None,
    submit: Annotated[
        list[Path] | None, typer.Option("--submit", help="Manifests that are submitted.")
    ] = None,
    policy: Annotated[
        Path | None, typer.Option("--policy", help="SchedulerConfiguration with another policy.")
    ] = None,
    config: ConfigOption = None,
    horizon_h: Annotated[
        float, typer.Option("--horizon-hours", min=0, max=8_784, help="How far to look.")
    ] = 24.0,
    default_duration: Annotated[
        str | None,
        typer.Option("--default-duration", help="How long gangs run that do not say it: 90min, 2h, 1d."),
    ] = None,
    report: SidesOption = None,
    output: OutputOption = "table",
) -> None:
    """What would start, when, and who would be displaced, if something were different."""
    from scheduler.cli.simulate import time_of
    from scheduler.cli.whatif import Asked, show

    asked = Asked(
        adds=add or (),
        drains=drain or (),
        teams=teams,
        submits=submit or (),
        policy=policy,
        config=config,
        horizon_s=horizon_h * 3600,
        default_s=None if default_duration is None else time_of("--default-duration", default_duration),
        report=report,
        words=context.obj or [],
    )
    show(file, asked, output=output)


def has_local() -> bool:
    """Whether the extra ``local`` is installed; an image of the scheduler has it not."""
    return importlib.util.find_spec("cryptography") is not None


def add_local() -> None:
    """Add ``stowplan local`` where it can work."""
    if not has_local():
        return
    from scheduler.cli.local import app as local_app

    app.add_typer(local_app, name="local")

"""``stowplan local``: a control plane on this machine, from the project's own Go module."""

from __future__ import annotations

import re
import sys
from typing import Annotated, Final, Literal

import msgspec
import typer

from deploy.local import components
from deploy.local.cluster import CLUSTER_NAME_DEFAULT, Cluster, find, named_directory, up
from deploy.local.cluster import down as take_down
from deploy.local.components import COMPONENTS
from deploy.local.errors import LocalError
from deploy.local.identities import IDENTITIES, Identity
from scheduler.cli.failure import EXIT_FAILED, EXIT_USAGE, Failure
from scheduler.cli.output import emit, table

Output = Literal["table", "json", "yaml"]

NameOption = Annotated[str, typer.Option("--name", help="Name of the cluster.")]
OutputOption = Annotated[Output, typer.Option("--output", "-o", help="Form of the answer.")]

#: Keeps the directory's name harmless and its sockets' paths short.
_NAME: Final = re.compile(r"[a-z0-9]([-a-z0-9]{0,38}[a-z0-9])?")

app = typer.Typer(help="A control plane on this machine: up, down, status, kubeconfig.", no_args_is_help=True)


class ComponentReport(msgspec.Struct, rename="camel"):
    """One component as ``status`` tells it."""

    component: str
    state: Literal["running", "ended", "not started"]
    pid: int | None
    log: str


class ClusterReport(msgspec.Struct, rename="camel"):
    """A cluster as ``up`` and ``status`` tell it."""

    name: str
    state: Literal["running", "stopped", "absent"]
    url: str | None = None
    directory: str | None = None
    kubeconfig: str | None = None
    components: list[ComponentReport] = []


@app.command("up")
def bring_up(
    name: NameOption = CLUSTER_NAME_DEFAULT,
    with_: Annotated[
        list[str] | None,
        typer.Option("--with", help="Run controller-manager or scheduler too; may be given twice."),
    ] = None,
    output: OutputOption = "table",
) -> None:
    """Start a cluster, building its binary first where needed; one that runs is left as it is."""
    from deploy.local.progress import shown

    directory = named_directory(_checked(name))
    try:
        wanted = components.optional(with_ or [])
    except ValueError as error:
        raise Failure(str(error), code=EXIT_USAGE) from error
    try:
        with shown() as watcher:
            cluster = up(directory, name=name, wanted=wanted, watcher=watcher)
    except LocalError as error:
        raise Failure(str(error)) from error
    _show(_report(cluster), output)


@app.command()
def down(
    name: NameOption = CLUSTER_NAME_DEFAULT,
    keep_data: Annotated[
        bool, typer.Option("--keep-data", help="Stop only; the next up goes on with the same objects.")
    ] = False,
) -> None:
    """Stop a cluster and delete what it held. One that is not there is not an error."""
    try:
        cluster = take_down(named_directory(_checked(name)), keep_data=keep_data)
    except LocalError as error:
        raise Failure(str(error)) from error
    if cluster is None:
        typer.echo(f"no cluster {name}")
    elif keep_data:
        typer.echo(f"stopped {name}; its data is in {cluster.directory}")
    else:
        typer.echo(f"removed {name}")


@app.command()
def status(name: NameOption = CLUSTER_NAME_DEFAULT, output: OutputOption = "table") -> None:
    """Show a cluster's components. Exit 1 unless all that were started are running."""
    cluster = _found(name)
    report = ClusterReport(name=name, state="absent") if cluster is None else _report(cluster)
    _show(report, output)
    if report.state != "running":
        raise typer.Exit(EXIT_FAILED)


@app.command()
def kubeconfig(
    name: NameOption = CLUSTER_NAME_DEFAULT,
    identity: Annotated[Identity, typer.Option("--as", help="Whose credentials.")] = "admin",
    is_path: Annotated[bool, typer.Option("--path", help="Print the file's path, not its content.")] = False,
) -> None:
    """Print a kubeconfig for one identity; for ``--as stowplan`` it has the scheduler's rights only."""
    cluster = _found(name)
    if cluster is None:
        raise Failure(f"no cluster {name}; start it with: stowplan local up --name {name}")
    file = cluster.kubeconfig(identity)
    if is_path:
        typer.echo(file)
    else:
        sys.stdout.write(file.read_text())


def _checked(name: str) -> str:
    if _NAME.fullmatch(name) is None:
        text = f"--name {name!r} is not a name; use up to 40 lower-case letters, digits and inner dashes"
        raise Failure(text, code=EXIT_USAGE)
    return name


def _found(name: str) -> Cluster | None:
    try:
        return find(named_directory(_checked(name)))
    except LocalError as error:
        raise Failure(str(error)) from error


def _report(cluster: Cluster) -> ClusterReport:
    told = []
    for component in COMPONENTS:
        process = cluster.processes.get(component)
        state: Literal["running", "ended", "not started"] = "not started"
        if process is not None:
            state = "running" if process.is_alive else "ended"
        pid = process.pid if process is not None and state == "running" else None
        log = str(cluster.log(component)) if process is not None else ""
        told.append(ComponentReport(component=component, state=state, pid=pid, log=log))
    return ClusterReport(
        name=cluster.name,
        state="running" if cluster.is_running else "stopped",
        url=cluster.url,
        directory=str(cluster.directory),
        kubeconfig=str(cluster.admin_kubeconfig),
        components=told,
    )


def _show(report: ClusterReport, output: Output) -> None:
    if output != "table":
        emit(report, output)
        return
    typer.echo(f"cluster {report.name}: {report.state}" + (f" at {report.url}" if report.url else ""))
    if report.components:
        rows = [[c.component, c.state, str(c.pid or ""), c.log] for c in report.components]
        table(["component", "state", "pid", "log"], rows)
    if report.state == "running":
        typer.echo(f"export KUBECONFIG={report.kubeconfig}")
        typer.echo(f"other identities: stowplan local kubeconfig --name {report.name} --as {_others()}")


def _others() -> str:
    return "|".join(identity for identity in IDENTITIES if identity != "admin")

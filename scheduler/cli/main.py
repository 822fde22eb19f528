"""``stowplan``: the entry point of the command line.

Exit codes: 0 done, 1 failed or a check failed, 2 wrong arguments or a wrong file, 130 interrupted.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from scheduler.cli.failure import Failure

RUN_OPTIONS = ("--config", "--kubeconfig", "--context")


def main(arguments: Sequence[str] | None = None) -> None:
    """The console script; ``arguments`` are those of the process unless given."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        sys.exit(_run(given))
    except Failure as failure:
        for line in str(failure).splitlines():
            print(f"error: {line}", file=sys.stderr)
        sys.exit(failure.code)
    except KeyboardInterrupt:
        sys.exit(130)


def _run(given: list[str]) -> int:
    options = run_options(given)
    if options is not None:
        from scheduler.cli.start import start

        return start(_path(options, "--config"), _path(options, "--kubeconfig"), options.get("--context"))
    if given[:1] == ["agent"]:
        # Before typer: the agent's image has neither it nor the scheduler.
        from scheduler.cli.agent import main as agent

        return agent(given[1:])
    from scheduler.cli.commands import add_local, app

    if not given or given[0] in ("local", "--help"):
        add_local()
    app(args=given, obj=given)
    return 0


def run_options(given: Sequence[str]) -> dict[str, str] | None:
    """The options of a plain ``stowplan run``, or None for everything else, help and mistakes included.

    A scheduler that restarts schedules nothing meanwhile, so it does not wait for the libraries that
    read command lines; those read whatever is not plain.
    """
    if not given or given[0] != "run":
        return None
    options: dict[str, str] = {}
    words = list(given[1:])
    while words:
        name, has_value, value = words.pop(0).partition("=")
        if not has_value and words:
            value = words.pop(0)
        if name not in RUN_OPTIONS or name in options or not value or value.startswith("-"):
            return None
        options[name] = value
    return options


def _path(options: Mapping[str, str], name: str) -> Path | None:
    return Path(options[name]) if name in options else None

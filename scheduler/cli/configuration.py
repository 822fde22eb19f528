"""The configuration file as commands read it."""

from __future__ import annotations

import json
from pathlib import Path

from scheduler.cli.failure import EXIT_USAGE, Failure
from scheduler.live.config import ConfigurationError, SchedulerConfiguration, load, schema


def read(file: Path | None) -> SchedulerConfiguration:
    """The file's configuration, or the defaults without a file. Raises: Failure with every problem."""
    if file is None:
        return SchedulerConfiguration()
    try:
        return load(file)
    except ConfigurationError as error:
        raise Failure(str(error), code=EXIT_USAGE) from error


def schema_text() -> str:
    return json.dumps(schema(), indent=2) + "\n"

"""What several commands take: the home folder, and a run."""

from __future__ import annotations

from pathlib import Path

import click

from ralph_otel.config import MetricsConfig
from ralph_otel.runs import LATEST, RunError, find

run_argument = click.argument("run", default=LATEST, metavar="[RUN]")
"""A run id, an unambiguous beginning of one, `latest`, or a file's path."""


def home() -> Path:
    """The folder of the journals, as configured."""
    return MetricsConfig().home


def journal_of(run: str) -> Path:
    """The journal that is meant by RUN.

    Raises:
        click.ClickException: there is none, or several.
    """
    try:
        return find(run, home())
    except RunError as error:
        raise click.ClickException(str(error)) from None

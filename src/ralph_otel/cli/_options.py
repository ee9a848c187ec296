"""What several commands take: the home folder, and a run."""

from __future__ import annotations

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from ralph_otel import redaction
from ralph_otel.config import MetricsConfig
from ralph_otel.journal import BadLine, decode
from ralph_otel.own_files import open_to_read
from ralph_otel.runs import LATEST, RunError, find, journals, short_ids

_OFFERED = 50
"""Runs that a shell offers, the newest."""


def home() -> Path:
    """The folder of the journals, as configured."""
    return configured().home


def configured() -> MetricsConfig:
    """The configuration. What it wants in no signal is in none of this command from now on."""
    config = MetricsConfig()
    redaction.use(config.redact)
    return config


def complete_run(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """What a shell offers for a RUN: short ids, or whole ones where one has begun to type such, the newest first.

    Each with its loop's name. Give it as `shell_complete`.
    """
    known = journals(home())
    short = short_ids([path.stem for path in known])
    fitting = [(path, short[path.stem]) for path in known if short[path.stem].startswith(incomplete)]
    fitting = fitting or [(path, path.stem) for path in known if path.stem.startswith(incomplete)]
    items = [CompletionItem(run, help=_loop_name(path)) for path, run in reversed(fitting[-_OFFERED:])]
    return [*items, CompletionItem(LATEST)] if LATEST.startswith(incomplete) else items


def _loop_name(path: Path) -> str:
    """The loop's name as the journal's first line has it; "" where it has none."""
    try:
        with open_to_read(path) as file:
            return "".join(each for each in decode(file.readline(65_536)).get("name", "") if each.isprintable())
    except (OSError, BadLine, TypeError):
        return ""


run_argument = click.argument("run", default=LATEST, metavar="[RUN]", shell_complete=complete_run)
"""A run id, an unambiguous part of one, `latest`, or a file's path."""


def journal_of(run: str) -> Path:
    """The journal that is meant by RUN.

    Raises:
        click.ClickException: there is none, or several.
    """
    try:
        return find(run, home())
    except RunError as error:
        raise click.ClickException(str(error)) from None

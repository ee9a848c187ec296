"""`ralph-otel top`: all loops of this machine, live in the terminal."""

from __future__ import annotations

import os
import sys
import time

import click

from ralph_otel.cli._options import home
from ralph_otel.views.live import Live
from ralph_otel.views.rows import SORTS, matches, ordered, row_of

_PLAIN = (None, "", "dumb", "unknown")
"""Kinds of terminals that have no cursor to move."""


@click.command()
@click.option("--once", is_flag=True, help="Print a plain table and end; so it does where there is no terminal.")
@click.option("--budget", type=click.FloatRange(0, min_open=True), help="US dollars that a loop may cost.")
@click.option("--interval", type=click.FloatRange(0.2), default=1.0, show_default=True, help="Seconds between looks.")
@click.option("--sort", type=click.Choice(tuple(SORTS)), default="state", show_default=True, help="Which come first.")
@click.option(
    "--filter", "wanted", default="", metavar="TEXT", help="Only loops with this in name, id, runner or state."
)
@click.option("-n", "--most", type=click.IntRange(0), default=50, show_default=True, help="Ended runs that are shown.")
def command(once: bool, budget: float | None, interval: float, sort: str, wanted: str, most: int) -> None:
    """The loops that run, and the last that ended, live in the terminal.

    Everything comes from the journals, for loops started in any way. Keys: arrows and enter for one loop in detail, s
    to sort, r for the other way round, / to filter, ? for help, q to quit.

    Example: ralph-otel top --budget 20
    """
    live = Live(home(), most)
    try:
        if once or not _terminal():
            click.echo(_table(live, sort, wanted), nl=False)
        else:
            from ralph_otel.views.top.app import TopApp

            for size in ("COLUMNS", "LINES"):  # of the terminal as it was once; Textual would go by them for ever
                os.environ.pop(size, None)
            TopApp(live, interval, budget, sort, wanted).run()
    finally:
        live.close()


def _terminal() -> bool:
    """Whether there is a terminal that can be drawn on. Textual draws on stderr."""
    return all(each.isatty() for each in (sys.stdin, sys.stdout, sys.stderr)) and os.environ.get("TERM") not in _PLAIN


def _table(live: Live, sort: str, wanted: str) -> str:
    from ralph_otel.views.top.table import table

    live.poll()
    for path, problem in live.errors.items():
        click.echo(f"ralph-otel: cannot read {path}: {problem}", err=True)
    now = time.time_ns()
    rows = (row_of(run, now) for run in live.runs)
    return table(ordered((row for row in rows if matches(row, wanted)), sort))

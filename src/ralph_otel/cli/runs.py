"""`ralph-otel runs`: the runs there are."""

from __future__ import annotations

import json
import shutil
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import click

from ralph_otel.cli._options import home
from ralph_otel.config import seconds
from ralph_otel.journal import has_end
from ralph_otel.runs import fold, journals, short_ids
from ralph_otel.views.runs import SORTS, Run, Wanted, run_of, table


@click.command()
@click.option("--json", "as_json", is_flag=True, help="An array of objects instead of a table.")
@click.option("-l", "--long", is_flag=True, help="The table with whole ids, runners, tokens and reboots.")
@click.option("-n", "--most", type=click.IntRange(1), default=20, show_default=True, help="Only the last so many.")
@click.option("--name", multiple=True, help="Only loops of this name; * and ? stand for any.")
@click.option("--runner", multiple=True, help="Only loops of this runner, likewise.")
@click.option("--state", multiple=True, help="Only runs in this state, or that stopped for this reason, likewise.")
@click.option("--running", is_flag=True, help="Only those that are under way.")
@click.option("--since", metavar="AGE", help="Only those with an event within this time: 30m, 12h, 1d.")
@click.option("--sort", type=click.Choice(tuple(SORTS)), help="The largest last, instead of the newest.")
@click.option("-r", "--reverse", is_flag=True, help="The last one first.")
def command(
    as_json: bool,
    long: bool,
    most: int,
    name: tuple[str, ...],
    runner: tuple[str, ...],
    state: tuple[str, ...],
    running: bool,
    since: str | None,
    sort: str | None,
    reverse: bool,
) -> None:
    """The runs, the newest last.

    The ids in the table are short; every command takes them for RUN. --json has the whole ones, too.

    Example: ralph-otel runs --since 1d --sort cost

    Example: ralph-otel runs --state dead --state crashed --name 'fix-*'

    Example: ralph-otel runs --json | jq '.[-1].run'
    """
    now = time.time_ns()
    wanted = Wanted(name, runner, state, running, now - _nanoseconds(since) if since is not None else None)
    found = list(islice(_runs(wanted, now), most if sort is None else None))[::-1]
    if sort is not None:
        found = sorted(found, key=SORTS[sort])[-most:]
    if reverse:
        found.reverse()
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        click.echo("\n".join(table(found, long, _width())))
    elif not wanted.anything:
        click.echo("No run is like that; without options, all are shown.", err=True)
    else:
        click.echo(f"No runs in {home() / 'runs'} yet. A first one: ralph-otel run -- COMMAND…", err=True)


def _width() -> int | None:
    """Cells of a line; None in a pipe, where nothing need be cut."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def _runs(wanted: Wanted, now: int) -> Iterator[Run]:
    """The runs that are asked for, the newest first; a journal is read when it is its turn."""
    known = journals(home())
    short = short_ids([path.stem for path in known])
    for path in reversed(known):
        try:
            if _need_not_be_read(path, wanted):
                continue
            folded = fold(path)
        except OSError as error:
            click.echo(f"ralph-otel: cannot read {path}: {error.strerror}", err=True)
            continue
        run = run_of(path, short[path.stem], folded, now)
        if wanted.has(run, folded.run.last):
            yield run


def _need_not_be_read(path: Path, wanted: Wanted) -> bool:
    if wanted.since is not None and path.stat().st_mtime_ns < wanted.since:
        return True
    return wanted.running and has_end(path)


def _nanoseconds(age: str) -> int:
    try:
        return round(seconds(age) * 1e9)
    except ValueError:
        what = f"{age!r} will not do; it must be a time such as 30m, 12h or 1d"
        raise click.BadParameter(what, param_hint="--since") from None

"""`ralph-otel runs`: the runs there are."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
from rich.cells import cell_len
from rich.console import Console, JustifyMethod
from rich.table import Table

from ralph_otel.cli._options import home
from ralph_otel.config import seconds
from ralph_otel.journal import has_end
from ralph_otel.recovery import gone
from ralph_otel.runs import Folded, fold, journals
from ralph_otel.views.live_run import PAUSED, RUNNING, status_of
from ralph_otel.views.report.wording import iso
from ralph_otel.wording import duration, printable

_SORTS: dict[str, Callable[[dict[str, Any]], float]] = {
    "cost": lambda row: row["cost_usd"],
    "iterations": lambda row: row["iterations"],
    "time": lambda row: row["execution_time"],
}


@click.command()
@click.option("--json", "as_json", is_flag=True, help="An array of objects instead of a table.")
@click.option("-n", "--most", type=click.IntRange(1), default=20, show_default=True, help="Only the last so many.")
@click.option("--name", help="Only loops of this name.")
@click.option("--running", is_flag=True, help="Only those that are under way.")
@click.option("--since", metavar="AGE", help="Only those with an event within this time: 30m, 12h, 1d.")
@click.option("--sort", type=click.Choice(tuple(_SORTS)), help="The largest last, instead of the newest.")
def command(as_json: bool, most: int, name: str | None, running: bool, since: str | None, sort: str | None) -> None:
    """The runs, the newest last.

    Example: ralph-otel runs --since 1d --sort cost

    Example: ralph-otel runs --json | jq '.[-1].run'
    """
    now = time.time_ns()
    oldest = now - _nanoseconds(since) if since is not None else None
    found: list[dict[str, Any]] = []
    for path in reversed(journals(home())):
        try:
            if (oldest is not None and path.stat().st_mtime_ns < oldest) or (running and has_end(path)):
                continue  # need not be read
            folded = fold(path)
        except OSError as error:
            click.echo(f"ralph-otel: cannot read {path}: {error.strerror}", err=True)
            continue
        state = folded.run
        row = _row(path, folded, status_of(state, state.active and gone(state), now))
        if name is not None and row["name"] != name:
            continue
        if (running and row["state"] not in (RUNNING, PAUSED)) or (oldest is not None and state.last < oldest):
            continue
        found.insert(0, row)
        if len(found) == most and sort is None:
            break
    if sort is not None:
        found = sorted(found, key=_SORTS[sort])[-most:]
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        _show(found)
    elif name is not None or running or since is not None:
        click.echo("No run is like that; without options, all are shown.", err=True)
    else:
        click.echo(f"No runs in {home() / 'runs'} yet. A first one: ralph-otel run -- COMMAND…", err=True)


def _nanoseconds(age: str) -> int:
    try:
        return round(seconds(age) * 1e9)
    except ValueError:
        what = f"{age!r} will not do; it must be a time such as 30m, 12h or 1d"
        raise click.BadParameter(what, param_hint="--since") from None


def _row(path: Path, folded: Folded, status: str) -> dict[str, Any]:
    """A run as plain values: times are ISO 8601 in UTC, durations seconds."""
    state, metrics = folded.run, folded.run.metrics()
    total = metrics.rollups["all"]
    return {
        "run": path.stem,
        "name": state.name,
        "runner": state.runner or None,
        "state": status,
        "started": iso(state.started),
        "stopped": iso(state.stopped),
        "last_event": iso(state.last or None),
        "stop_reason": state.stop_reason,
        "iterations": metrics.total_iterations,
        "successful_iterations": metrics.successful_iterations,
        "execution_time": metrics.total_execution_time,
        "tokens": total.tokens,
        "cost_usd": total.cost,
        "reboots": metrics.total_reboots,
        "tests": {"total": metrics.tests.total_tests, "passing": metrics.tests.passing_tests},
        "bad_lines": folded.bad_lines,
        "journal": str(path),
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    tests, iterations = row["tests"], row["iterations"]
    return (
        row["run"],
        printable(row["name"]),
        row["stop_reason"] or row["state"],
        str(iterations),
        f"{row['successful_iterations'] / iterations:.0%}" if iterations else "",
        f"{tests['passing']}/{tests['total']}" if tests["total"] else "",
        f"${row['cost_usd']:.2f}" if row["cost_usd"] else "",
        duration(row["execution_time"]),
    )


def _show(rows: list[dict[str, Any]]) -> None:
    """A table as wide as the terminal; where that is narrow, it is the loop's name that is cut."""
    titles = ("run", "loop", "state", "iter", "ok", "tests", "cost", "time")
    columns = list(zip(titles, *map(_cells, rows), strict=True))
    widths = {column[0]: max(map(cell_len, column)) for column in columns}
    console = Console(markup=False, highlight=False)
    left = console.width - sum(width + 1 for title, width in widths.items() if title != "loop") - 1
    widths["loop"] = max(4, min(widths["loop"], left))
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title, width in widths.items():
        justify: JustifyMethod = "left" if title in titles[:3] else "right"
        table.add_column(title, no_wrap=True, overflow="ellipsis", width=width, justify=justify)
    for row in rows:
        table.add_row(*_cells(row))
    console.print(table, soft_wrap=True)

"""`ralph-otel runs`: the runs there are."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import click
from rich.console import Console, JustifyMethod
from rich.table import Table

from ralph_otel.cli._options import home
from ralph_otel.exporters.console import duration, printable
from ralph_otel.runs import Folded, fold, journals


@click.command()
@click.option("--json", "as_json", is_flag=True, help="An array of objects instead of a table.")
@click.option("-n", "--most", type=click.IntRange(1), default=20, show_default=True, help="Only the newest so many.")
@click.option("--name", help="Only loops of this name.")
def command(as_json: bool, most: int, name: str | None) -> None:
    """The runs, the newest last.

    Example: ralph-otel runs --json | jq '.[-1].run'
    """
    found: list[dict[str, Any]] = []
    for path in reversed(journals(home())):
        try:
            row = _row(path, fold(path))
        except OSError as error:
            click.echo(f"ralph-otel: cannot read {path}: {error.strerror}", err=True)
            continue
        if name is None or row["name"] == name:
            found.insert(0, row)
        if len(found) == most:
            break
    if as_json:
        click.echo(json.dumps(found, indent=2))
    elif found:
        _show(found)
    else:
        click.echo(f"No runs in {home() / 'runs'} yet. A first one: ralph-otel run -- COMMAND…", err=True)


def _row(path: Path, folded: Folded) -> dict[str, Any]:
    """A run as plain values: times are ISO 8601 in UTC, durations seconds."""
    state, metrics = folded.run, folded.run.metrics()
    total = metrics.rollups["all"]
    return {
        "run": path.stem,
        "name": state.name,
        "runner": state.runner or None,
        "started": _time(state.started),
        "stopped": _time(state.stopped),
        "last_event": _time(state.last or None),
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


def _time(ns: int | None) -> str | None:
    if ns is None:
        return None
    try:
        return datetime.fromtimestamp(ns / 1e9, UTC).isoformat(timespec="milliseconds")
    except (OverflowError, ValueError, OSError):
        return None


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    tests, iterations = row["tests"], row["iterations"]
    return (
        row["run"],
        printable(row["name"]),
        row["stop_reason"] or "no end",
        str(iterations),
        f"{row['successful_iterations'] / iterations:.0%}" if iterations else "",
        f"{tests['passing']}/{tests['total']}" if tests["total"] else "",
        f"${row['cost_usd']:.2f}" if row["cost_usd"] else "",
        duration(row["execution_time"]),
    )


def _show(rows: list[dict[str, Any]]) -> None:
    """A table as wide as the terminal; where that is narrow, it is the loop's name that is cut."""
    titles = ("run", "loop", "state", "iter", "ok", "tests", "cost", "time")
    cells = [_cells(row) for row in rows]
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    for title, column in zip(titles, zip(*cells, strict=True), strict=True):
        least = 4 if title == "loop" else max(len(title), *map(len, column))
        justify: JustifyMethod = "left" if title in titles[:3] else "right"
        table.add_column(title, no_wrap=True, overflow="ellipsis", min_width=least, justify=justify)
    for line in cells:
        table.add_row(*line)
    Console(markup=False, highlight=False).print(table)

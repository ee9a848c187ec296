"""The runs there are as rows: what is known of each, their orders, what may be asked for, and a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any

from rich.cells import cell_len, set_cell_size

from ralph_otel.processes import gone
from ralph_otel.runs import Folded
from ralph_otel.views.live_run import PAUSED, RUNNING, status_of
from ralph_otel.wording import duration, iso, printable

Run = dict[str, Any]
"""A run as plain values: times are ISO 8601 in UTC, durations seconds, costs US dollars; None: not known."""

SORTS: dict[str, Callable[[Run], Any]] = {
    "started": lambda run: run["started"] or "",
    "last": lambda run: run["last_event"] or "",
    "cost": lambda run: run["cost_usd"],
    "tokens": lambda run: run["tokens"],
    "iterations": lambda run: run["iterations"],
    "success": lambda run: run["successful_iterations"] / run["iterations"] if run["iterations"] else 0.0,
    "time": lambda run: run["execution_time"],
    "reboots": lambda run: run["reboots"],
    "name": lambda run: run["name"].casefold(),
    "state": lambda run: run["stop_reason"] or run["state"],
}
"""The orders there are besides that of the journals; the largest comes last."""


def run_of(path: Path, short: str, folded: Folded, now: int) -> Run:
    """What is known of a run.

    Args:
        path: its journal.
        short: the shortest text that it is found by.
        folded: its journal's fold.
        now: Unix nanoseconds.
    """
    state, metrics = folded.run, folded.run.metrics()
    total = metrics.rollups["all"]
    return {
        "run": path.stem,
        "short": short,
        "name": state.name,
        "runner": state.runner or None,
        "state": status_of(state, state.active and gone(state), now),
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


@dataclass(frozen=True)
class Wanted:
    """Which runs are asked for. Names, runners and states may have `*` and `?` in them; () and None: any.

    Args:
        names: of loops.
        runners: see `Run`.
        states: see `ralph_otel.views.live_run.status_of`, and reasons to stop.
        running: only those that are under way.
        since: only those with an event at that time or later, Unix nanoseconds.
    """

    names: Sequence[str] = ()
    runners: Sequence[str] = ()
    states: Sequence[str] = ()
    running: bool = False
    since: int | None = None

    @property
    def anything(self) -> bool:
        """Whether every run is like that."""
        return self == Wanted()

    def has(self, run: Run, last: int) -> bool:
        """Whether a run is like that; `last`: its last event, Unix nanoseconds."""
        return (
            _like(self.names, run["name"])
            and _like(self.runners, run["runner"] or "")
            and _like(self.states, run["state"], run["stop_reason"] or "")
            and (not self.running or run["state"] in (RUNNING, PAUSED))
            and (self.since is None or last >= self.since)
        )


def _like(patterns: Sequence[str], *values: str) -> bool:
    return not patterns or any(value == each or fnmatchcase(value, each) for each in patterns for value in values)


# -- the table ---------------------------------------------------------------------------------------------------------

Cell = Callable[[Run], str]
_LEFT = ("run", "loop", "state", "runner")
_TABLE: dict[str, Cell] = {
    "run": lambda run: run["short"],
    "loop": lambda run: printable(run["name"]),
    "state": lambda run: run["stop_reason"] or run["state"],
    "iter": lambda run: str(run["iterations"]),
    "ok": lambda run: f"{run['successful_iterations'] / run['iterations']:.0%}" if run["iterations"] else "",
    "tests": lambda run: f"{run['tests']['passing']}/{run['tests']['total']}" if run["tests"]["total"] else "",
    "cost": lambda run: f"${run['cost_usd']:.2f}" if run["cost_usd"] else "",
    "time": lambda run: duration(run["execution_time"]),
    "last, UTC": lambda run: (run["last_event"] or "")[:16].replace("T", " "),
}
_LONG: dict[str, Cell] = {
    **_TABLE,
    "run": lambda run: run["run"],
    "runner": lambda run: printable(run["runner"] or ""),
    "tokens": lambda run: f"{run['tokens']:,}" if run["tokens"] else "",
    "reboots": lambda run: str(run["reboots"] or ""),
}


_LEAST = 12
"""Cells that a loop's name gets, if need be at the cost of other columns."""
_DISPENSABLE = ("last, UTC", "ok", "tests", "reboots", "tokens", "runner")
"""Columns that a narrow terminal does without, the first of them first."""


def table(runs: Sequence[Run], long: bool = False, width: int | None = None) -> list[str]:
    """The lines of a table, its titles first.

    Args:
        runs: what is in it.
        long: with whole ids, and more columns.
        width: cells of a line at the most; None: nothing is cut.
    """
    cells = _LONG if long else _TABLE
    columns = {title: [title, *map(cell, runs)] for title, cell in cells.items()}
    widths = {title: max(map(cell_len, column)) for title, column in columns.items()}
    if width is not None:
        for title in _DISPENSABLE:
            if _needed(widths) <= width:
                break
            widths.pop(title, None)
        widths["loop"] = max(4, min(widths["loop"], width - _needed(widths) + min(_LEAST, widths["loop"])))
    lines = zip(*(_set(columns[title], cells, title in _LEFT) for title, cells in widths.items()), strict=True)
    return [" ".join(line).rstrip() for line in lines]


def _needed(widths: dict[str, int]) -> int:
    """Cells of a line whose loop's name has the least."""
    return sum(widths.values()) + len(widths) - 1 - max(0, widths["loop"] - _LEAST)


def _set(column: Sequence[str], width: int, left: bool) -> Iterator[str]:
    """A column's texts in so many cells each."""
    for text in column:
        if (missing := width - cell_len(text)) < 0:
            yield set_cell_size(text, width - 1) + "…"
        else:
            yield text + " " * missing if left else " " * missing + text

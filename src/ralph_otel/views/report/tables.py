"""The tables of a report. What a journal says, a name of whatever sort, is a `Name` in them; the rest is our own."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from ralph_otel.views.history import History
from ralph_otel.views.records import Calls, Iteration
from ralph_otel.views.report import wording
from ralph_otel.views.report.comparison import EARLIER, FIGURES
from ralph_otel.views.report.content import RANKED, Report

MAX_ITERATIONS = 500
"""Rows of the table of all iterations, the newest."""
MAX_ROWS = 50
"""Rows of every other table."""


class Name(str):
    """A text from the journal: shown as it is, whatever is in it."""

    __slots__ = ()


class Column(NamedTuple):
    """A column's title, and whether it holds numbers."""

    title: str
    number: bool = False


@dataclass(frozen=True)
class Table:
    """A table.

    Args:
        title: what it is of.
        columns: its columns; the first says what a row is about.
        rows: the cells.
        note: what is said beside it.
        folded: whether it is shown only when asked for.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[str]]
    note: str = ""
    folded: bool = False


def tables(report: Report, iterations: bool = True) -> list[Table]:
    """The tables of a run, with or without that of all iterations; only what has anything to show."""
    history = report.history
    few = len(history.rows) <= RANKED
    made = (
        _comparison(report),
        _iterations("Slowest iterations", [] if few else report.slowest),
        _iterations("Most expensive iterations", [] if few else report.most_expensive),
        _iterations("Iterations that failed", report.failed, MAX_ROWS),
        _tests("Failing tests", report.failing_tests),
        _tests("Flaky tests", report.flaky_tests),
        _reboots(report),
        _models(report),
        _calls("Tools", "Tool", history.tools),
        _calls("Agents", "Agent", history.agents),
        _counts("Errors", "Error", history.errors),
        _counts("Stop conditions that held", "Condition", history.conditions),
        _windows(report),
        *([_all_iterations(history, not few)] if iterations else []),
    )
    return [_trimmed(table) for table in made if table.rows]


def _trimmed(table: Table) -> Table:
    """Without the columns in which there is nothing."""
    shown = [index for index in range(len(table.columns)) if index == 0 or any(row[index] for row in table.rows)]
    rows = [tuple(row[index] for index in shown) for row in table.rows]
    return Table(table.title, [table.columns[index] for index in shown], rows, table.note, table.folded)


def _columns(*titles: str) -> list[Column]:
    """Columns; a title that begins with `#` is of numbers."""
    return [Column(title.removeprefix("#"), title.startswith("#")) for title in titles]


def _part(shown: int, total: int, which: str = "first") -> str:
    return f"The {which} {shown:,} of {total:,}." if total > shown else ""


def _comparison(report: Report) -> Table:
    medians, runs = report.comparison.medians, len(report.comparison.runs)
    rows = []
    for figure in FIGURES:
        value, usual = figure.value(report.metrics), medians.get(figure.name)
        if value is not None and usual is not None:
            change = wording.difference(value, usual, figure.ratio)
            rows.append((figure.title, figure.written(value), figure.written(usual), change))
    last = "last " if runs == EARLIER else ""
    note = f"Before: the median of the {last}{wording.number_of(runs, 'finished run')} of this loop before this one."
    return Table("Compared with earlier runs", _columns("Figure", "#This run", "#Before", "#Difference"), rows, note)


_ITERATION = _columns(
    "#Iteration", "Started", "#Time", "Outcome", "Error", "#Tests", "#Context", "#Score", "#Cost", "#Tokens", "#Tools",
    "#Files", "#Reboots",
)  # fmt: skip


def _all_iterations(history: History, folded: bool) -> Table:
    return _iterations("All iterations", history.rows, MAX_ITERATIONS, history.forgotten, folded)


def _iterations(
    title: str, iterations: Iterable[Iteration], most: int = MAX_ROWS, forgotten: int = 0, folded: bool = False
) -> Table:
    every = list(iterations)
    rows = [_cells(row) for row in every[-most:]]
    return Table(title, _ITERATION, rows, _part(len(rows), len(every) + forgotten, "last"), folded)


def _cells(row: Iteration) -> tuple[str, ...]:
    error = Name(row.error_type) if row.error_type else f"exit code {row.exit_code}" if row.exit_code else ""
    return (
        str(row.number),
        wording.moment(row.started).removesuffix(" UTC"),
        _time(row.duration),
        row.outcome or "not finished",
        error,
        "" if row.tests is None else f"{row.tests.passed:,} of {row.tests.total:,}",
        _percent(row.context),
        "" if row.score is None else f"{row.score:.2f}",
        _money(row.cost),
        _number(row.tokens),
        _number(row.tools),
        _number(row.files),
        _number(row.reboots),
    )


def _tests(title: str, tests: list[tuple[str, int]]) -> Table:
    rows = [(Name(test), f"{failures:,}") for test, failures in tests[:MAX_ROWS]]
    return Table(title, _columns("Test", "#Failed runs"), rows, _part(len(rows), len(tests)))


def _reboots(report: Report) -> Table:
    history = report.history
    rows = [
        (
            wording.moment(reboot.ts).removesuffix(" UTC"),
            "" if reboot.iteration is None else str(reboot.iteration),
            reboot.reason.replace("_", " "),
            _percent(reboot.context_percent),
            _time(reboot.duration),
        )
        for reboot in list(history.reboots)[-MAX_ROWS:]
    ]
    reasons = ", ".join(f"{reason.replace('_', ' ')} {n:,}" for reason, n in history.reboot_reasons.most_common())
    note = f"Reasons: {reasons}. {_part(len(rows), history.reboot_reasons.total(), 'last')}".strip()
    return Table("Reboots", _columns("When", "#Iteration", "Reason", "#Context", "#Time"), rows, note)


def _models(report: Report) -> Table:
    models = sorted(report.history.models.items(), key=lambda item: (-item[1].cost, -item[1].tokens))
    rows = [
        (
            Name(model) if model else "not named",
            _number(usage.input_tokens),
            _number(usage.output_tokens),
            _number(usage.cache_read_tokens),
            _number(usage.cache_creation_tokens),
            _money(usage.cost),
            _money(usage.estimated),
        )
        for model, usage in models[:MAX_ROWS]
    ]
    columns = _columns("Model", "#Input", "#Output", "#Cache read", "#Cache written", "#Cost", "#Estimated")
    return Table("Tokens and cost by model", columns, rows, _part(len(rows), len(models)))


def _calls(title: str, what: str, calls: Mapping[str, Calls]) -> Table:
    ordered = sorted(calls.items(), key=lambda item: (-item[1].calls, item[0]))
    rows = [
        (
            Name(name),
            f"{each.calls:,}",
            f"{each.failures:,}",
            _time(each.seconds or None),
            _time(each.seconds / each.calls or None),
            _number(each.turns),
        )
        for name, each in ordered[:MAX_ROWS]
    ]
    columns = _columns(what, "#Calls", "#Failed", "#Time", "#Mean time", "#Turns")
    return Table(title, columns, rows, _part(len(rows), len(ordered)))


def _counts(title: str, what: str, counts: Mapping[str, int]) -> Table:
    ordered = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [(Name(name), f"{number:,}") for name, number in ordered[:MAX_ROWS]]
    return Table(title, _columns(what, "#Times"), rows, _part(len(rows), len(ordered)))


_WINDOWS = {"5m": "last 5 minutes", "1h": "last hour", "24h": "last 24 hours", "all": "all of the run"}


def _windows(report: Report) -> Table:
    rollups = report.metrics.rollups
    rows = [
        (
            _WINDOWS[window],
            f"{each.iterations:,}",
            wording.percent(each.success_ratio),
            wording.duration(each.duration_p50),
            wording.duration(each.duration_p90),
            wording.duration(each.duration_p99),
            _number(each.tokens),
            _money(each.cost),
            _number(each.reboots),
        )
        for window, each in rollups.items()
        if each.iterations and (window == "all" or each.iterations < rollups["all"].iterations)
    ]
    columns = _columns("Window", "#Iterations", "#Succeeded", "#p50", "#p90", "#p99", "#Tokens", "#Cost", "#Reboots")
    return Table("Windows of time", columns, rows, "p50, p90, p99: quantiles of the iterations' times.", folded=True)


def _number(value: int) -> str:
    return f"{value:,}" if value else ""


def _money(value: float) -> str:
    return wording.money(value) if value else ""


def _percent(value: float | None) -> str:
    return "" if value is None else wording.percent(value / 100)


def _time(seconds: float | None) -> str:
    return "" if seconds is None else wording.duration(seconds)

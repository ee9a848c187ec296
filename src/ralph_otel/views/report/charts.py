"""The charts of a report as data: what is drawn in HTML and becomes a line of blocks in Markdown.

However many iterations a run has, a chart has at most `MOST` columns; in a longer run a column stands for several
iterations, and the chart says so.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from statistics import fmean, median

from ralph_otel.events import OUTCOMES
from ralph_otel.views.history import REDLINE, History
from ralph_otel.views.records import Iteration
from ralph_otel.views.report import wording

MOST = 150
"""Columns of a chart."""
MOST_MARKED = 40
"""Columns whose reboots are marked."""
_NICE = (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0, 10.0)
_NICE_SECONDS = (*(unit * n for unit in (1, 60, 3600) for n in (1, 2, 4, 6, 10, 20, 30, 40)), 86_400)

Values = Sequence[float | None]


@dataclass(frozen=True)
class Series:
    """One thing that a chart shows.

    Args:
        name: as the legend says it.
        style: how it is drawn: a class of the style sheet.
        values: one a column; None: not known.
        total: what the legend adds to the name.
    """

    name: str
    style: str
    values: Values
    total: str = ""


@dataclass(frozen=True)
class Chart:
    """A chart over a run's iterations.

    Args:
        name: a short name, unique in the report.
        title: what it shows.
        summary: what it shows, for somebody who does not see it.
        series: what is drawn; of stacked ones each stands on the one before.
        top: the value at the upper edge; the lower one is 0.
        written: a value as a person reads it.
        columns: what each column stands for: `12`, or `12–15`.
        notes: what is said of each column; "" for nothing.
        stacked: whether the series are bars upon each other; else they are lines.
        marked: the columns with a reboot in them.
        dotted: the columns of iterations that did not succeed, so that they are seen without colours, too.
        reading: how the picture is to be read.
        level: a value that is marked by a line across.
    """

    name: str
    title: str
    summary: str
    series: list[Series]
    top: float
    written: Callable[[float], str]
    columns: list[str]
    notes: list[str]
    stacked: bool = False
    marked: list[int] = field(default_factory=list)
    dotted: list[int] = field(default_factory=list)
    reading: str = ""
    level: float | None = None


def charts(history: History) -> list[Chart]:
    """The charts of a run; only those that have anything to show."""
    groups = _groups(list(history.rows))
    if not groups:
        return []
    made = (make(history, groups) for make in (_durations, _context, _tests, _spent, _scores))
    return [chart for chart in made if chart is not None]


def _groups(rows: list[Iteration]) -> list[list[Iteration]]:
    """The iterations of each column."""
    each = max(1, math.ceil(len(rows) / MOST))
    return [rows[start : start + each] for start in range(0, len(rows), each)]


def _columns(groups: Sequence[Sequence[Iteration]]) -> list[str]:
    spans = ((group[0].number, group[-1].number) for group in groups)
    return [str(first) if first == last else f"{first}–{last}" for first, last in spans]


def _durations(history: History, groups: list[list[Iteration]]) -> Chart | None:
    known = [row.duration for group in groups for row in group if row.duration is not None]
    if not known:
        return None
    means = [_over(fmean, [row.duration for row in group]) for group in groups]
    series = [
        Series(outcome, outcome, [_share(group, outcome) for group in groups], wording.count(history.outcomes[outcome]))
        for outcome in OUTCOMES
        if history.outcomes[outcome]
    ]
    several = len(groups[0]) > 1
    dots = [index for index, group in enumerate(groups) if not several and group[0].outcome not in (None, "success")]
    reading = f"A bar is the mean of {len(groups[0])} iterations." if several else "Dots: no success." if dots else ""
    summary = (
        f"Shortest {wording.duration(min(known))}, median {wording.duration(median(known))}, "
        f"longest {wording.duration(max(known))}."
    )
    most = max(_known(means))
    top = next((top for top in _NICE_SECONDS if top >= most >= 1), None) or _ceiling(means)
    notes = [
        _said(*([wording.duration(mean)] if mean is not None else []), *_outcomes(group))
        for mean, group in zip(means, groups, strict=True)
    ]
    return Chart(
        "durations",
        "Time of each iteration",
        summary,
        series,
        top,
        wording.duration,
        _columns(groups),
        notes,
        stacked=True,
        dotted=dots,
        reading=reading,
    )


def _share(group: Sequence[Iteration], outcome: str) -> float | None:
    """An outcome's part of a bar: of the time that the column's iterations took on average."""
    finished = [row for row in group if row.duration is not None]
    return sum(row.duration or 0.0 for row in finished if row.outcome == outcome) / len(finished) if finished else None


def _outcomes(group: Sequence[Iteration]) -> list[str]:
    if len(group) == 1:
        return [group[0].outcome or "not finished"]
    counts = {outcome: sum(row.outcome == outcome for row in group) for outcome in OUTCOMES}
    return [f"{number} {outcome}" for outcome, number in counts.items() if number]


def _context(history: History, groups: list[list[Iteration]]) -> Chart | None:
    values = [_over(max, [row.context for row in group]) for group in groups]
    reboots = [index for index, group in enumerate(groups) if any(row.reboots for row in group)]
    known = _known(values)
    if not known:
        return None
    summary = f"The fullest in an iteration: {wording.percent(max(known) / 100)}."
    reading = f"Across: the redline, {_percent(REDLINE)}.{' Dashed: reboots.' if reboots else ''}"
    if len(reboots) > MOST_MARKED:
        many = wording.number_of(history.reboot_reasons.total(), "reboot")
        reboots, reading = [], f"Across: the redline, {_percent(REDLINE)}. {many}, too many to be marked."
    notes = [_said(_percent(value), "reboot" * (index in reboots)) for index, value in enumerate(values)]
    series = [Series("context window in use", "context", values)]
    top = max(100.0, *known)
    columns = _columns(groups)
    return Chart(
        "context",
        "Context window",
        summary,
        series,
        top,
        _percent,
        columns,
        notes,
        marked=reboots,
        reading=reading,
        level=REDLINE,
    )


def _percent(value: float | None) -> str:
    return "" if value is None else wording.percent(value / 100)


def _tests(history: History, groups: list[list[Iteration]]) -> Chart | None:
    last = [next((row.tests for row in reversed(group) if row.tests is not None), None) for group in groups]
    known = [tests for tests in last if tests is not None]
    if not known:
        return None
    first, end = history.first_tests or known[0], known[-1]
    summary = f"At first {_ratio(first.passed, first.total)} passed, at the end {_ratio(end.passed, end.total)}."
    series = [
        Series("all tests", "total", [tests.total if tests else None for tests in last]),
        Series("passing tests", "passing", [tests.passed if tests else None for tests in last]),
    ]
    notes = [_said(_ratio(tests.passed, tests.total) + " passed") if tests else "" for tests in last]
    top = _ceiling([tests.total for tests in known])
    return Chart("tests", "Tests that pass", summary, series, top, wording.count, _columns(groups), notes)


def _ratio(part: int, whole: int) -> str:
    return f"{wording.count(part)} of {wording.count(whole)}"


def _spent(history: History, groups: list[list[Iteration]]) -> Chart | None:
    """Money as it adds up; tokens where nobody spoke of money."""
    by_money = history.cost > 0
    written = wording.money if by_money else wording.count
    total = history.cost if by_money else float(sum(usage.tokens for usage in history.models.values()))
    if not total:
        return None
    amounts = [float(sum(row.cost if by_money else row.tokens for row in group)) for group in groups]
    before = max(0.0, total - sum(amounts))  # in iterations that are forgotten, and before the first
    values = list(accumulate(amounts, initial=before))[1:]
    what = "Cost" if by_money else "Tokens"
    notes = [f"{written(value)} so far" for value in values]
    series = [Series(f"{what.lower()} so far", "cost", values)]
    summary = f"{written(total)} in all, {written(total / max(1, sum(history.outcomes.values())))} per iteration."
    return Chart(
        "cost", f"{what}, added up", summary, series, _ceiling(values), written, _columns(groups), notes
    )  # fmt: skip


def _scores(history: History, groups: list[list[Iteration]]) -> Chart | None:
    values = [_over(fmean, [row.score for row in group]) for group in groups]
    known = _known(values)
    if not known:
        return None
    measured = [row.progress for group in groups for row in group if row.progress is not None]
    summary = f"{_ratio(sum(measured), len(measured))} measured iterations made progress."
    notes = ["" if value is None else _score(value) for value in values]
    series = [Series("progress score", "score", values)]
    return Chart("progress", "Progress score", summary, series, 1.0, _score, _columns(groups), notes)


def _score(value: float) -> str:
    return f"{value:.2g}"


def _over(take: Callable[[list[float]], float], values: Values) -> float | None:
    known = _known(values)
    return take(known) if known else None


def _known(values: Iterable[float | None]) -> list[float]:
    return [value for value in values if value is not None]


def _said(*parts: str) -> str:
    return ", ".join(filter(None, parts))


def _ceiling(values: Values) -> float:
    """A round number that is no less than any of the values."""
    most = max([*_known(values), 0.0])
    if most <= 0:
        return 1.0
    power = 10.0 ** math.floor(math.log10(most))
    return next((power * nice for nice in _NICE if power * nice >= most), most)

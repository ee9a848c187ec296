"""Dashboards as data: what is shown, by which query, in which unit. `grafana.py` makes Grafana's JSON of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

Steps = tuple[tuple[float | None, str], ...]
"""From which value on which colour; the first from None."""

NEUTRAL: Steps = ((None, "blue"),)


def worse_from(warning: float, critical: float) -> Steps:
    """Green, yellow and red as the value grows."""
    return ((None, "green"), (warning, "yellow"), (critical, "red"))


def better_from(fair: float, good: float) -> Steps:
    """Red, yellow and green as the value grows."""
    return ((None, "red"), (fair, "yellow"), (good, "green"))


def streak_steps(limit: float) -> Steps:
    """Yellow two before the limit, red from it on."""
    return worse_from(max(1, limit - 2), limit)


ANY_IS_BAD: Steps = ((None, "green"), (1, "red"))


class Kind(Enum):
    """How a panel shows its figures."""

    STAT = "one number"
    LINES = "values over time"
    BARS = "amounts in each interval, one on the other"
    TABLE = "a row for each set of labels, a column for each query"
    HEATMAP = "a histogram over time"
    TRACES = "traces that fit"


@dataclass(frozen=True, slots=True)
class Query:
    """A query.

    Args:
        expr: in PromQL; of a panel of traces, the tags to search for.
        legend: what its series are called, with `{{label}}`; of a table, the column's header.
        unit: of a table's column; "" for the panel's.
        steps: of a table's column, the colours.
        exemplars: whether the traces behind it are marked.
    """

    expr: str
    legend: str = ""
    unit: str = ""
    steps: Steps = ()
    exemplars: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """A panel. Sizes are in Grafana's grid, which is 24 wide.

    Args:
        title: in a few words.
        description: what it shows, and what to think of it.
        kind: how it is shown.
        queries: one or several.
        unit: Grafana's name of the unit.
        steps: which values are good or bad.
        width: of 24.
        height: of the same units.
        most: the greatest value of the axis, where it has one.
        labels: of a table, labels to their headers.
        detail: whether a loop's name leads to the dashboard of that loop.
        decimals: digits behind the point; None leaves it to Grafana.
    """

    title: str
    description: str
    kind: Kind
    queries: tuple[Query, ...]
    unit: str = "short"
    steps: Steps = NEUTRAL
    width: int = 8
    height: int = 8
    most: float | None = None
    labels: tuple[tuple[str, str], ...] = ()
    detail: bool = False
    decimals: int | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """Panels under a title."""

    title: str
    panels: tuple[Panel, ...]


@dataclass(frozen=True, slots=True)
class Variable:
    """A choice at the top, of the values that a label has.

    Args:
        name: in queries, `$name`.
        label: for a person.
        query: `label_values(…)`.
        several: whether several, or all, may be chosen.
    """

    name: str
    label: str
    query: str
    several: bool = True


@dataclass(frozen=True, slots=True)
class Dashboard:
    """A dashboard.

    Args:
        uid: its address: `/d/<uid>`. It never changes, or links break.
        title: its name.
        description: whom it is for.
        variables: besides the data source.
        rows: from top to bottom.
        traces: whether it has a data source of traces, too.
        since: the beginning of the time that is shown at first.
    """

    uid: str
    title: str
    description: str
    variables: tuple[Variable, ...]
    rows: tuple[Row, ...]
    traces: bool = False
    since: str = "now-3h"


LINKS = {
    "ralph-overview": "Ralph loops",
    "ralph-loop": "One Ralph loop",
    "ralph-fleet": "Ralph fleet",
    "ralph-health": "ralph-otel itself",
}
"""Every dashboard's uid, and its title."""


def stat(title: str, expr: str, description: str, unit: str = "short", steps: Steps = NEUTRAL, width: int = 4) -> Panel:
    """One number."""
    decimals = 2 if unit == "currencyUSD" else None
    return Panel(title, description, Kind.STAT, (Query(expr),), unit, steps, width, 4, decimals=decimals)


def lines(
    title: str,
    description: str,
    *queries: Query,
    unit: str = "short",
    steps: Steps = NEUTRAL,
    width: int = 8,
    most: float | None = None,
) -> Panel:
    """Values over time."""
    return Panel(title, description, Kind.LINES, queries, unit, steps, width, most=most)


def bars(title: str, description: str, *queries: Query, unit: str = "short", width: int = 8) -> Panel:
    """Amounts in each interval."""
    return Panel(title, description, Kind.BARS, queries, unit, width=width)

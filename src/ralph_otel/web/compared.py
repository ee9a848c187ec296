"""A run beside others: two runs figure by figure and chart by chart, or one against those before it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from ralph_otel.model import LoopMetrics
from ralph_otel.views.live_run import LiveRun
from ralph_otel.views.report import wording
from ralph_otel.views.report.charts import Chart, charts
from ralph_otel.views.report.comparison import FIGURES, Comparison, Figure
from ralph_otel.views.rows import Row
from ralph_otel.web.answers import Answer, chart, summary


def beside(one: Row, other: Row) -> Answer:
    """Two runs: their figures, and their charts in pairs of one scale."""
    return {
        "runs": [summary(one), summary(other)],
        "figures": _figures(one.metrics, lambda figure: figure.value(other.metrics)),
        "charts": [[each and chart(each) for each in pair] for pair in _pairs(one.run, other.run)],
    }


def with_earlier(run: LiveRun, metrics: LoopMetrics, comparison: Comparison) -> Answer:
    """A run against the medians of the finished runs before it."""
    return {
        "run": run.key,
        "runs": comparison.runs,
        "figures": _figures(metrics, lambda figure: comparison.medians.get(figure.name)),
    }


def _figures(metrics: LoopMetrics, usual_of: Callable[[Figure], float | None]) -> list[Answer]:
    """Every figure that one of the two knows; the difference is the first's from the second."""
    found = []
    for figure in FIGURES:
        value, usual = figure.value(metrics), usual_of(figure)
        if value is None and usual is None:
            continue
        known = value is not None and usual is not None
        found.append(
            {
                "name": figure.name,
                "title": figure.title,
                "values": [None if each is None else figure.written(each) for each in (value, usual)],
                "difference": wording.difference(value, usual, figure.ratio) if known else None,  # type: ignore[arg-type]
            }
        )
    return found


def _pairs(one: LiveRun, other: LiveRun) -> list[tuple[Chart | None, Chart | None]]:
    """The charts of two runs by what they show, each pair with the same value at its upper edge."""
    mine, theirs = ({each.name: each for each in charts(run.history)} for run in (one, other))
    names = list(dict.fromkeys((*mine, *theirs)))
    return [(_scaled(name, mine, theirs), _scaled(name, theirs, mine)) for name in names]


def _scaled(name: str, own: Mapping[str, Chart], others: Mapping[str, Chart]) -> Chart | None:
    drawn, beside_it = own.get(name), others.get(name)
    if drawn is None or beside_it is None or drawn.title != beside_it.title:
        return drawn
    return replace(drawn, top=max(drawn.top, beside_it.top))

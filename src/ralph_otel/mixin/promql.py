"""Expressions of PromQL.

**Counting from zero.** Every run is a new instance, whose counters begin with it, and the first sample of a counter is
rarely 0: a short run has one sample only. `increase()` sees the difference between samples, so all that came before
the first is lost to it. Here what a series had at the beginning of a window, or else 0, is taken from what it has at
the end. That needs series that only grow, as those of one instance do. Nothing is counted twice: windows that follow
each other share their border.
"""

from __future__ import annotations

from collections.abc import Iterable


def total(expression: str, by: Iterable[str] = ()) -> str:
    """The sum, by labels."""
    return _aggregated("sum", expression, by)


def most(expression: str, by: Iterable[str] = ()) -> str:
    """The maximum, by labels."""
    return _aggregated("max", expression, by)


def _aggregated(operator: str, expression: str, by: Iterable[str]) -> str:
    labels = ", ".join(by)
    return f"{operator} by ({labels}) ({expression})" if labels else f"{operator}({expression})"


def on(labels: Iterable[str]) -> str:
    """By which labels two sides are matched."""
    return f"on ({', '.join(labels)})"


def grown(series: str, window: str, gap: str) -> str:
    """How much each series has grown in a window, counted from zero where it began in it.

    Args:
        series: a selector, such as `a_total{job="b"}`.
        window: a duration, such as `5m` or `$__range`.
        gap: how long before the window a sample may lie and still be the series' value at its beginning. A series
            that was silent for longer is taken for a new one.
    """
    highest = f"max_over_time({series}[{window}])"
    before = f"last_over_time({series}[{gap}] offset {window})"
    return f"clamp_min({highest} - ({before} or {highest} * 0), 0)"


def over_time(operator: str, series: str, window: str) -> str:
    """`max_over_time(series[window])` and the like."""
    return f"{operator}_over_time({series}[{window}])"


def any_of(*expressions: str) -> str:
    """What is in one of them, each on lines of its own."""
    return "\nor\n".join(expressions)


def marked(expression: str, name: str, value: str) -> str:
    """With one label more."""
    return f'label_replace({expression}, "{name}", "{value}", "", "")'

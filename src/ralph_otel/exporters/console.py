"""The metrics for a person who watches a terminal: one line a series, in units that people read.

fix-bugs · ralphify · 2026-11-23 02:12:05 UTC

ralph_loop.context_usage       61 %
ralph_loop.iteration_duration  40, mean 1m30s, p50 1m20s, p90 3m12s  ralph.outcome=success
                               1, mean 10m, p50 10m, p90 10m         ralph.outcome=failure
ralph_loop.tokens              1,204,331                             gen_ai.token.type=input
"""

from __future__ import annotations

import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from opentelemetry.sdk.metrics.export import (
    DataPointT,
    Gauge,
    HistogramDataPoint,
    Metric,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    NumberDataPoint,
)
from opentelemetry.util.types import AnyValue

from ralph_otel.exporters.histograms import quantile
from ralph_otel.exporters.snapshot import metrics_of
from ralph_otel.exporters.values import text_of
from ralph_otel.wording import duration, printable, size

_IN_TITLE = ("ralph.loop.name", "ralph.runner")
"""Attributes that are on all metrics of a loop: said once, where they are the same on all."""
_LONGEST = 60
"""Characters of an attribute's value that are shown."""


def text(data: MetricsData | None) -> str:
    """All metrics, sorted by name, their columns aligned; nothing in it is obeyed by a terminal."""
    metrics = sorted(metrics_of(data), key=lambda metric: metric.name) if data else []
    points = [(metric, point) for metric in metrics for point in metric.data.data_points]
    if not points:
        return "No metrics yet.\n"
    title = _title(point.attributes for _, point in points)
    when = datetime.fromtimestamp(max(point.time_unix_nano for _, point in points) / 1e9, UTC)
    heading = " · ".join((*map(printable, title.values()), f"{when:%Y-%m-%d %H:%M:%S} UTC"))
    rows = [(printable(metric.name), _value(metric, point), _attributes(point, title)) for metric, point in points]
    return f"{heading}\n\n{_table(rows)}\n"


class ConsoleExporter(MetricExporter):
    """Prints the metrics; for a `PeriodicExportingMetricReader`.

    Args:
        stream: where to; without one it is stderr as it is at the time, for stdout belongs to the loop.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        super().__init__()
        self._stream = stream
        self._owned: TextIO | None = None

    @classmethod
    def to_file(cls, path: Path) -> ConsoleExporter:
        """One that appends to a file, which is made (0600) if it is not there, until `shutdown`.

        Raises:
            OSError: it cannot be opened.
        """
        fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        made = cls(os.fdopen(fd, "a", encoding="utf-8"))
        made._owned = made._stream
        return made

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> MetricExportResult:
        """Print them; FAILURE if the stream is closed, or cannot take the text."""
        stream = self._stream or sys.stderr
        try:
            stream.write(f"{text(metrics_data)}\n")
            stream.flush()
        except (OSError, ValueError):
            return MetricExportResult.FAILURE
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here to be printed."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Close a file of its own; another stream is the caller's. Harmless any number of times."""
        if self._owned is not None:
            self._owned.close()


def _plain(amount: float) -> str:
    if not 100 <= abs(amount) < 1e15:
        return f"{amount:.4g}"
    return f"{amount:,.0f}" if amount == int(amount) else f"{amount:,.2f}"


_UNITS: dict[str, Callable[[float], str]] = {
    "s": duration,
    "ms": lambda amount: duration(amount / 1000),
    "By": size,
    "%": lambda amount: f"{round(amount, 1):g} %",
    "USD": lambda amount: f"${amount:,.2f}" if abs(amount) >= 1 else f"${amount:.4f}",
}
"""How an amount of a unit is written; any other, and annotations such as `{test}`, as a plain number."""


def _amount(metric: Metric, amount: float) -> str:
    if not math.isfinite(amount):
        return str(amount)
    unit, _, per = (metric.unit or "").partition("/")
    if unit == "1" and isinstance(metric.data, Gauge):
        return _UNITS["%"](100 * amount)
    if unit == "s" and metric.name.endswith("timestamp"):
        return _moment(amount)
    written = _UNITS.get(unit, _plain)(amount)
    return f"{written}/{printable(per)}" if per and "{" not in per else written


def _moment(seconds: float) -> str:
    try:
        return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
    except (OverflowError, ValueError, OSError):
        return _plain(seconds)


def _value(metric: Metric, point: DataPointT) -> str:
    if isinstance(point, NumberDataPoint):
        return _amount(metric, point.value)
    parts = [_plain(point.count)]
    if point.count:
        parts.append(f"mean {_amount(metric, point.sum / point.count)}")
        if isinstance(point, HistogramDataPoint):
            parts += [f"p{percent} {_amount(metric, quantile(point, percent / 100))}" for percent in (50, 90)]
    return ", ".join(parts)


def _title(attributes: Iterable[Mapping[str, AnyValue] | None]) -> dict[str, str]:
    """The attributes that the title says for all."""
    values: dict[str, set[str]] = {key: set() for key in _IN_TITLE}
    for each in attributes:
        for key in values.keys() & (each or {}).keys():
            values[key].add(text_of((each or {})[key]))
    return {key: found.pop() for key, found in values.items() if len(found) == 1}


def _attributes(point: DataPointT, said: Mapping[str, str]) -> str:
    shown = ((str(key), text_of(value)) for key, value in (point.attributes or {}).items() if key not in said)
    return "  ".join(f"{printable(key)}={_shortened(printable(value))}" for key, value in sorted(shown))


def _shortened(value: str) -> str:
    return value if len(value) <= _LONGEST else f"{value[: _LONGEST - 1]}…"


def _table(rows: list[tuple[str, str, str]]) -> str:
    """The rows with aligned columns, a name only where it is new."""
    wide, wider = (max(len(row[column]) for row in rows) for column in (0, 1))
    lines, last = [], ""
    for name, value, attributes in rows:
        lines.append(f"{name if name != last else '':{wide}}  {value:{wider}}  {attributes}".rstrip())
        last = name
    return "\n".join(lines)

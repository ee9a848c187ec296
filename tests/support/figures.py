"""The instruments on a meter of their own, fed from tapes, and what they show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, Metric, MetricsData, NumberDataPoint
from opentelemetry.sdk.resources import Resource

from ralph_otel.catalog import DURATION_BUCKETS
from ralph_otel.events import Line
from ralph_otel.exporters.snapshot import SnapshotReader, metrics_of
from ralph_otel.journal import decode, encode
from ralph_otel.signals.metrics import MetricSignals
from ralph_otel.state import States

Series = dict[tuple[tuple[str, Any], ...], Any]
"""Attributes, sorted, to the value; of a histogram to (count, sum)."""


class Figures:
    """Instruments, a reader and the states of the runs."""

    def __init__(
        self, prefix: str = "ralph_loop", buckets: Sequence[float] = DURATION_BUCKETS, histograms: bool = True
    ) -> None:
        self.reader = SnapshotReader()
        self.provider = MeterProvider([self.reader], Resource({}), shutdown_on_exit=False)
        self.meter = self.provider.get_meter("test")
        self.states = States()
        self.signals = MetricSignals(self.meter, prefix, buckets, histograms)

    def play(self, lines: Iterable[Line], batch: int = 1000) -> Figures:
        """Record lines as a recorder does, so many at a time."""
        for number, line in enumerate(lines, 1):
            checked = decode(encode(line))
            state = self.states.apply(checked)
            if state is not None:
                self.signals.record(checked, state)
            if number % batch == 0:
                self.signals.flush()
        self.signals.flush()
        return self

    def read(self) -> MetricsData:
        """What the instruments show now."""
        return self.reader.read() or MetricsData([])

    def metrics(self) -> dict[str, Metric]:
        """Every metric by its OpenTelemetry name."""
        return {metric.name: metric for metric in metrics_of(self.read())}

    def series(self, name: str) -> Series:
        """The series of a metric; {} where there is none."""
        metric = self.metrics().get(name)
        return series_of(metric) if metric is not None else {}


def series_of(metric: Metric) -> Series:
    """The series of a metric."""
    return {tuple(sorted((point.attributes or {}).items())): _value(point) for point in metric.data.data_points}


def _value(point: Any) -> Any:
    if isinstance(point, HistogramDataPoint):
        return point.count, point.sum
    assert isinstance(point, NumberDataPoint)
    return point.value

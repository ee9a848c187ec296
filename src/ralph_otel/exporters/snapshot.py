"""The figures as they stand now, for everything that pulls: Prometheus, JSON, the console, `export()`.

The SDK's own `PrometheusMetricReader` keeps what `force_flush` collects and serves it a second time; its
`InMemoryMetricReader` lets a collection by somebody else replace the caller's. One reader of this kind serves all
callers, and costs the instruments one reader's time.
"""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Hashable, Iterator
from typing import Any

from opentelemetry.sdk.metrics import Exemplar
from opentelemetry.sdk.metrics.export import DataPointT, Metric, MetricReader, MetricsData

from ralph_otel.exporters.values import text_of

_PATIENCE = 10.0
"""Seconds that one caller waits for another: an instrument's callback that hangs must not collect threads."""


def metrics_of(data: MetricsData) -> Iterator[Metric]:
    """Every metric of a collection, whatever its resource and scope."""
    for resource in data.resource_metrics:
        for scope in resource.scope_metrics:
            yield from scope.metrics


class SnapshotReader(MetricReader):
    """A cumulative reader that collects whenever it is asked. Give it to the `MeterProvider`'s constructor."""

    def __init__(self) -> None:
        super().__init__()
        self._turn = threading.Lock()
        self._data: MetricsData | None = None
        self._exemplars: dict[Hashable, dict[int, Exemplar]] = {}

    def read(self) -> MetricsData | None:
        """Collect, and return what was collected; None where there is no metric yet. From any thread.

        Works after `shutdown` too, so that the last figures can be shown.

        Raises:
            TimeoutError: another caller has been collecting for 10 seconds.
            Exception: whatever the SDK raises from `collect`.
        """
        if not self._turn.acquire(timeout=_PATIENCE):
            raise TimeoutError(f"another collection has been running for {_PATIENCE:g} seconds")
        try:
            self._data = None
            self.collect()
            return self._data
        finally:
            self._turn.release()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        """Nothing waits here that could be flushed."""
        return True

    def shutdown(self, timeout_millis: float = 30_000, **kwargs: Any) -> None:
        """Nothing is held that had to be released; harmless any number of times."""

    def _receive_metrics(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **kwargs: Any) -> None:
        for metric in metrics_of(metrics_data):
            for point in metric.data.data_points:
                self._restore_exemplars(metric.name, point)
        self._data = metrics_data

    def _restore_exemplars(self, name: str, point: DataPointT) -> None:
        """Put back the exemplars that earlier collections have returned, the newest of each bucket.

        The SDK forgets an exemplar with the collection that returns it. So whoever collects first, a console say,
        would take it away from Prometheus.
        """
        if not isinstance(point.exemplars, list):
            return
        series = (name, frozenset((key, text_of(value)) for key, value in (point.attributes or {}).items()))
        kept = self._exemplars.get(series)
        if point.exemplars:
            kept = self._exemplars.setdefault(series, {})
            bounds = getattr(point, "explicit_bounds", ())
            kept.update((bisect_left(bounds, exemplar.value), exemplar) for exemplar in point.exemplars)
        if kept:
            point.exemplars[:] = kept.values()

"""The figures as `ralph_otel.model.Metric` objects, named and labelled as Prometheus would."""

from __future__ import annotations

from opentelemetry.sdk.metrics.export import MetricsData
from prometheus_client import Metric as Family

from ralph_otel.exporters.prometheus import families
from ralph_otel.model import Counter, Gauge, Histogram, HistogramBucket, LoopMetrics, Metric, Quantile, Summary
from ralph_otel.state.rollups import QUANTILES


def series(data: MetricsData, metrics: LoopMetrics) -> list[Metric]:
    """Every series of a cumulative collection, and of each rollup the iterations' durations as a summary."""
    found: list[Metric] = []
    for family in families(data):
        if family.type == "histogram":
            found += _histograms(family)
        elif family.type in ("counter", "gauge"):
            kind = Counter if family.type == "counter" else Gauge
            found += [kind(sample.name, sample.value, labels=sample.labels) for sample in family.samples]
    return found + _summaries(metrics)


def _histograms(family: Family) -> list[Metric]:
    buckets: dict[tuple[tuple[str, str], ...], list[HistogramBucket]] = {}
    sums: dict[tuple[tuple[str, str], ...], dict[str, float]] = {}
    for sample in family.samples:
        labels = dict(sample.labels)
        bound = labels.pop("le", None)
        key = tuple(labels.items())
        if bound is not None:
            buckets.setdefault(key, []).append(HistogramBucket(float(bound), int(sample.value)))
        else:
            sums.setdefault(key, {})[sample.name.rpartition("_")[2]] = sample.value
    return [
        Histogram(
            family.name,
            int(sums[key].get("count", 0)),
            sums[key].get("sum", 0.0),
            tuple(buckets[key]),
            labels=dict(key),
        )
        for key in buckets
    ]


def _summaries(metrics: LoopMetrics) -> list[Metric]:
    total = metrics.avg_iteration_duration * metrics.total_iterations
    return [
        Summary(
            "iteration_duration_summary_seconds",
            rollup.iterations,
            total if window == "all" else 0.0,
            tuple(map(Quantile, QUANTILES, (rollup.duration_p50, rollup.duration_p90, rollup.duration_p99))),
            labels={"window": window},
        )
        for window, rollup in metrics.rollups.items()
    ]

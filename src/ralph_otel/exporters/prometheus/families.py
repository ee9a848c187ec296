"""OpenTelemetry metrics as Prometheus metric families, and those as text.

The translation follows the OpenTelemetry specification (compatibility/prometheus_and_openmetrics) with two choices of
its own: no `otel_scope_*` labels, which say nothing here and are a third of a scrape's time; and no attributes on
exemplars besides the trace's ids, for what a view has taken off a metric was taken off on purpose.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from opentelemetry.sdk.metrics import Exemplar as OTelExemplar
from opentelemetry.sdk.metrics.export import (
    AggregationTemporality,
    Gauge,
    Histogram,
    HistogramDataPoint,
    Metric,
    MetricsData,
    NumberDataPoint,
    Sum,
)
from opentelemetry.util.types import AnyValue
from prometheus_client import Metric as Family
from prometheus_client.core import Exemplar, Sample
from prometheus_client.exposition import choose_encoder
from prometheus_client.utils import floatToGoString

from ralph_otel.exporters.prometheus.names import Kind, label_name, metric_name, unit_name
from ralph_otel.exporters.snapshot import metrics_of
from ralph_otel.exporters.values import encodable, text_of
from ralph_otel.files import write_atomically
from ralph_otel.notices import notice, shown

_le: Callable[[float], str] = floatToGoString
_SAMPLES = {"counter": ("_total",), "histogram": ("_bucket", "_count", "_sum"), "info": ("_info",)}
"""What the names of a type's samples end in; no other family may have such a name."""

Labels = dict[str, str]


def families(data: MetricsData) -> list[Family]:
    """The metric families of a cumulative collection, `target_info` first, each with all its samples.

    What Prometheus has no place for is left out, with one notice: delta metrics, exponential histograms, a second
    metric of another type under a name already used, a second series with the same labels.
    """
    scrape = _Scrape()
    scrape.add_target(data)
    for metric in metrics_of(data):
        scrape.add(metric)
    return list(scrape.families.values())


def render(data: MetricsData | None, accept: str = "") -> tuple[bytes, str]:
    """The text of a scrape and its content type.

    Args:
        data: a cumulative collection; None for no metrics.
        accept: the request's `Accept` header. It decides between the plain text format, which is the default, and
            OpenMetrics, which has exemplars.
    """
    try:
        encode, content_type = choose_encoder(accept)
    except (TypeError, ValueError):  # the header asks for a version that is no version
        encode, content_type = choose_encoder("")
    return encode(_Collected(families(data) if data else [])), content_type


def write_textfile(path: Path, data: MetricsData | None, labels: Mapping[str, str]) -> None:
    """Write the metrics for node_exporter's textfile collector, which reads the files `*.prom` of one folder.

    The file is replaced at one stroke. Everybody may read it (0644): node_exporter runs as a user of its own.

    Args:
        path: the file.
        data: a cumulative collection; None for no metrics.
        labels: for all series. They tell the files of one folder apart: of two series that are the same in two of
            them, node_exporter drops one.

    Raises:
        OSError: it cannot be written.
    """
    collected = families(data) if data else []
    for family in collected:
        family.samples = [sample._replace(labels=_labelled(sample.labels, labels)) for sample in family.samples]
    encode, _ = choose_encoder("")
    write_atomically(path, encode(_Collected(collected)), mode=0o644)


def _labelled(own: Mapping[str, str], target: Mapping[str, str]) -> Labels:
    """A series' labels with its target's; one of the same name becomes `exported_…`, as in a scrape."""
    return {f"exported_{name}" if name in target else name: text for name, text in own.items()} | dict(target)


class _Collected:
    """As much of a prometheus_client registry as its encoders need."""

    def __init__(self, collected: Sequence[Family]) -> None:
        self._collected = collected

    def collect(self) -> Iterable[Family]:
        return self._collected


class _Scrape:
    """The families so far, and the names and series that are taken."""

    def __init__(self) -> None:
        self.families: dict[str, Family] = {}
        self._names: set[str] = set()
        self._series: set[tuple[str, frozenset[tuple[str, str]]]] = set()

    def add_target(self, data: MetricsData) -> None:
        """The resource, as the labels of `target_info`."""
        attributes = {key: value for each in data.resource_metrics for key, value in each.resource.attributes.items()}
        labels = _labels(attributes)
        family = self._family("target", "info", "Target metadata.") if labels else None
        if family:
            family.samples.append(Sample("target_info", labels, 1.0))

    def add(self, metric: Metric) -> None:
        """One metric, in a family of its own or one that has the same name and type."""
        kind = _kind(metric)
        name = metric_name(metric.name, metric.unit or "", kind) if kind else ""
        if not kind or not name:
            what = f"a metric without a letter in its name, {shown(metric.name)}" if kind else _described(metric)
            notice(f"Prometheus has no place for {what}; it is left out")
            return
        base = name.removesuffix("_total") if kind == "counter" else name
        help_ = encodable(metric.description or f"{metric.name} has no description.")
        family = self._family(base, "gauge" if kind == "updowncounter" else kind, help_)
        if family is None:
            notice(f"Prometheus: {shown(metric.name)} is left out, another metric is already called {name}")
            return
        unit = unit_name(metric.unit or "", kind)
        if base.endswith(f"_{unit}"):
            family.unit = unit
        for point in metric.data.data_points:
            self._add_point(family, point)

    def _family(self, name: str, type_: str, help_: str) -> Family | None:
        """The family of that name, a new one if need be; None if one of another type has the name or needs it."""
        found = self.families.get(name)
        if found:
            return found if found.type == type_ else None
        names = {name, *(name + suffix for suffix in _SAMPLES.get(type_, ()))}
        if names & self._names:
            return None
        self._names |= names
        self.families[name] = family = Family(name, help_, type_)
        return family

    def _add_point(self, family: Family, point: object) -> None:
        if isinstance(point, HistogramDataPoint):
            labels = _labels(point.attributes, reserved="le")
            samples = _histogram(family.name, labels, point)
        elif isinstance(point, NumberDataPoint):
            labels = _labels(point.attributes)
            samples = _number(family, labels, point)
        else:
            return
        series = (family.name, frozenset(labels.items()))
        if series in self._series:
            notice(f"Prometheus: {family.name} has two series with the same labels; the first one is kept")
            return
        self._series.add(series)
        family.samples.extend(samples)


def _kind(metric: Metric) -> Kind | None:
    """What the metric is in Prometheus, if anything."""
    data = metric.data
    if isinstance(data, Gauge):
        return "gauge"
    if getattr(data, "aggregation_temporality", None) != AggregationTemporality.CUMULATIVE:
        return None
    if isinstance(data, Sum):
        return "counter" if data.is_monotonic else "updowncounter"
    return "histogram" if isinstance(data, Histogram) else None


def _described(metric: Metric) -> str:
    """What a metric is that has no kind: `'a.b', a delta Sum`."""
    temporality = getattr(metric.data, "aggregation_temporality", None)
    return f"{shown(metric.name)}, a {getattr(temporality, 'name', '').lower()} {type(metric.data).__name__}"


def _number(family: Family, labels: Labels, point: NumberDataPoint) -> Iterator[Sample]:
    if family.type == "counter":
        exemplar = _exemplar(point.exemplars)
        yield Sample(f"{family.name}_total", labels, float(point.value), exemplar=exemplar)
    else:
        yield Sample(family.name, labels, float(point.value))


def _histogram(name: str, labels: Labels, point: HistogramDataPoint) -> Iterator[Sample]:
    """Cumulative buckets, and count and sum, which OpenMetrics allows only where no value can be negative."""
    bounds = (*point.explicit_bounds, math.inf)
    in_bucket: dict[int, list[OTelExemplar]] = {}
    for exemplar in point.exemplars:
        in_bucket.setdefault(bisect_left(bounds, exemplar.value), []).append(exemplar)
    for index, (bound, count) in enumerate(zip(bounds, accumulate(point.bucket_counts), strict=False)):
        le = {**labels, "le": _le(bound)}
        yield Sample(f"{name}_bucket", le, float(count), exemplar=_exemplar(in_bucket.get(index, ())))
    if bounds[0] >= 0:
        yield Sample(f"{name}_count", labels, float(point.count))
        yield Sample(f"{name}_sum", labels, float(point.sum))


def _exemplar(exemplars: Sequence[OTelExemplar]) -> Exemplar | None:
    """Of those that lead to a trace the one with the greatest value, as the specification has it."""
    traced = [each for each in exemplars if each.trace_id and each.span_id]
    if not traced:
        return None
    greatest = max(traced, key=lambda each: each.value)
    ids = {"trace_id": f"{greatest.trace_id:032x}", "span_id": f"{greatest.span_id:016x}"}
    return Exemplar(ids, float(greatest.value), greatest.time_unix_nano / 1e9)


def _labels(attributes: Mapping[str, AnyValue] | None, reserved: str = "") -> Labels:
    """Attributes as labels.

    Values whose keys become the same name are joined by `;` in the order of the keys. An empty value is left out, as
    Prometheus takes it for no label. A label that the format itself needs becomes `exported_…`.
    """
    labels: Labels = {}
    for key, value in sorted((attributes or {}).items(), key=lambda item: str(item[0])):
        name, text = label_name(str(key)), text_of(value)
        name = f"exported_{name}" if name == reserved else name
        if text:
            labels[name] = f"{labels[name]};{text}" if name in labels else text
    return labels

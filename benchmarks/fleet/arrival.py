"""Whether what Prometheus holds is what the journals say: every series of every loop, to the last bit.

Each journal is folded anew, by itself, into the figures that a scrape of the loop would have shown at its end. Then
Prometheus is asked for the last value of everything it has of that loop. On top, the totals of the fold's own state are
compared with sums over what has arrived: they do not pass through instruments.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from stack.clients import PrometheusClient

from ralph_otel import MetricsConfig
from ralph_otel.catalog import HEALTH
from ralph_otel.exporters.prometheus.families import families
from ralph_otel.exporters.prometheus.names import metric_name
from ralph_otel.exporters.snapshot import metrics_of
from ralph_otel.model import LoopMetrics
from ralph_otel.recorder.pipeline import Pipeline
from ralph_otel.runs import Folded, fold

_BACK = "6h"
"""How far back a last value may lie."""
_NAMES = '__name__=~"ralph_.*"'
_COUNTING = '__name__=~"ralph_.*(_total|_count|_sum|_bucket)"'
_PASSING = ("ralph_loop_iteration_age_seconds", "ralph_otel_waiting_", "ralph_otel_undelivered_")
"""What is there only while something goes on, and what a process says of its own sending: how the names begin."""
_SHOWN = 5
"""Differences that are kept, as text."""
CHUNK = 20
"""Loops that are asked for at a time."""

Series = tuple[str, frozenset[tuple[str, str]]]
"""A metric's name and its labels, without the loop's own `job` and `instance`."""

TOTALS: dict[str, tuple[str, Callable[[LoopMetrics], float]]] = {
    "iterations": ("ralph_loop_iterations_total", lambda loop: loop.total_iterations),
    "iterations with progress": (
        "ralph_loop_iterations_with_progress_total",
        lambda loop: loop.progress.iterations_with_progress,
    ),
    "sessions": ("ralph_loop_sessions_created_total", lambda loop: loop.session.sessions_created),
    "reboots": ("ralph_loop_reboots_total", lambda loop: loop.total_reboots),
    "tokens": ("ralph_loop_tokens_total", lambda loop: loop.rollups["all"].tokens),
    "cost in US dollars": ("ralph_loop_cost_USD_total", lambda loop: loop.rollups["all"].cost),
    "files changed": ("ralph_loop_files_changed_total", lambda loop: loop.progress.files_changed),
    "tests of the last runs": ("ralph_loop_tests", lambda loop: loop.tests.total_tests),
}
"""What is added up, by the metric's name in Prometheus."""


@dataclass
class Arrival:
    """What a comparison found, of some loops or of all.

    Args:
        loops: loops that were compared.
        series: series that the journals make.
        points: data points of the last export of each of these loops: a histogram is one.
        buckets: those of the series that are buckets of histograms.
        export_bytes: what these exports take by OTLP, not compressed.
        fold_cpu: seconds of processor time to fold the journals and call the instruments.
        wrong: series that are missing, differ, or are there and should not be.
        shown: the first few of them, as text.
        resets: times that a counter went back.
        totals: by the names of `TOTALS`: what the journals say, and what has arrived.
        off: loops of which a total is not the same.
    """

    loops: int = 0
    series: int = 0
    points: int = 0
    buckets: int = 0
    export_bytes: int = 0
    fold_cpu: float = 0.0
    wrong: int = 0
    shown: list[str] = field(default_factory=list)
    resets: int = 0
    totals: dict[str, tuple[float, float]] = field(default_factory=lambda: dict.fromkeys(TOTALS, (0.0, 0.0)))
    off: int = 0

    @property
    def complete(self) -> bool:
        """Whether nothing is lost and nothing added."""
        return not (self.wrong or self.resets or self.off) and self.loops > 0

    def absorb(self, other: Arrival) -> None:
        """Add what another comparison found."""
        self.loops += other.loops
        self.series += other.series
        self.points += other.points
        self.buckets += other.buckets
        self.export_bytes += other.export_bytes
        self.fold_cpu += other.fold_cpu
        self.wrong += other.wrong
        self.shown = [*self.shown, *other.shown][:_SHOWN]
        self.resets += other.resets
        self.off += other.off
        for name, (said, arrived) in other.totals.items():
            self.totals[name] = (self.totals[name][0] + said, self.totals[name][1] + arrived)


def compare(url: str, journals: Sequence[Path]) -> Arrival:
    """Compare some loops, about `CHUNK` of them."""
    client, found = PrometheusClient(url), Arrival()
    held = _held(client, [path.stem for path in journals])
    for path in journals:
        found.absorb(compare_one(path.stem, expected_of(path), held[path.stem]))
    return found


def compare_one(run_id: str, expected: Expected, held: dict[Series, float]) -> Arrival:
    """Compare what a loop's journal says with what Prometheus has of it."""
    series, metrics = expected.series, expected.folded.run.metrics()
    wrong = [
        f"{run_id}: {each[0]}{dict(each[1])}: {series.get(each)} by the journal, {held.get(each)} held"
        for each in series.keys() | held.keys()
        if series.get(each) != held.get(each)
    ]
    totals = {
        name: (float(said(metrics)), sum(value for (metric, _), value in held.items() if metric == total))
        for name, (total, said) in TOTALS.items()
    }
    return Arrival(
        loops=1,
        series=len(series),
        points=expected.points,
        buckets=sum(name.endswith("_bucket") for name, _ in series),
        export_bytes=expected.export_bytes,
        fold_cpu=expected.cpu,
        wrong=len(wrong),
        shown=wrong[:_SHOWN],
        totals=totals,
        off=int(any(said != arrived for said, arrived in totals.values())),
    )


@dataclass(frozen=True)
class Expected:
    """What a loop ends with, by its journal. The fields are as in `Arrival`."""

    series: dict[Series, float]
    folded: Folded
    points: int
    export_bytes: int
    cpu: float


def expected_of(journal: Path) -> Expected:
    """Fold a journal through the instruments of a recorder that exports nothing.

    Raises:
        OSError: it cannot be read.
    """
    config = MetricsConfig(export_format="none", resources=False, home=journal.parent)
    pipeline = Pipeline(config, journal.stem, list, dict, export=False)
    before = time.process_time()
    folded = fold(journal, pipeline.record)
    pipeline.end_batch()
    cpu = time.process_time() - before
    data = pipeline.snapshot()
    pipeline.shutdown(1.0)
    assert data is not None, "this pipeline has a reader of its own"
    series = {
        _series(sample.name, sample.labels): sample.value
        for family in families(data)
        if family.name != "target"
        for sample in family.samples
    }
    for metric in HEALTH:
        name = metric_name(metric.name, metric.unit, "counter")
        if name.startswith(_PASSING):
            continue
        series[_series(name, {})] = float(folded.lines if metric.name == "ralph_otel.events" else 0)
    points = sum(len(metric.data.data_points) for metric in metrics_of(data)) + len(HEALTH)
    return Expected(series, folded, points, encode_metrics(data).ByteSize(), cpu)


def _held(client: PrometheusClient, instances: Sequence[str]) -> dict[str, dict[Series, float]]:
    """By loop, the last value of everything that Prometheus has of it."""
    selector = f'{_NAMES},instance=~"{"|".join(instances)}"'
    held: dict[str, dict[Series, float]] = {instance: {} for instance in instances}
    for sample in client.query(f"last_over_time({{{selector}}}[{_BACK}])"):
        labels = dict(sample.labels)
        name, instance = labels.pop("__name__"), labels.pop("instance")
        labels.pop("job")
        if not name.startswith(_PASSING):
            held[instance][_series(name, labels)] = sample.value
    return held


def resets(client: PrometheusClient) -> int:
    """How often a counter of any loop has gone back. The function takes one metric's name at a time."""
    names = {sample.name for sample in client.query(f"group by (__name__) (last_over_time({{{_COUNTING}}}[{_BACK}]))")}
    sums = (client.query(f"sum(resets({name}[{_BACK}]))") for name in sorted(names))
    return round(sum(sample.value for found in sums for sample in found))


def events_held(client: PrometheusClient) -> int:
    """The events of all loops that have arrived so far."""
    found = client.query(f"sum(last_over_time(ralph_otel_events_total[{_BACK}]))")
    return round(found[0].value) if found else 0


def _series(name: str, labels: dict[str, str]) -> Series:
    """Bucket bounds are numbers: `1` and `1.0` are the same."""
    return name, frozenset((key, str(float(value)) if key == "le" else value) for key, value in labels.items())

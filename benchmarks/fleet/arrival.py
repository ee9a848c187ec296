"""Whether what Prometheus holds is what the journals say: every series of every loop, to the last bit.

Each journal is folded anew, by itself, into the figures that a scrape of the loop would have shown at its end. Then
Prometheus is asked for the last value of everything it has of that loop. On top, the totals of the fold's own state are
compared with sums over what has arrived: they do not pass through instruments.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ralph_otel import MetricsConfig
from ralph_otel.catalog import HEALTH
from ralph_otel.exporters.prometheus.families import families
from ralph_otel.exporters.prometheus.names import metric_name
from ralph_otel.model import LoopMetrics
from ralph_otel.pipeline import Pipeline
from ralph_otel.runs import Folded, fold
from stack.clients import PrometheusClient

_BACK = "6h"
"""How far back a last value may lie."""
_NAMES = '__name__=~"ralph_.*"'
_COUNTING = '__name__=~"ralph_.*(_total|_count|_sum|_bucket)"'
_PASSING = ("ralph_loop_iteration_age_seconds",)
"""What is there only while something goes on."""
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
        points: data points of one export of all these loops: a histogram is one.
        wrong: series that are missing, differ, or are there and should not be.
        shown: the first few of them, as text.
        resets: times that a counter went back.
        totals: by the names of `TOTALS`: what the journals say, and what has arrived.
        off: loops of which a total is not the same.
    """

    loops: int = 0
    series: int = 0
    points: int = 0
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
        found.absorb(_compare_one(path, held[path.stem]))
    return found


def _compare_one(path: Path, held: dict[Series, float]) -> Arrival:
    expected, folded, points = expected_of(path)
    wrong = [
        f"{path.stem}: {name}{dict(labels)}: {expected.get((name, labels))} by the journal, {held.get((name, labels))} held"
        for name, labels in expected.keys() | held.keys()
        if expected.get((name, labels)) != held.get((name, labels))
    ]
    metrics = folded.run.metrics()
    totals = {
        name: (float(said(metrics)), sum(value for (metric, _), value in held.items() if metric == total))
        for name, (total, said) in TOTALS.items()
    }
    off = any(said != arrived for said, arrived in totals.values())
    return Arrival(1, len(expected), points, len(wrong), wrong[:_SHOWN], 0, totals, int(off))


def expected_of(journal: Path) -> tuple[dict[Series, float], Folded, int]:
    """The series that a loop ends with, by its journal; the fold; and the data points of its last export."""
    config = MetricsConfig(export_format="none", resources=False, home=journal.parent)
    pipeline = Pipeline(config, journal.stem, list, dict, export=False)
    folded = fold(journal, pipeline.record)
    pipeline.end_batch()
    data = pipeline.snapshot()
    pipeline.shutdown(1.0)
    if data is None:
        raise RuntimeError(f"{journal}: no metrics")
    series = {
        _series(sample.name, sample.labels): sample.value
        for family in families(data)
        if family.name != "target"
        for sample in family.samples
    }
    for metric in HEALTH:
        name = metric_name(metric.name, metric.unit, "counter")
        series[_series(name, {})] = float(folded.lines if metric.name == "ralph_otel.events" else 0)
    points = sum(
        len(metric.data.data_points)
        for of_resource in data.resource_metrics
        for scope in of_resource.scope_metrics
        for metric in scope.metrics
    )
    return series, folded, points + len(HEALTH)


def _held(client: PrometheusClient, instances: Sequence[str]) -> dict[str, dict[Series, float]]:
    """By loop, the last value of everything that Prometheus has of it."""
    selector = f'{_NAMES},instance=~"{"|".join(instances)}"'
    held: dict[str, dict[Series, float]] = {instance: {} for instance in instances}
    for sample in client.query(f"last_over_time({{{selector}}}[{_BACK}])"):
        labels = dict(sample.labels)
        name, instance = labels.pop("__name__"), labels.pop("instance")
        labels.pop("job")
        if name not in _PASSING:
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

"""The same signals told by hand: on the OpenTelemetry SDK, and with prometheus_client.

An iteration's end is eight instrument calls and a span with eight attributes. Six of the calls are those that the
catalog makes of the event `iteration.finished`; the other two set gauges that one would set at that moment.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from functools import partial

from opentelemetry.util.types import AttributeValue
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from benchmarks.workload import TOOLS, Providers, iterate
from ralph_otel.catalog import DURATION_BUCKETS, METRICS, Kind, Metric
from ralph_otel.events import Line
from ralph_otel.probe import Loop
from ralph_otel.state import RunState

_LOOP = {"ralph.loop.name": "fix-bugs", "ralph.runner": "ralphify"}
_OUTCOME = {**_LOOP, "ralph.outcome": "success"}


class OnSdk:
    """With cached attributes, inside the span, as the SDK's documentation has it."""

    def __init__(self, providers: Providers) -> None:
        meter = providers.meters.get_meter("by-hand")
        self._tracer = providers.tracers.get_tracer("by-hand")
        self._iterations = meter.create_counter("iterations", "{iteration}", "Iterations that finished.")
        self._duration = meter.create_histogram(
            "iteration_duration", "s", "Seconds.", explicit_bucket_boundaries_advisory=list(DURATION_BUCKETS)
        )
        self._with_progress = meter.create_counter("iterations_with_progress", "{iteration}", "With progress.")
        self._active = meter.create_up_down_counter("active_iterations", "{iteration}", "Running.")
        self._last = meter.create_gauge("last_iteration_timestamp", "s", "When.")
        self._streak = meter.create_gauge("no_progress_streak", "{iteration}", "In a row.")
        self._context = meter.create_gauge("context_usage", "%", "How full.")
        self._score = meter.create_gauge("progress_score", "{score}", "The last.")

    def six(self, number: int) -> None:
        """The calls that the catalog makes, and the span."""
        with self._tracer.start_as_current_span("iteration", attributes=_span_attributes(number)):
            self._call()

    def eight(self, number: int) -> None:
        """All eight, and the span."""
        with self._tracer.start_as_current_span("iteration", attributes=_span_attributes(number)):
            self._call()
            self._context.set(61.0, _LOOP)
            self._score.set(0.4, _LOOP)

    def _call(self) -> None:
        self._iterations.add(1, _OUTCOME)
        self._duration.record(12.3, _OUTCOME)
        self._with_progress.add(1, _LOOP)
        self._active.add(-1, _LOOP)
        self._last.set(time.time(), _LOOP)
        self._streak.set(0, _LOOP)


def _span_attributes(number: int) -> dict[str, AttributeValue]:
    return {
        "ralph.run.id": "20261123T024231Z-5ab3fe",
        "ralph.iteration.number": number,
        "ralph.outcome": "success",
        "ralph.context.percent": 61.0,
        "ralph.progress.score": 0.4,
        "ralph.progress.files_changed": 3,
        "ralph.tests.passed": 41,
        "ralph.tests.failed": 1,
    }


class UsualOnSdk:
    """All that the catalog makes of the events of `workload.iterate`, each instrument call and span by itself."""

    def __init__(self, providers: Providers) -> None:
        self._meter = providers.meters.get_meter("usual-by-hand")
        self._tracer = providers.tracers.get_tracer("usual-by-hand")
        self._made: dict[str, Callable[..., None]] = {}
        lines, state = list[Line](), RunState()
        loop = Loop("fix-bugs", lines.append, runner="ralphify").start()
        iterate(loop)
        calls = [(line["type"], call) for line in lines if state.apply(line) for call in self._calls(line, state)]
        in_agent = {"tool.called", "usage.measured", "context.measured", "agent.finished"}
        self._in_agent = [call for type_, call in calls if type_ in in_agent]
        self._around = [call for type_, call in calls if type_ not in in_agent]

    def _calls(self, line: Line, state: RunState) -> Iterator[Callable[[], None]]:
        for metric in METRICS:
            for feed in metric.feeds:
                value = feed.value(line, state) if feed.event == line["type"] else None
                if value is not None:
                    attributes = {**_LOOP, **{name: of(line) or "" for name, of in feed.attributes.items()}}
                    yield partial(self._instrument(metric), 1 if metric.follows else value, attributes)

    def _instrument(self, metric: Metric) -> Callable[..., None]:
        make: dict[Kind, Callable[[], Callable[..., None]]] = {
            Kind.COUNTER: lambda: self._meter.create_counter(metric.name).add,
            Kind.UPDOWN: lambda: self._meter.create_up_down_counter(metric.name).add,
            Kind.GAUGE: lambda: self._meter.create_gauge(metric.name).set,
            Kind.HISTOGRAM: lambda: (
                self._meter.create_histogram(
                    metric.name, explicit_bucket_boundaries_advisory=list(metric.buckets or DURATION_BUCKETS)
                ).record
            ),
        }
        if metric.name not in self._made:
            self._made[metric.name] = make[metric.kind]()
        return self._made[metric.name]

    def iterate(self, number: int) -> None:
        """One iteration."""
        span, attributes = self._tracer.start_as_current_span, _span_attributes(number)
        with span("session", attributes=attributes), span("iteration", attributes=attributes):
            with span("invoke_agent", attributes=attributes):
                for call in self._in_agent:
                    call()
                for _ in range(TOOLS):
                    self._tracer.start_span("execute_tool", attributes={"gen_ai.tool.name": "Bash"}).end()
            self._tracer.start_span("tests", attributes={"ralph.tests.passed": 41}).end()
            for call in self._around:
                call()


class OnPrometheusClient:
    """Eight calls on cached children. There are no spans."""

    def __init__(self) -> None:
        registry = CollectorRegistry()

        def counter(name: str) -> Counter:
            return Counter(name, name, list(_LOOP_LABELS), registry=registry).labels(*_LOOP.values())

        def gauge(name: str) -> Gauge:
            return Gauge(name, name, list(_LOOP_LABELS), registry=registry).labels(*_LOOP.values())

        outcome = [*_LOOP_LABELS, "outcome"]
        self._iterations = Counter("iterations", "Iterations", outcome, registry=registry).labels(*_OUTCOME.values())
        self._duration = Histogram(
            "iteration_duration", "Seconds", outcome, registry=registry, buckets=DURATION_BUCKETS
        ).labels(*_OUTCOME.values())
        self._with_progress = counter("iterations_with_progress")
        self._active, self._last, self._streak = gauge("active"), gauge("last"), gauge("streak")
        self._context, self._score = gauge("context"), gauge("score")

    def eight(self) -> None:
        """All eight."""
        self._iterations.inc()
        self._duration.observe(12.3)
        self._with_progress.inc()
        self._active.dec()
        self._last.set(time.time())
        self._streak.set(0)
        self._context.set(61.0)
        self._score.set(0.4)


_LOOP_LABELS = ("loop", "runner")

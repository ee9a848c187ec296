"""A program with an OpenTelemetry pipeline of its own: the loop's metrics and spans go there.

    python examples/host_pipeline.py

With `pip install opentelemetry-distro`, `opentelemetry-instrument --metrics_exporter console --traces_exporter console
python program.py` does all of the set-up instead.
"""

from __future__ import annotations

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import ConsoleMetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter

import ralph_otel


def main() -> None:
    """Run two iterations inside a span of the host's own."""
    resource = Resource.create({"service.name": "my-host"})
    meters = MeterProvider([PeriodicExportingMetricReader(ConsoleMetricExporter())], resource)
    tracers = TracerProvider(resource=resource)
    tracers.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
    metrics.set_meter_provider(meters)
    trace.set_tracer_provider(tracers)

    instrumentor = ralph_otel.RalphInstrumentor()
    instrumentor.instrument()
    host_span = trace.get_tracer("my-host").start_as_current_span("nightly job")  # the loop's span is below it
    with host_span, ralph_otel.register().loop("hosted", max_iterations=2) as loop:
        for failed in (1, 0):
            with loop.iteration() as iteration:
                iteration.tests(passed=3 - failed, failed=failed)
        loop.stop("tests_passed")

    instrumentor.uninstrument()
    tracers.shutdown()
    meters.shutdown()


if __name__ == "__main__":
    main()

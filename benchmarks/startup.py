"""What `register()` adds to the start of a process.

`ms` is the call by itself, after the imports. `ratio` is from the start of the Python process until `register()` has
come back, imports included, against an eager set-up of the SDK with a Prometheus reader, an OTLP exporter for metrics
and one for spans. Wall time, new processes in turn.
"""

from __future__ import annotations

import statistics
import time
from functools import partial
from pathlib import Path

from benchmarks.processes import run
from benchmarks.rounds import alternate, middle, ratio
from benchmarks.workload import folder

_NOTHING = "import os, time; print(time.monotonic(), flush=True); os._exit(0)"
_OURS = """
import os, time, ralph_otel
ralph_otel.register()
print(time.monotonic(), flush=True)
os._exit(0)
"""
_EAGER = """
import os, time
from opentelemetry import metrics, trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.exporter.prometheus import PrometheusMetricReader
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
readers = [PrometheusMetricReader(), PeriodicExportingMetricReader(OTLPMetricExporter())]
metrics.set_meter_provider(MeterProvider(readers))
tracers = TracerProvider()
tracers.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
trace.set_tracer_provider(tracers)
print(time.monotonic(), flush=True)
os._exit(0)
"""
_REGISTER = """
import os, time
from ralph_otel import register
begin = time.perf_counter()
register()
print(time.perf_counter() - begin, flush=True)
os._exit(0)
"""


def measure(quick: bool = False) -> dict[str, float]:
    """Start processes.

    Returns:
        `ms`: milliseconds in `register()`; `ratio`: until it has come back, ours ÷ eager; `ours_ms`, `eager_ms` and
        `python_ms`, an empty program.
    """
    rounds, calls = (1, 2) if quick else (15, 25)
    with folder() as home:
        register = statistics.median(float(run(_REGISTER, home)) for _ in range(calls))
        took = alternate(
            {
                "ours": partial(_until, _OURS, home),
                "eager": partial(_until, _EAGER, home),
                "python": partial(_until, _NOTHING, home),
            },
            rounds,
        )
    return {
        "ms": register * 1e3,
        "ratio": ratio(took, "ours", "eager"),
        **{f"{name}_ms": middle(took, name) * 1e3 for name in took},
    }


def _until(program: str, home: Path) -> float:
    """Seconds from the start of a process until it says the time; the clock is the machine's."""
    begin = time.monotonic()
    return float(run(program, home)) - begin
